// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace upstat {

/// What a failed step says to the person who reads it. The values are the exit codes (README.md, Commands).
struct Error {
    enum class Kind : std::uint8_t { runtime = 1, usage = 2, host = 3 };

    Kind kind = Kind::runtime;
    std::string message;  ///< what is wrong and where, without a final full stop
    std::string hint;     ///< what to do about it; may be empty

    /// "message" or "message\nHINT: hint".
    [[nodiscard]] std::string text() const { return hint.empty() ? message : message + std::string(hint_mark) + hint; }
    /// The same, with what follows from it: "message: consequence\nHINT: hint".
    [[nodiscard]] std::string text(const std::string& consequence) const {
        return Error{.kind = kind, .message = message + ": " + consequence, .hint = hint}.text();
    }

    static constexpr std::string_view hint_mark = "\nHINT: ";
};

template <typename T>
using Result = std::expected<T, Error>;

/// A failed Result, for `return fail(Error::Kind::host, "...", "...")`.
inline std::unexpected<Error> fail(Error::Kind kind, std::string message, std::string hint = {}) {
    return std::unexpected(Error{kind, std::move(message), std::move(hint)});
}

/// The system's words for an errno, as they stand within a sentence: "connection refused".
std::string error_words(int error);

}  // namespace upstat
