// SPDX-License-Identifier: Apache-2.0
#include "publish/refusals.hpp"

#include <dlfcn.h>

namespace upstat::publish {

namespace {

thread_local const Headers* headers_of_refusals = nullptr;

void make_strict(MHD_Response* response) {
    if (headers_of_refusals != nullptr && response != nullptr &&
        MHD_get_response_header(response, "X-Content-Type-Options") == nullptr) {
        add_headers(response, "text/html; charset=utf-8", *headers_of_refusals);
    }
}

}  // namespace

StrictRefusals::StrictRefusals(const Headers& headers) {
    headers_of_refusals = &headers;
}

StrictRefusals::~StrictRefusals() {
    headers_of_refusals = nullptr;
}

}  // namespace upstat::publish

/// libmicrohttpd has no option and no callback for its own pages, but it queues them by this public function of its,
/// which the dynamic linker looks for here first. Where a build of the library does not ask the linker, its pages are
/// as it makes them, and a unit test fails.
extern "C" MHD_Result MHD_queue_response(MHD_Connection* connection, unsigned int status, MHD_Response* response) {
    static const auto queue = reinterpret_cast<decltype(&MHD_queue_response)>(dlsym(RTLD_NEXT, "MHD_queue_response"));
    upstat::publish::make_strict(response);
    return queue(connection, status, response);
}
