// SPDX-License-Identifier: Apache-2.0
#include "publish/gzip.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>

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

PackedText packed(std::string_view text, std::size_t piece_bytes) {
    Packer packer;
    for (; !text.empty(); text.remove_prefix(std::min(piece_bytes, text.size()))) {
        EXPECT_TRUE(packer.write(text.substr(0, piece_bytes)));
    }
    auto done = packer.finish();
    EXPECT_TRUE(done);
    return done ? std::move(*done) : PackedText();
}

using Read = std::size_t (PackedText::*)(std::uint64_t, std::span<char>) const;

/// From `at` on, by reads of this size.
std::string read_back(const PackedText& packed, std::uint64_t at, std::size_t size, Read read = &PackedText::read) {
    std::string text;
    std::string piece(size, '\0');
    while (const auto count = (packed.*read)(at, piece)) {
        text.append(piece, 0, count);
        at += count;
    }
    return text;
}

/// The same whatever the reads.
std::string in_packed_form(const PackedText& packed) {
    const auto whole = read_back(packed, 0, packed.packed_size() + 1, &PackedText::read_packed);
    EXPECT_EQ(whole.size(), packed.packed_size());
    for (const std::size_t size : {std::size_t{1}, std::size_t{999}, PackedText::block_bytes}) {
        EXPECT_TRUE(read_back(packed, 0, size, &PackedText::read_packed) == whole) << size;
    }
    EXPECT_TRUE(read_back(packed, whole.size() / 2, 999, &PackedText::read_packed) == whole.substr(whole.size() / 2));
    return whole;
}

TEST(Gzip, IsReadByZlibWhateverThePieces) {
    const auto text = series(100'000);
    for (const std::size_t size : {std::size_t{1000}, std::size_t{65'537}, text.size()}) {
        const auto kept = packed(text, size);
        EXPECT_LT(kept.packed_size(), text.size() / 4);
        EXPECT_TRUE(unpacked(in_packed_form(kept)) == text) << size;
    }
}

TEST(Gzip, IsReadFromAnyPlaceOn) {
    const auto text = series(20'000);
    const auto kept = packed(text, text.size());
    ASSERT_EQ(kept.size(), text.size());
    for (const std::size_t at : {std::size_t{0}, std::size_t{1}, PackedText::block_bytes - 1, PackedText::block_bytes,
                                 3 * PackedText::block_bytes + 5, text.size() - 1, text.size(), text.size() + 1}) {
        for (const std::size_t size : {std::size_t{999}, PackedText::block_bytes, 3 * PackedText::block_bytes}) {
            EXPECT_TRUE(read_back(kept, at, size) == text.substr(std::min(at, text.size()))) << at << ' ' << size;
        }
    }
}

TEST(Gzip, KeepsWhatDoesNotPack) {
    std::string noise;
    for (std::uint64_t state = 1; noise.size() < 200'000; state = state * 6364136223846793005U + 1442695040888963407U) {
        noise.push_back(static_cast<char>(state >> 56U));
    }
    const auto kept = packed(noise, noise.size());
    EXPECT_TRUE(unpacked(in_packed_form(kept)) == noise);
    EXPECT_TRUE(read_back(kept, 0, PackedText::block_bytes) == noise);
}

TEST(Gzip, OfNothingIsNothing) {
    const auto nothing = packed("", 1);
    EXPECT_EQ(unpacked(in_packed_form(nothing)), "");
    EXPECT_EQ(read_back(nothing, 0, 10), "");
}

TEST(Gzip, IsTakenByWhomItIsSaidToBe) {
    for (const auto* const yes : {"gzip", "GZIP", "x-gzip", "*", "br, gzip", "deflate,gzip;q=0.1", "gzip; q=1.0",
                                  "br;q=1, * ; q=0.5", "gzip;Q=1", "identity;q=0, gzip", ",,gzip", "gzip;level=9"}) {
        EXPECT_TRUE(accepts_gzip(yes)) << yes;
    }
    for (const auto* const no :
         {"", "br", "identity", "gzip;q=0", "GZIP;Q=0.000", "gzip ; q = 0", "*;q=0", "gzip;q=0, *", "*, gzip;q=0",
          "gzipped", "gzip;q=", "gzip;q=x", ";", ",", "gzip;q=-1"}) {
        EXPECT_FALSE(accepts_gzip(no)) << no;
    }
}

}  // namespace
}  // namespace upstat::publish
