// SPDX-License-Identifier: Apache-2.0
#include "cli/log.hpp"

#include <spdlog/fmt/fmt.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "base/error.hpp"
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

/// What is wrong, and what to do about it: see Error::text().
struct Said {
    std::string_view message;
    std::string_view hint;  ///< empty: none
};

Said said_of(const spdlog::details::log_msg& message) {
    const std::string_view all(message.payload.data(), message.payload.size());
    const auto mark = all.rfind(Error::hint_mark);
    return mark == std::string_view::npos
               ? Said{.message = all, .hint = {}}
               : Said{.message = all.substr(0, mark), .hint = all.substr(mark + Error::hint_mark.size())};
}

/// The message, and the hint where there is one, as two fields of these names. JSON's quoting is logfmt's too.
class QuotedFields : public spdlog::custom_flag_formatter {
  public:
    QuotedFields(std::string_view message_field, std::string_view hint_field)
        : message_field_(message_field), hint_field_(hint_field) {}

    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& into) override {
        const auto said = said_of(message);
        auto text = std::string(message_field_) + quoted(std::string(said.message));
        if (!said.hint.empty()) {
            text += std::string(hint_field_) + quoted(std::string(said.hint));
        }
        into.append(text.data(), text.data() + text.size());
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<QuotedFields>(message_field_, hint_field_);
    }

  private:
    std::string_view message_field_;
    std::string_view hint_field_;
};

/// The journal has the time in a field of its own. A hint stands below its message, for who reads, and in a field.
class Journal : public spdlog::sinks::base_sink<std::mutex> {
  protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        auto fields = std::vector<std::string>{"MESSAGE=" + std::string(message.payload.data(), message.payload.size()),
                                               fmt::format("PRIORITY={}", priority_of(message.level)),
                                               "SYSLOG_IDENTIFIER=upstat"};
        if (const auto hint = said_of(message).hint; !hint.empty()) {
            fields.push_back("UPSTAT_HINT=" + std::string(hint));
        }
        std::vector<iovec> parts;
        parts.reserve(fields.size());
        for (auto& field : fields) {
            parts.push_back({.iov_base = field.data(), .iov_len = field.size()});
        }
        sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
    }
    void flush_() override {}

  private:
    static int priority_of(spdlog::level::level_enum level) {
        switch (level) {
            case spdlog::level::trace:
            case spdlog::level::debug:
                return LOG_DEBUG;
            case spdlog::level::warn:
                return LOG_WARNING;
            case spdlog::level::err:
                return LOG_ERR;
            default:
                return LOG_INFO;
        }
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
    if (format == "logfmt" && stderr_is_the_journal()) {
        auto journal = std::make_shared<spdlog::logger>("upstat", std::make_shared<Journal>());
        journal->set_level(spdlog::level::from_str(level));
        spdlog::set_default_logger(std::move(journal));
        return;
    }
    auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
    const bool json = format == "json";
    formatter->add_flag<QuotedFields>('Q', json ? R"("msg":)" : "msg=", json ? R"(,"hint":)" : " hint=")
        .set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%Q})"
                          : "time=%Y-%m-%dT%H:%M:%S.%eZ level=%l %Q");
    auto logger = std::make_shared<spdlog::logger>("upstat", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    logger->set_formatter(std::move(formatter));
    logger->set_level(spdlog::level::from_str(level));
    spdlog::set_default_logger(std::move(logger));
}

}  // namespace upstat::cli
