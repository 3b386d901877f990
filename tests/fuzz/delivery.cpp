// SPDX-License-Identifier: Apache-2.0
#include "delivery.hpp"

#include <algorithm>
#include <vector>

namespace upstat::fuzz {

namespace {

/// Bytes of an answer that come before the ones in front of them are kept up to here (SCATTERED_BYTES).
constexpr std::size_t kept_bytes = 4096;

/// Which bytes of a stream have come.
class Arrivals {
  public:
    Arrivals(std::size_t size, std::size_t anchor) : come_(size), kept_end_(anchor + kept_bytes) {
        std::fill_n(come_.begin(), std::min(anchor, size), true);
    }

    std::size_t first_missing() const { return std::find(come_.begin(), come_.end(), false) - come_.begin(); }

    bool is_kept(Piece piece) const { return piece.begin <= first_missing() || piece.begin + piece.size <= kept_end_; }

    void add(Piece piece) { std::fill_n(come_.begin() + static_cast<std::ptrdiff_t>(piece.begin), piece.size, true); }

    /// The first run of bytes that have not come; of size 0 where all have.
    Piece gap() const {
        const auto begin = std::find(come_.begin(), come_.end(), false);
        const auto end = std::find(begin, come_.end(), true);
        return {.begin = static_cast<std::size_t>(begin - come_.begin()),
                .size = static_cast<std::size_t>(end - begin)};
    }

  private:
    std::vector<bool> come_;
    std::size_t kept_end_;
};

Piece clip(Piece piece, std::size_t size) {
    piece.begin = std::min(piece.begin, size);
    piece.size = std::min(piece.size, size - piece.begin);
    return piece;
}

}  // namespace

std::string to_string(Verdict verdict) {
    switch (verdict.kind) {
        case Verdict::Kind::waiting:
            return "waiting";
        case Verdict::Kind::answered:
            return "answered " + std::to_string(verdict.code);
        case Verdict::Kind::malformed:
            return "malformed";
        case Verdict::Kind::unparsed:
            return "unparsed";
    }
    return "";
}

Verdict verdict_of(const Connection& connection) {
    if (connection.requests() != 1 || connection.answers() + connection.unanswered() > 1) {
        fail("1 request was sent; counted: %lu, %lu answers, %lu unanswered", connection.requests(),
             connection.answers(), connection.unanswered());
    }
    connection.check_balance();
    if (connection.answers()) {
        return {.kind = Verdict::Kind::answered, .code = connection.code()};
    }
    if (connection.unanswered(UPSTAT_UNANSWERED_MALFORMED)) {
        return {.kind = Verdict::Kind::malformed};
    }
    if (connection.unanswered(UPSTAT_UNANSWERED_UNPARSED)) {
        return {.kind = Verdict::Kind::unparsed};
    }
    return {};
}

bool deliver(Connection& connection, std::string_view stream, std::size_t anchor, std::span<const Piece> pieces) {
    Arrivals arrivals(stream.size(), anchor);
    bool all_kept = true;
    const auto segment = [&](Piece piece) {
        return Segment{.at = piece.begin, .bytes = stream.substr(piece.begin, piece.size)};
    };
    for (std::size_t i = 0; i < pieces.size(); i++) {
        const Piece piece = clip(pieces[i], stream.size());
        all_kept = all_kept && arrivals.is_kept(piece);
        if (piece.point && i + 1 < pieces.size()) {
            const Piece other = clip(pieces[++i], stream.size());
            all_kept = all_kept && arrivals.is_kept(other);
            connection.receive(segment(piece), segment(other), piece.point);
            arrivals.add(other);
        } else {
            connection.receive(segment(piece));
        }
        arrivals.add(piece);
    }
    for (Piece gap = arrivals.gap(); gap.size; gap = arrivals.gap()) {
        connection.receive(segment(gap));
        arrivals.add(gap);
    }
    return all_kept;
}

}  // namespace upstat::fuzz
