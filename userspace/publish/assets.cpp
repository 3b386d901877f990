// SPDX-License-Identifier: Apache-2.0
#include "publish/assets.hpp"

#include <array>

#include "publish/page_files.h"

#define UPSTAT_ASSET_BOUNDS(symbol, file, path, type) extern "C" const char symbol##_begin, symbol##_end;
UPSTAT_PAGE_FILES(UPSTAT_ASSET_BOUNDS)

namespace upstat::publish {

std::span<const Asset> assets() {
#define UPSTAT_ASSET(symbol, file, path, type) Asset{path, type, {&symbol##_begin, &symbol##_end}},
    static const std::array all{UPSTAT_PAGE_FILES(UPSTAT_ASSET)};
    return all;
}

}  // namespace upstat::publish
