// SPDX-License-Identifier: Apache-2.0
#include "history/saved.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <ranges>
#include <sstream>
#include <stdexcept>

namespace upstat::history {

namespace {

using nlohmann::json;

constexpr int version = 1;

struct Broken : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void append(std::string& text, const json& item) {
    json::to_cbor(item, text);
}

json binary(const std::string& packed) {
    return json::binary({packed.begin(), packed.end()});
}

std::int64_t number(auto time) {
    return time.time_since_epoch().count();
}

void append_subjects(std::string& text, const Subjects& subjects, std::size_t from) {
    json added = json::array();
    for (const auto& subject : subjects | std::views::drop(from)) {
        added.push_back(json::array({subject.is_backend, subject.name}));
        if (subject.zone != 0) {  // a file of one Traefik reads as it did before there were any
            added.back().push_back(subject.zone);
        }
    }
    if (!added.empty()) {
        append(text, {{"subjects", std::move(added)}});
    }
}

void append_column(std::string& text, const Column& column) {
    append(text, {{"begin", number(column.begin)},
                  {"end", number(column.end)},
                  {"backends", binary(column.backends)},
                  {"servers", binary(column.servers)}});
}

void append_event(std::string& text, const Event& event) {
    append(text, {{"event", event.kind},
                  {"at", number(event.at.at)},
                  {"wall", number(event.at.wall)},
                  {"what", event.what},
                  {"backend", event.backend.name},
                  {"zone", event.backend.zone},
                  {"text", event.text},
                  {"servers", event.servers}});
}

/// Any that a clock can show, so that none is out of reach of the arithmetic.
template <typename T>
T time_from(const json& value) {
    constexpr std::int64_t latest = std::int64_t{1} << 53;
    const auto time = value.get<std::int64_t>();
    return time >= 0 && time <= latest ? T(Millis(time)) : throw Broken("a time is none");
}

std::uint16_t zone_from(const json& value) {
    const auto zone = value.get<std::int64_t>();
    return zone >= 0 && zone <= std::numeric_limits<std::uint16_t>::max() ? static_cast<std::uint16_t>(zone)
                                                                          : throw Broken("a zone is none");
}

/// The numbers that a file's fields have here; of a field that is no more, none.
using FieldMap = std::vector<std::optional<std::uint8_t>>;

FieldMap field_map(const json& names) {
    FieldMap map;
    for (const auto& name : names) {
        map.push_back(field_of(name.get<std::string>()));
    }
    return map;
}

Amounts renamed(const Amounts& amounts, const FieldMap& map) {
    Amounts out{};
    for (std::size_t i = 0; i < std::min(map.size(), amounts.size()); ++i) {
        if (map[i]) {
            out.at(*map[i]) += amounts.at(i);
        }
    }
    return out;
}

/// Reads one item after the other.
class Reader {
  public:
    Reader(const std::string& epoch, Time now) : epoch_(&epoch), now_(now) {}

    void take(const json& item) {
        if (item.contains("version")) {
            take_head(item);
        } else if (fields_.empty()) {
            throw Broken("it has no head");
        } else if (item.contains("subjects")) {
            take_subjects(item.at("subjects"));
        } else if (item.contains("totals")) {
            take_totals(item);
        } else if (item.contains("event")) {
            take_event(item);
        } else {
            take_column(item);
        }
    }

    [[nodiscard]] History history() && {
        totals_.resize(subjects_.size());  // where the last ones were cut short
        History::Saved saved{.last = adds_ ? last_ : std::nullopt,
                             .subjects = std::move(subjects_),
                             .columns = std::move(columns_),
                             .events = std::move(events_),
                             .totals = std::move(totals_)};
        auto history = History::restore(std::move(saved));
        if (other_epoch_) {
            history.maps_made_anew();
        }
        return history;
    }

  private:
    void take_head(const json& item) {
        if (item.at("version") != version) {
            throw Broken("it was written by another version of upstat");
        }
        fields_ = field_map(item.at("fields"));
        other_epoch_ = item.at("epoch") != *epoch_;
    }

    void take_subjects(const json& added) {
        for (const auto& one : added) {
            subjects_.push_back({.is_backend = one.at(0).get<bool>(),
                                 .name = one.at(1).get<std::string>(),
                                 .zone = one.size() > 2 ? zone_from(one.at(2)) : std::uint16_t{0}});
        }
        totals_.resize(subjects_.size());
    }

    /// Packed counts in today's fields; each is handed on as well.
    [[nodiscard]] std::string repacked(const json& packed, auto&& each) const {
        const auto& bytes = packed.get_binary();
        const std::string text(bytes.begin(), bytes.end());
        Packer packer;
        Unpacker unpacker(text);
        while (unpacker.next()) {
            if (unpacker.subject() >= subjects_.size()) {
                throw Broken("a count is nobody's");
            }
            const auto amounts = renamed(unpacker.amounts(), fields_);
            packer.add(unpacker.subject(), amounts);
            each(unpacker.subject(), amounts);
        }
        return unpacker.broken() ? throw Broken("counts are cut short") : packer.take();
    }

    void take_totals(const json& item) {
        static_cast<void>(repacked(
            item.at("totals"), [this](std::uint32_t subject, const Amounts& amounts) { totals_[subject] = amounts; }));
        last_ = time_of(item, "at");
        adds_ = true;
    }

    void take_column(const json& item) {
        const auto begin = time_from<Time>(item.at("begin"));
        const auto end = time_of(item, "end");
        if (begin > end || (!columns_.empty() && begin < columns_.back()->end)) {
            throw Broken("its times do not ascend");
        }
        std::vector<std::pair<std::uint32_t, Amounts>> grown;  // nothing of a column that is broken is added
        const auto note = [&](std::uint32_t subject, const Amounts& amounts) { grown.emplace_back(subject, amounts); };
        auto backends = repacked(item.at("backends"), note);
        auto servers = repacked(item.at("servers"), note);
        for (const auto& [subject, amounts] : grown) {
            if (adds_) {
                add(totals_[subject], amounts);
            }
        }
        columns_.push_back(std::make_shared<const Column>(
            Column{.begin = begin, .end = end, .backends = std::move(backends), .servers = std::move(servers)}));
        last_ = std::max(last_.value_or(end), end);
    }

    void take_event(const json& item) {
        events_.push_back({.at = {.at = time_of(item, "at"), .wall = time_from<Wall>(item.at("wall"))},
                           .kind = item.at("event").get<std::string>(),
                           .what = item.at("what").get<std::string>(),
                           .backend = {item.at("backend").get<std::string>(), zone_from(item.value("zone", json(0)))},
                           .text = item.at("text").get<std::string>(),
                           .servers = item.at("servers").get<std::vector<std::string>>()});
    }

    [[nodiscard]] Time time_of(const json& item, const char* name) const {
        const auto time = time_from<Time>(item.at(name));
        return time <= now_ ? time : throw Broken("it is of another clock: its times are later than now");
    }

    const std::string* epoch_;
    Time now_;
    FieldMap fields_;
    bool other_epoch_ = false;
    bool adds_ = false;  ///< what comes now grew after the totals were saved
    std::optional<Time> last_;
    Subjects subjects_;
    std::vector<SharedColumn> columns_;
    std::vector<Event> events_;
    std::vector<Amounts> totals_;
};

}  // namespace

std::string saved_whole(const History& history, const std::string& epoch) {
    const auto saved = history.saved();
    std::string text;
    append(text, {{"version", version}, {"epoch", epoch}, {"fields", field_names()}});
    append_subjects(text, saved.subjects, 0);
    for (const auto& column : saved.columns) {
        append_column(text, *column);
    }
    for (const auto& event : saved.events) {
        append_event(text, event);
    }
    if (saved.last) {
        Packer packer;
        for (std::size_t subject = 0; subject < saved.totals.size(); ++subject) {
            packer.add(static_cast<std::uint32_t>(subject), saved.totals[subject]);
        }
        append(text, {{"totals", binary(packer.take())}, {"at", number(*saved.last)}});
    }
    return text;
}

Mark mark_of(const History& history) {
    const auto view = history.view();
    return {.subjects = view.subjects->size(), .columns = view.at.at, .events = history.noted()};
}

std::optional<std::string> saved_since(const History& history, const Mark& mark) {
    const auto view = history.view();
    std::string text;
    append_subjects(text, *view.subjects, mark.subjects);
    auto next = mark.columns;
    for (const auto& column : view.columns) {
        if (column->end > mark.columns) {
            if (column->begin != next) {
                return std::nullopt;
            }
            append_column(text, *column);
            next = column->end;
        }
    }
    const auto noted = std::min<std::uint64_t>(history.noted() - mark.events, view.events->size());
    for (const auto& event : *view.events | std::views::drop(view.events->size() - noted)) {
        append_event(text, event);
    }
    return text;
}

Restored restored_from(std::string_view text, const std::string& epoch, Time now) {
    Reader reader(epoch, now);
    Restored restored;
    try {
        std::istringstream stream{std::string(text)};
        while (stream.peek() != std::istringstream::traits_type::eof()) {
            reader.take(json::from_cbor(stream, false));
        }
    } catch (const std::exception& error) {
        restored.note = error.what();
    }
    restored.history = std::move(reader).history();
    return restored;
}

}  // namespace upstat::history
