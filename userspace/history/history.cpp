// SPDX-License-Identifier: Apache-2.0
#include "history/history.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <ranges>
#include <span>

namespace upstat::history {

namespace {

/// What one count was above another; all of it where it began anew in between.
Amounts growth(const Amounts& before, const Amounts& now) {
    Amounts grown = now;
    if (std::ranges::equal(before, now, std::less_equal())) {
        std::ranges::transform(now, before, grown.begin(), std::minus());
    }
    return grown;
}

/// When the stretch of time is over that a moment is in; a moment on its edge is the last one in it.
Time end_of_stretch(Time at, Millis length) {
    const auto since = at.time_since_epoch() - Millis(1);
    return Time(since - since % length + length);
}

/// Makes one coarse column of the fine ones at the front that are of one stretch, at most so many of them; or adds them
/// to the coarse one that was begun for that stretch.
void fold_first(std::deque<SharedColumn>& fine, std::deque<SharedColumn>& coarse, Millis length, std::size_t most) {
    const auto end = end_of_stretch(fine.front()->end, length);
    const auto limit = fine.begin() + static_cast<std::ptrdiff_t>(std::min(most, fine.size()));
    const auto last = std::find_if(fine.begin(), limit, [end](const auto& column) { return column->end > end; });
    std::vector<SharedColumn> stretch(fine.begin(), last);
    if (!coarse.empty() && end_of_stretch(coarse.back()->end, length) == end) {
        stretch.insert(stretch.begin(), coarse.back());
        coarse.pop_back();
    }
    coarse.push_back(merged(stretch));
    fine.erase(fine.begin(), last);
}

constexpr Millis minute = std::chrono::minutes(1);
constexpr Millis ten_minutes = std::chrono::minutes(10);

}  // namespace

std::optional<poll::Server> server_of(const Subject& subject) {
    auto server = subject.is_backend ? std::nullopt : poll::server_of_label(subject.name);
    if (server) {
        server->zone = subject.zone;
    }
    return server;
}

/// Gives numbers to subjects that have none. The table that others may be reading is replaced, not changed.
class History::Numbering {
  public:
    Numbering(History& history) : history_(&history) {}

    std::optional<std::uint32_t> give(Subject subject) {
        const auto next = history_->subjects_->size() + added_.size();
        if (next >= history_->bounds_.most_subjects) {
            return std::nullopt;
        }
        added_.push_back(std::move(subject));
        return static_cast<std::uint32_t>(next);
    }
    void finish() {
        if (!added_.empty()) {
            auto all = *history_->subjects_;
            std::ranges::move(added_, std::back_inserter(all));
            history_->subjects_ = std::make_shared<const Subjects>(std::move(all));
        }
    }

  private:
    History* history_;
    Subjects added_;
};

void History::add(Moment at, const std::map<attribute::BackendName, attribute::SeriesCounts>& backends,
                  const poll::Servers& servers) {
    Numbering numbering(*this);
    Packer of_backends;
    Packer of_servers;
    const bool begun = last_.has_value();
    const auto take = [begun](Packer& packer, Known& known, const Amounts& now, bool is_baseline) {
        if (begun && known.number && !is_baseline) {
            packer.add(*known.number, growth(known.totals, now));
        }
        known.totals = now;
    };
    for (const auto& [name, counts] : backends) {
        const auto [known, is_new] = backends_.try_emplace(name);
        if (is_new) {
            known->second.number = numbering.give({.is_backend = true, .name = name.name, .zone = name.zone});
        }
        take(of_backends, known->second, amounts_of(counts), is_new && resumed_);
    }
    std::vector<poll::Server> unknown;
    std::ranges::set_difference(servers | std::views::keys, servers_ | std::views::keys, std::back_inserter(unknown));
    servers_.insert_missing(unknown);
    for (const auto& server : unknown) {
        servers_[server].number = numbering.give({.is_backend = false, .name = to_string(server), .zone = server.zone});
    }
    Ascending known(servers_);
    for (const auto& [server, totals] : servers) {
        const bool is_new = std::ranges::binary_search(unknown, server);
        take(of_servers, known[server], amounts_of(totals), is_new && resumed_);
    }
    numbering.finish();
    if (begun) {
        polls_.push_back(std::make_shared<const Column>(
            Column{.begin = last_->at, .end = at.at, .backends = of_backends.take(), .servers = of_servers.take()}));
    }
    last_ = at;
    resumed_ = false;
    fold(at.at);
}

void History::fold(Time now) {
    constexpr auto all = std::numeric_limits<std::size_t>::max();
    while (!polls_.empty() && end_of_stretch(polls_.front()->end, minute) <= now - bounds_.polls) {
        fold_first(polls_, minutes_, minute, all);
    }
    if (polls_.size() > bounds_.most_polls) {
        fold_first(polls_, minutes_, minute, bounds_.most_polls / 4);  // some at once: each time is a column anew
    }
    while (!minutes_.empty() && end_of_stretch(minutes_.front()->end, ten_minutes) <= now - bounds_.minutes) {
        fold_first(minutes_, tens_, ten_minutes, all);
    }
    while (!tens_.empty() && tens_.front()->end <= now - bounds_.all) {
        tens_.pop_front();
    }
}

void History::keep(const std::map<attribute::BackendName, attribute::SeriesCounts>& remembered) {
    const auto is_gone = [&remembered](const auto& entry) { return !remembered.contains(entry.first); };
    std::erase_if(backends_, [&is_gone](const auto& entry) { return is_gone(entry) && !entry.second.number; });
    for (auto& gone : backends_ | std::views::filter(is_gone)) {
        gone.second.totals.fill(0);
    }
}

void History::maps_made_anew() {
    for (auto& [server, known] : servers_) {
        known.totals.fill(0);
    }
}

void History::note(Event event) {
    note(std::vector<Event>{std::move(event)});
}

void History::note(std::vector<Event> events) {
    if (events.empty()) {
        return;
    }
    auto all = *events_;
    noted_ += events.size();
    std::ranges::move(events, std::back_inserter(all));
    const auto oldest = all.back().at.at - bounds_.all;
    std::erase_if(all, [oldest](const Event& event) { return event.at.at < oldest; });
    if (all.size() > bounds_.most_events) {
        all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(bounds_.most_events));
    }
    events_ = std::make_shared<const std::vector<Event>>(std::move(all));
}

History::Saved History::saved() const {
    auto now = view();
    Saved saved{.last = last_ ? std::optional(last_->at) : std::nullopt,
                .subjects = *subjects_,
                .columns = std::move(now.columns),
                .events = *events_,
                .totals = std::vector<Amounts>(subjects_->size())};
    const auto put = [&saved](const Known& known) {
        if (known.number) {
            saved.totals.at(*known.number) = known.totals;
        }
    };
    for (const auto& [name, known] : backends_) {
        put(known);
    }
    for (const auto& [server, known] : servers_) {
        put(known);
    }
    return saved;
}

History History::restore(Saved saved, Bounds bounds) {
    History history(bounds);
    for (std::uint32_t number = 0; number < saved.subjects.size(); ++number) {
        const auto& subject = saved.subjects[number];
        const Known known{.number = number, .totals = saved.totals.at(number)};
        if (subject.is_backend) {
            history.backends_.emplace(attribute::BackendName(subject.name, subject.zone), known);
        } else if (const auto server = server_of(subject)) {
            history.servers_[*server] = known;
        }
    }
    history.subjects_ = std::make_shared<const Subjects>(std::move(saved.subjects));
    history.polls_.assign(saved.columns.begin(), saved.columns.end());
    if (saved.last) {
        history.last_ = Moment{.at = *saved.last, .wall = Wall(saved.last->time_since_epoch())};
        history.fold(*saved.last);
        history.resumed_ = true;
    }
    history.note(std::move(saved.events));
    return history;
}

View History::view() const {
    View view{.at = last_.value_or(Moment()), .subjects = subjects_, .columns = {}, .events = events_};
    view.columns.reserve(tens_.size() + minutes_.size() + polls_.size());
    for (const auto* const columns : {&tens_, &minutes_, &polls_}) {
        std::ranges::copy(*columns, std::back_inserter(view.columns));
    }
    return view;
}

}  // namespace upstat::history
