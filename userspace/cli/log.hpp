// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace upstat::cli {

/// Logs go to stderr, one line an event, as logfmt or JSON. Where stderr is systemd's journal and logfmt is asked for,
/// they go there as messages with a level.
void set_up_log(const std::string& level, const std::string& format);

}  // namespace upstat::cli
