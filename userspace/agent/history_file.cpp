// SPDX-License-Identifier: Apache-2.0
#include "agent/history_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "agent/durable.hpp"
#include "base/fd.hpp"
#include "base/file.hpp"

namespace upstat::agent {

namespace {

constexpr auto history_name = "history.cbor";
constexpr Millis save_interval = std::chrono::minutes(1);
constexpr std::uint64_t least_appended = std::uint64_t{1} << 20U;

}  // namespace

history::Restored HistoryFile::load(Time now) {
    const auto file = directory_ / history_name;
    std::error_code error;
    if (!std::filesystem::exists(file, error)) {
        return {.history = history::History(), .note = {}};
    }
    const auto text = std::filesystem::is_regular_file(file, error) ? read_file(file) : std::nullopt;
    if (!text) {
        return {.history = history::History(), .note = "the history begins anew: " + file.string() + " cannot be read"};
    }
    auto restored = history::restored_from(*text, epoch_, now);
    if (!restored.note.empty()) {
        restored.note = "a part of the history is lost: " + file.string() + " is damaged: " + restored.note;
    }
    return restored;
}

Result<void> HistoryFile::save(const history::History& history, Time now, bool at_once) {
    if (now < next_ && !at_once) {
        return {};
    }
    next_ = now + save_interval;
    const auto since = inode_ == 0 || size_ > std::max(whole_ * 2, whole_ + least_appended)
                           ? std::nullopt
                           : history::saved_since(history, mark_);
    if (!since || !append(*since)) {
        return save_whole(history);
    }
    mark_ = history::mark_of(history);
    return {};
}

Result<void> HistoryFile::save_whole(const history::History& history) {
    inode_ = 0;
    if (auto saved = replace_file(directory_, history_name, history::saved_whole(history, epoch_)); !saved) {
        return saved;
    }
    struct stat info{};
    if (stat((directory_ / history_name).c_str(), &info) == 0) {
        inode_ = info.st_ino;
        whole_ = size_ = static_cast<std::uint64_t>(info.st_size);
    }
    mark_ = history::mark_of(history);
    return {};
}

/// False where somebody took the file away or wrote to it, or it cannot be written.
bool HistoryFile::append(const std::string& text) {
    const auto path = directory_ / history_name;
    const Fd file(open(path.c_str(), O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC));
    struct stat info{};
    const bool ours = file && fstat(file.get(), &info) == 0 && info.st_ino == inode_ &&
                      static_cast<std::uint64_t>(info.st_size) == size_;
    if (!ours || !write_all(file.get(), text)) {
        return false;
    }
    size_ += text.size();
    return true;
}

}  // namespace upstat::agent
