// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <microhttpd.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "publish/exposition.hpp"
#include "publish/query.hpp"

namespace upstat::publish {

struct DestroyResponse {
    void operator()(MHD_Response* response) const { MHD_destroy_response(response); }
};
using Response = std::unique_ptr<MHD_Response, DestroyResponse>;

/// What every response says besides, in place of what it would say by itself.
using Headers = std::map<std::string, std::string>;

/// What every response says. One connection is for one request.
void add_headers(MHD_Response* response, std::string_view type, const Headers& headers);

/// One that says a line of plain text.
Response text_response(std::string_view text, const Headers& headers);

/// The responses that show a page. Each text is written once, when it is first asked for, and kept packed only: what a
/// thousand clients ask for and do not read costs no more than what one asks for. Of pages that heed a query, the last
/// few are kept.
class Responses {
  public:
    /// Whether the path shows a page.
    [[nodiscard]] static bool has(std::string_view path);

    /// The response for such a path; null where it could not be made, as of a query for what there is not. Another
    /// edition of the page, or other headers, make all anew.
    MHD_Response* get(const Page& page, std::uint64_t edition, std::string_view path, const Query& query, bool packed,
                      const Headers& headers);

  private:
    struct Pair {
        Response plain;
        Response packed;
    };
    std::uint64_t edition_ = 0;
    Headers headers_;
    using Made = std::map<std::pair<std::string_view, Query>, Pair>;  ///< by path; a page that heeds no query has none
    Made made_;
    Made made_for_query_;
};

}  // namespace upstat::publish
