// SPDX-License-Identifier: Apache-2.0
#include "publish/gzip.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <iterator>
#include <string>

namespace upstat::publish {
namespace {

/// By zlib: what is packed is for others to read.
std::string unpacked(const std::string& packed) {
    z_stream stream{};
    EXPECT_EQ(inflateInit2(&stream, 16 + MAX_WBITS), Z_OK);  // gzip and nothing else
    std::string text;
    std::string piece(1 << 16, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    stream.avail_in = static_cast<uInt>(packed.size());
    int status = Z_OK;
    while (status == Z_OK) {
        stream.next_out = reinterpret_cast<Bytef*>(piece.data());
        stream.avail_out = static_cast<uInt>(piece.size());
        status = inflate(&stream, Z_NO_FLUSH);
        text.append(piece, 0, piece.size() - stream.avail_out);
    }
    EXPECT_EQ(status, Z_STREAM_END);
    EXPECT_EQ(stream.avail_in, 0U);
    inflateEnd(&stream);
    return text;
}

std::string series(int count) {
    std::string text;
    for (int i = 0; i < count; i++) {
        fmt::format_to(std::back_inserter(text), "upstat_requests_total{{server=\"10.0.0.{}:80\"}} {}\n", i,
                       i * 7919LL);
    }
    return text;
}

Sink append_to(std::string& packed) {
    return [&packed](std::string_view piece) {
        packed += piece;
        return true;
    };
}

TEST(Gzip, IsReadByZlibWhateverThePieces) {
    const auto text = series(100'000);
    for (const std::size_t size : {std::size_t{1000}, std::size_t{65'537}, text.size()}) {
        std::string packed;
        const auto sink = append_to(packed);
        Gzip gzip(sink);
        for (std::size_t at = 0; at < text.size(); at += size) {
            ASSERT_TRUE(gzip.write(std::string_view(text).substr(at, size)));
        }
        ASSERT_TRUE(gzip.finish());
        EXPECT_LT(packed.size(), text.size() / 4);
        EXPECT_TRUE(unpacked(packed) == text) << size;
    }
}

TEST(Gzip, OfNothingIsNothing) {
    std::string packed;
    const auto sink = append_to(packed);
    ASSERT_TRUE(Gzip(sink).finish());
    EXPECT_EQ(unpacked(packed), "");
}

TEST(Gzip, EndsWithASinkThatIsGone) {
    int taken = 0;
    const Sink sink = [&taken](std::string_view /*piece*/) { return ++taken < 2; };
    Gzip gzip(sink);
    const auto text = series(1'000'000);
    EXPECT_FALSE(gzip.write(text));
    EXPECT_EQ(taken, 2);
}

}  // namespace
}  // namespace upstat::publish
