// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>

#include "publish/connection.hpp"

namespace upstat {

/// What the web server has to know of a request.
struct WebRequest {
    std::string method;
    std::string path;     ///< without a query
    bool chunks = false;  ///< the client takes an answer in chunks: HTTP/1.1
    bool gzip = false;    ///< the client takes gzip
};

/// Reads a request's head; a body is left unread. The error is the status of the answer to it, 0 for none at all.
std::expected<WebRequest, int> read_request(Connection& connection);

/// "OK", ...: for the statuses that the web server gives.
const char* reason_phrase(int status);

}  // namespace upstat
