// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace upstat {

using Millis = std::chrono::milliseconds;

/// A wall-clock moment with Prometheus's resolution. No room reads a clock: main's loop does, and hands it in.
using Time = std::chrono::sys_time<Millis>;

}  // namespace upstat
