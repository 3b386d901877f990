// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace upstat::cli {

/// Logs go to stderr, one line an event, as logfmt or JSON.
void set_up_log(const std::string& level, const std::string& format);

}  // namespace upstat::cli
