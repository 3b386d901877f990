// SPDX-License-Identifier: Apache-2.0
#include "attribute/state.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

#include "attribute/proc.hpp"
#include "base/fd.hpp"

namespace upstat {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr int version = 1;
constexpr auto file_name = "state.json";
constexpr auto new_name = "state.json.new";

Restored anew(const fs::path& file, std::string_view why) {
    return {.saved = {}, .note = fmt::format("counters start anew: {} {}", file.string(), why)};
}

std::unexpected<Error> failed(const char* step, const fs::path& path) {
    return fail(Error::Kind::runtime,
                fmt::format("the state is not saved: cannot {} {}: {}", step, path.string(), std::strerror(errno)),
                "check --state.path, its permissions and its free space");
}

bool write_all(int fd, std::string_view text) {
    while (!text.empty()) {
        const auto written = ::write(fd, text.data(), text.size());
        if (written < 0 && errno != EINTR) {
            return false;
        }
        text.remove_prefix(written < 0 ? 0 : static_cast<std::size_t>(written));
    }
    return true;
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
    auto document = json::parse(*text, nullptr, false);
    if (!document.is_object()) {
        return anew(file, "is broken: it is not whole JSON");
    }
    if (const auto found = document.find("version"); found == document.end() || *found != version) {
        return anew(file, "was written by another version of upstat");
    }
    auto ledger = Ledger::from_json(document.value("ledger", json()));
    if (!ledger) {
        return anew(file, "is broken: " + ledger.error().message);
    }
    Restored restored{.saved = {.ledger = *std::move(ledger),
                                .window = document.value("window", json()),
                                .alerts = document.value("alerts", json())},
                      .note = {}};
    if (document.value("epoch", json()) != epoch) {
        restored.saved.ledger.maps_made_anew();
        restored.note =
            "the kernel's maps were made anew since the state was saved (a reboot, or a detach): counters go "
            "on, and what was not counted meanwhile is lost";
    }
    return restored;
}

Result<void> save_state(const fs::path& directory, const std::string& epoch, const Ledger& ledger, const json& window,
                        const json& alerts) {
    const json document{
        {"version", version}, {"epoch", epoch}, {"ledger", ledger.to_json()}, {"window", window}, {"alerts", alerts}};
    // a backend's name in a file of the user's may be no UTF-8, which is no reason to lose all the others
    const auto text = document.dump(-1, ' ', false, json::error_handler_t::replace);
    std::error_code ignored;  // the open says what is wrong
    fs::create_directories(directory, ignored);
    const Fd folder(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder) {
        return failed("open", directory);
    }
    const Fd file(
        openat(folder.get(), new_name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR));
    if (!file || !write_all(file.get(), text) || fsync(file.get()) != 0) {
        return failed("write", directory / new_name);
    }
    if (renameat(folder.get(), new_name, folder.get(), file_name) != 0) {
        return failed("replace", directory / file_name);
    }
    if (fsync(folder.get()) != 0) {
        return failed("sync", directory);
    }
    return {};
}

}  // namespace upstat
