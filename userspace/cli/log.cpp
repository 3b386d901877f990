// SPDX-License-Identifier: Apache-2.0
#include "cli/log.hpp"

#include <spdlog/fmt/fmt.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/systemd_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "base/json_text.hpp"

namespace upstat::cli {

namespace {

/// The text as JSON quotes it, without DEL and the C1 controls, which JSON lets through and a terminal obeys.
std::string quoted(const std::string& text) {
    const auto json = json_text(text);  // UTF-8, where c2 80 to c2 9f are C1
    std::string out;
    for (std::size_t at = 0; at < json.size(); at++) {
        const auto byte = static_cast<unsigned char>(json[at]);
        const auto next = static_cast<unsigned char>(at + 1 < json.size() ? json[at + 1] : 0);
        if (byte == 0x7f) {
            out += "\\u007f";
        } else if (byte == 0xc2 && next < 0xa0) {
            out += fmt::format("\\u{:04x}", next);
            at++;
        } else {
            out += json[at];
        }
    }
    return out;
}

/// The message as a quoted string: JSON's quoting is logfmt's too.
class QuotedMessage : public spdlog::custom_flag_formatter {
  public:
    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& into) override {
        const auto text = quoted(std::string(message.payload.data(), message.payload.size()));
        into.append(text.data(), text.data() + text.size());
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<QuotedMessage>();
    }
};

/// Whether stderr is a stream of systemd's journal (systemd.exec(5), JOURNAL_STREAM).
bool stderr_is_the_journal() {
    const char* const stream = std::getenv("JOURNAL_STREAM");
    struct stat file{};
    return stream != nullptr && fstat(STDERR_FILENO, &file) == 0 &&
           fmt::format("{}:{}", file.st_dev, file.st_ino) == stream;
}

}  // namespace

void set_up_log(const std::string& level, const std::string& format) {
    if (format == "logfmt" && stderr_is_the_journal()) {  // which has the time and the level in fields of its own
        auto journal = std::make_shared<spdlog::logger>("upstat", std::make_shared<spdlog::sinks::systemd_sink_mt>());
        journal->set_level(spdlog::level::from_str(level));
        spdlog::set_default_logger(std::move(journal));
        return;
    }
    auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
    formatter->add_flag<QuotedMessage>('Q').set_pattern(
        format == "json" ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","msg":%Q})"
                         : "time=%Y-%m-%dT%H:%M:%S.%eZ level=%l msg=%Q");
    auto logger = std::make_shared<spdlog::logger>("upstat", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_formatter(std::move(formatter));
    logger->set_level(spdlog::level::from_str(level));
    spdlog::set_default_logger(std::move(logger));
}

}  // namespace upstat::cli
