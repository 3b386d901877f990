// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/fd.hpp"
#include "base/http_request.hpp"

namespace upstat {

/// A request, and all for which a thread without privileges could not send it by itself: what the files hold that only
/// root may read, and sockets that live in another network namespace.
struct OpenedRequest {
    HttpRequest request;
    std::string ca{};     ///< PEM, of request.files
    std::string cert{};   ///< PEM
    std::string key{};    ///< PEM
    std::string token{};  ///< bearer
    Fd socket_v4{};       ///< in request.network_namespace, where that is set: one for each family of addresses
    Fd socket_v6{};
    std::string problem{};  ///< why it cannot be sent; empty when it can
};

/// On a thread with privileges. Never waits for another machine.
OpenedRequest opened(HttpRequest request);

}  // namespace upstat
