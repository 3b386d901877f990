// SPDX-License-Identifier: Apache-2.0
#include "generate.hpp"
namespace upstat::peer {
bool generate(Wire&, Counts&, std::uint64_t, int) { return true; }
}
