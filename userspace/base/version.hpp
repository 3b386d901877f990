// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace upstat {

/// "0.2.0".
std::string_view version();

/// The commit that this program was built from, as git abbreviates it; "unknown" where it was built outside git.
std::string_view revision();

}  // namespace upstat
