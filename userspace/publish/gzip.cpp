// SPDX-License-Identifier: Apache-2.0
#include "publish/gzip.hpp"

namespace upstat::publish {

namespace {

constexpr auto packed_bytes = std::size_t{1} << 16;

}  // namespace

Gzip::Gzip(const Sink& sink)
    : sink_(sink), stream_(std::make_unique<isal_zstream>()), tables_(ISAL_DEF_LVL1_DEFAULT), packed_(packed_bytes) {
    isal_deflate_init(stream_.get());
    stream_->level = 1;
    stream_->level_buf = tables_.data();
    stream_->level_buf_size = static_cast<std::uint32_t>(tables_.size());
    stream_->gzip_flag = IGZIP_GZIP;
}

bool Gzip::write(std::string_view piece) {
    return pack(piece, false);
}

bool Gzip::finish() {
    return pack({}, true);
}

bool Gzip::pack(std::string_view piece, bool last) {
    stream_->next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(piece.data()));  // it is only read
    stream_->avail_in = static_cast<std::uint32_t>(piece.size());
    stream_->end_of_stream = last ? 1 : 0;
    do {
        stream_->next_out = packed_.data();
        stream_->avail_out = static_cast<std::uint32_t>(packed_.size());
        if (isal_deflate(stream_.get()) != COMP_OK) {
            return false;
        }
        const auto size = packed_.size() - stream_->avail_out;
        if (size != 0 && !sink_({reinterpret_cast<const char*>(packed_.data()), size})) {
            return false;
        }
    } while (stream_->avail_out == 0);
    return stream_->avail_in == 0 && (!last || stream_->internal_state.state == ZSTATE_END);
}

}  // namespace upstat::publish
