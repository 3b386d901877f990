// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <zlib.h>

#include <string>
#include <string_view>

namespace upstat {

/// Packs a text that comes in pieces.
class Gzip {
  public:
    Gzip();
    Gzip(const Gzip&) = delete;
    Gzip& operator=(const Gzip&) = delete;
    ~Gzip();

    void add(std::string_view piece) { pack(piece, Z_NO_FLUSH); }

    /// All of it, packed.
    std::string finish();

  private:
    void pack(std::string_view piece, int flush);

    z_stream stream_{};
    std::string packed_;
};

}  // namespace upstat
