// SPDX-License-Identifier: Apache-2.0
#include "base/file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "base/fd.hpp"

namespace upstat {

// Not by a stream: an iterator of libstdc++ throws where read(2) fails, and /proc's files fail when their process ends.
std::optional<std::string> read_file(const std::filesystem::path& file) {
    const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        return std::nullopt;
    }
    std::string text;
    std::array<char, 16384> piece{};
    for (;;) {
        const auto size = ::read(fd.get(), piece.data(), piece.size());
        if (size <= 0) {
            return size == 0 ? std::optional(std::move(text)) : std::nullopt;
        }
        text.append(piece.data(), static_cast<std::size_t>(size));
    }
}

}  // namespace upstat
