// SPDX-License-Identifier: Apache-2.0
#include "publish/refusals.hpp"

#include <dlfcn.h>

namespace upstat::publish {

namespace {

thread_local const Headers* headers_of_refusals = nullptr;

bool is_strict(MHD_Response* response) {
    return MHD_get_response_header(response, "X-Content-Type-Options") != nullptr;
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
    using namespace upstat::publish;
    if (headers_of_refusals != nullptr && response != nullptr && !is_strict(response)) {
        add_headers(response, "text/html; charset=utf-8", *headers_of_refusals);
    }
    return queue(connection, status, response);
}
