// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat::publish {

/// A listening, non-blocking TCP socket and the address that it got ("127.0.0.1:9479", "[::1]:9479").
struct Listener {
    Fd fd;
    std::string address;
};

/// Listens on "host:port", "[v6]:port" or ":port" (all addresses of this host); port 0 takes a free one.
Result<Listener> listen_on(const std::string& address);

}  // namespace upstat::publish
