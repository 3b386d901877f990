// SPDX-License-Identifier: Apache-2.0
#include "publish/gzip.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <utility>

namespace upstat::publish {

namespace {

constexpr std::size_t gzip_header_bytes = 10;

bool equal_caseless(std::string_view a, std::string_view b) {
    constexpr auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trimmed(std::string_view text) {
    constexpr auto blanks = " \t";
    const auto begin = text.find_first_not_of(blanks);
    return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

/// What stands before the separator; leaves in `text` what stands behind it.
std::string_view cut_off(std::string_view& text, char separator) {
    const auto end = std::min(text.find(separator), text.size());
    const auto part = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    return part;
}

/// The parameters are those of one coding: "q=0.5". A weight that is no number allows nothing.
bool has_weight(std::string_view parameters) {
    while (!parameters.empty()) {
        auto value = cut_off(parameters, ';');
        if (equal_caseless(cut_off(value, '='), "q")) {
            double weight = 0;
            const auto parsed = std::from_chars(value.data(), value.data() + value.size(), weight);
            return parsed.ec == std::errc{} && weight > 0;
        }
    }
    return true;
}

}  // namespace

std::size_t PackedText::read(std::uint64_t at, std::span<char> to) const {
    if (at >= size_) {
        return 0;
    }
    const auto skipped = static_cast<std::size_t>(at % block_bytes);
    if (skipped == 0 && to.size() >= block_bytes) {
        return unpack(at / block_bytes, to);
    }
    std::array<char, block_bytes> text;
    const auto unpacked = unpack(at / block_bytes, text);
    const auto count = std::min(to.size(), unpacked - std::min(skipped, unpacked));
    std::copy_n(text.data() + skipped, count, to.data());
    return count;
}

std::size_t PackedText::unpack(std::uint64_t block, std::span<char> to) const {
    const auto packed = std::string_view(blocks_[block].packed).substr(block == 0 ? gzip_header_bytes : 0);
    inflate_state state;
    isal_inflate_init(&state);
    state.next_in = reinterpret_cast<std::uint8_t*>(const_cast<char*>(packed.data()));  // it is only read
    state.avail_in = static_cast<std::uint32_t>(packed.size());
    state.next_out = reinterpret_cast<std::uint8_t*>(to.data());
    state.avail_out = block_bytes;
    isal_inflate_stateless(&state);  // it misses the end of the stream, which is not here
    return block_bytes - state.avail_out;
}

std::size_t PackedText::read_packed(std::uint64_t at, std::span<char> to) const {
    if (at >= packed_size_) {
        return 0;
    }
    auto block = std::prev(std::ranges::upper_bound(blocks_, at, {}, &Block::begin));
    std::size_t count = 0;
    for (; block != blocks_.end() && count < to.size(); ++block) {
        const auto more = std::string_view(block->packed).substr(at + count - block->begin, to.size() - count);
        std::ranges::copy(more, to.data() + count);
        count += more.size();
    }
    return count;
}

Packer::Packer()
    : stream_(std::make_unique<isal_zstream>()), tables_(ISAL_DEF_LVL1_DEFAULT), room_(PackedText::block_bytes) {
    isal_deflate_init(stream_.get());
    stream_->level = 1;
    stream_->level_buf = tables_.data();
    stream_->level_buf_size = static_cast<std::uint32_t>(tables_.size());
    stream_->gzip_flag = IGZIP_GZIP;
    stream_->flush = FULL_FLUSH;
    block_.reserve(PackedText::block_bytes);
}

bool Packer::write(std::string_view piece) {
    while (!piece.empty()) {
        const auto taken = piece.substr(0, PackedText::block_bytes - block_.size());
        block_ += taken;
        piece.remove_prefix(taken.size());
        if (block_.size() == PackedText::block_bytes && !pack(false)) {
            return false;
        }
    }
    return true;
}

std::optional<PackedText> Packer::finish() {
    if ((!block_.empty() && !pack(false)) || !pack(true)) {
        return std::nullopt;
    }
    return std::move(text_);
}

/// Packs the block that is full, or writes the end.
bool Packer::pack(bool last) {
    std::string packed;
    stream_->next_in = reinterpret_cast<std::uint8_t*>(block_.data());
    stream_->avail_in = static_cast<std::uint32_t>(block_.size());
    stream_->end_of_stream = last ? 1 : 0;
    do {
        stream_->next_out = room_.data();
        stream_->avail_out = static_cast<std::uint32_t>(room_.size());
        if (isal_deflate(stream_.get()) != COMP_OK) {
            return false;
        }
        packed.append(reinterpret_cast<const char*>(room_.data()), room_.size() - stream_->avail_out);
    } while (stream_->avail_out == 0);
    text_.size_ += block_.size();
    block_.clear();
    const auto begin = std::exchange(text_.packed_size_, text_.packed_size_ + packed.size());
    text_.blocks_.push_back({.packed = std::move(packed), .begin = begin});
    return stream_->avail_in == 0 && (!last || stream_->internal_state.state == ZSTATE_END);
}

bool accepts_gzip(std::string_view accept_encoding) {
    bool any = false;
    while (!accept_encoding.empty()) {
        auto parameters = cut_off(accept_encoding, ',');
        const auto coding = cut_off(parameters, ';');
        if (equal_caseless(coding, "gzip") || equal_caseless(coding, "x-gzip")) {
            return has_weight(parameters);
        }
        any |= coding == "*" && has_weight(parameters);
    }
    return any;
}

}  // namespace upstat::publish
