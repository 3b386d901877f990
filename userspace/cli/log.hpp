// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace upstat::cli {

/// Logs go to stderr, one line an event, as logfmt or JSON; an error's hint is a field of its own. Where stderr is
/// systemd's journal and logfmt is asked for, they go there as messages with a level; the hint is a line below the
/// message, and the field UPSTAT_HINT.
void set_up_log(const std::string& level, const std::string& format);

}  // namespace upstat::cli
