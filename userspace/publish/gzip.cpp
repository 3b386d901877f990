// SPDX-License-Identifier: Apache-2.0
#include "publish/gzip.hpp"

#include <array>
#include <new>

namespace upstat {

namespace {

constexpr int gzip_window = 15 + 16;  // zlib's way to ask for gzip's frame
constexpr int usual_memory = 8;

}  // namespace

Gzip::Gzip() {
    // A page repeats itself so much that more effort would gain little and cost several times the time.
    if (deflateInit2(&stream_, Z_BEST_SPEED, Z_DEFLATED, gzip_window, usual_memory, Z_DEFAULT_STRATEGY) != Z_OK) {
        throw std::bad_alloc();
    }
}

Gzip::~Gzip() {
    deflateEnd(&stream_);
}

std::string Gzip::finish() {
    pack({}, Z_FINISH);
    return std::move(packed_);
}

void Gzip::pack(std::string_view piece, int flush) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): zlib does not write there
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream_.avail_in = static_cast<uInt>(piece.size());
    std::array<char, 16384> some{};
    do {
        stream_.next_out = reinterpret_cast<Bytef*>(some.data());
        stream_.avail_out = some.size();
        deflate(&stream_, flush);
        packed_.append(some.data(), some.size() - stream_.avail_out);
    } while (stream_.avail_out == 0);
}

}  // namespace upstat
