// SPDX-License-Identifier: Apache-2.0
#include "agent/state.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>

#include "agent/durable.hpp"
#include "agent/state_json.hpp"
#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/json_text.hpp"

namespace upstat::agent {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int version = 1;
constexpr auto file_name = "state.json";

/// When the lines of single polls have outgrown the whole so many times, all is saved again; not for a small file.
constexpr std::uint64_t most_lines_to_whole = 8;
constexpr std::uint64_t least_lines = std::uint64_t{1} << 20;

Restored anew(const fs::path& file, std::string_view why) {
    return {.saved = {}, .notes = {fmt::format("counters start anew: {} {}", file.string(), why)}};
}

/// Absorbs the lines behind the first; empty, or what is wrong with them. Where the last one is cut short, the power
/// failed before anybody was told of that poll.
std::string absorb_lines(Saved& saved, std::string_view lines) {
    while (!lines.empty()) {
        lines.remove_prefix(1);  // the line break
        const auto line = lines.substr(0, lines.find('\n'));
        lines.remove_prefix(line.size());
        try {
            const auto poll = parse_json(line);
            const auto growth = growth_from(poll);
            const Moment moment{.at = growth.at, .wall = wall_from(poll, growth.at)};
            auto alerts = alerts_from(poll.at("alerts"));
            saved.since.push_back(saved.ledger.absorb(growth));
            saved.alerts = std::move(alerts);
            saved.mark = saved.mark.value_or(Timeline::Mark());
            saved.mark->last = moment;
        } catch (const std::exception& error) {
            return lines.empty() ? std::string()
                                 : fmt::format(
                                       "a poll in the saved state is broken, and those after it are counted "
                                       "from the kernel's maps again: {}",
                                       error.what());
        }
    }
    return {};
}

/// A file of before 0.3 has none: its times are the wall clock's.
std::optional<Timeline::Mark> mark_of(const std::optional<measure::History>& window) {
    if (!window || window->polls.empty()) {
        return std::nullopt;
    }
    const auto last = window->polls.back();
    return Timeline::Mark{.boot = {}, .ahead = {}, .last = {.at = last, .wall = Wall(last.time_since_epoch())}};
}

/// What `read` makes of a part of the state; nothing, and a note, where it is broken.
auto part_of(const json& document, const char* name, auto read, std::vector<std::string>& notes)
    -> std::optional<decltype(read(document))> {
    const auto found = document.find(name);
    if (found == document.end() || found->is_null()) {
        return std::nullopt;
    }
    try {
        return read(*found);
    } catch (const std::exception& error) {
        notes.push_back(fmt::format("the saved {} is damaged and begins anew: {}", name, error.what()));
        return std::nullopt;
    }
}

std::string document(const std::string& epoch, const attribute::LedgerState& ledger, const measure::History& window,
                     const std::vector<judge::Alert>& alerts, const Timeline::Mark& mark,
                     const programs::ZoneNames& zones, const Tenants::All& tenants) {
    std::string text;
    {
        JsonObject object(text);
        object.add("version", version);
        object.add("epoch", epoch);
        object.add("zones", to_json(zones));
        object.add("tenants", to_json(tenants));
        object.member("ledger") += to_text(ledger);
        object.member("window") += to_text(window);
        object.add("alerts", to_json(alerts));
        object.add("clock", to_json(mark));
    }
    return text;
}

}  // namespace

Restored restore_state(const fs::path& directory, const std::string& epoch) {
    const auto file = directory / file_name;
    std::error_code error;
    if (!fs::exists(file, error)) {
        return anew(file, "does not exist");
    }
    const auto text = fs::is_regular_file(file, error) ? read_file(file) : std::nullopt;
    if (!text) {
        return anew(file, "cannot be read");
    }
    const auto end = std::min(text->find('\n'), text->size());
    auto document = json::parse(std::string_view(*text).substr(0, end), nullptr, false);
    if (!document.is_object()) {
        return anew(file, "is broken: it is not whole JSON");
    }
    if (const auto found = document.find("version"); found == document.end() || *found != version) {
        return anew(file, "was written by another version of upstat");
    }
    Restored restored;
    try {
        restored.saved.zones = zones_from(document.value("zones", json::object()));
        restored.saved.ledger = attribute::Ledger(ledger_from(document.at("ledger")));
    } catch (const std::exception& error) {
        return anew(file, fmt::format("is broken: {}", error.what()));
    }
    restored.saved.tenants = part_of(document, "tenants", tenants_from, restored.notes).value_or(Tenants::All());
    restored.saved.window = part_of(document, "window", history_from, restored.notes);
    restored.saved.alerts =
        part_of(document, "alerts", alerts_from, restored.notes).value_or(std::vector<judge::Alert>{});
    restored.saved.mark = document.contains("clock") ? part_of(document, "clock", mark_from, restored.notes)
                                                     : mark_of(restored.saved.window);
    if (auto broken = absorb_lines(restored.saved, std::string_view(*text).substr(end)); !broken.empty()) {
        restored.notes.push_back(std::move(broken));
    }
    const auto saved_epoch = document.find("epoch");
    if (saved_epoch != document.end() && saved_epoch->is_string()) {
        restored.saved.epoch = saved_epoch->get<std::string>();
    }
    if (restored.saved.epoch != epoch) {
        restored.saved.ledger.maps_made_anew();
        restored.notes.emplace_back(
            "the kernel's maps were made anew since the state was saved (a reboot, or a detach): counters go on, and "
            "what was not counted meanwhile is lost");
    }
    return restored;
}

Result<void> StateFile::lock() {
    std::error_code ignored;
    fs::create_directories(directory_, ignored);
    locked_ = Fd(open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return locked_ ? lock_directory(locked_, directory_, "stop it first, or name another --state.path")
                   : Result<void>();
}

std::string StateFile::set_aside() const {
    constexpr int most_kept = 9;
    const auto file = directory_ / file_name;
    const auto kept = [&](int number) {
        return fmt::format("{}.conflict{}", file.string(), number == 1 ? "" : fmt::format("-{}", number));
    };
    int number = 1;
    std::error_code error;
    while (number < most_kept && fs::exists(fs::symlink_status(kept(number), error))) {
        ++number;
    }
    fs::rename(file, kept(number), error);
    return error ? fmt::format("{} cannot be renamed to {}: {}", file.string(), kept(number), error.message())
                 : fmt::format("what was saved is kept as {}", kept(number));
}

Result<void> StateFile::save(const attribute::LedgerState& ledger, const measure::History& window,
                             const std::vector<judge::Alert>& alerts, const Timeline::Mark& mark,
                             const programs::ZoneNames& zones, const Tenants::All& tenants) {
    inode_ = 0;
    if (auto saved =
            replace_file(directory_, file_name, document(epoch_, ledger, window, alerts, mark, zones, tenants));
        !saved) {
        return saved;
    }
    zones_ = zones.size();
    tenants_ = tenants;
    struct stat info{};
    if (stat((directory_ / file_name).c_str(), &info) == 0) {
        inode_ = info.st_ino;
        whole_ = size_ = static_cast<std::uint64_t>(info.st_size);
    }
    return {};
}

Result<bool> StateFile::append(const attribute::Growth& growth, const std::vector<judge::Alert>& alerts, Wall wall,
                               const programs::ZoneNames& zones, const Tenants::All& tenants) {
    if (inode_ == 0 || zones.size() != zones_ || tenants != tenants_ ||
        size_ > std::max(whole_ * most_lines_to_whole, least_lines)) {
        return false;
    }
    const auto path = directory_ / file_name;
    const Fd file(open(path.c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC));
    struct stat info{};
    const bool ours = file && fstat(file.get(), &info) == 0 && info.st_ino == inode_ &&
                      static_cast<std::uint64_t>(info.st_size) == size_;
    if (!ours) {
        return false;  // somebody took it away or wrote to it
    }
    const auto line = "\n{" + to_members(growth) + R"(,"wall":)" + std::to_string(wall.time_since_epoch().count()) +
                      R"(,"alerts":)" + json_text(to_json(alerts)) + "}";
    if (!write_all(file.get(), line) || fdatasync(file.get()) != 0) {
        inode_ = 0;
        return state_error("append to", path);
    }
    size_ += line.size();
    return true;
}

}  // namespace upstat::agent
