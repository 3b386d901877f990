// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "publish/births.hpp"
#include "publish/report.hpp"

namespace upstat::publish {

inline constexpr std::string_view exposition_content_type = "text/plain; version=0.0.4; charset=utf-8";

/// One page: what it shows is settled, its text is written when somebody asks for it.
struct Page {
    std::shared_ptr<const Report> report = std::make_shared<const Report>();
    std::shared_ptr<const Young> young = std::make_shared<const Young>();
    Time scraped_since{};  ///< what was born later is shown at 0 to who scrapes
    Time pushed_since{};   ///< and in what is pushed: who reads the gateway is one step further away
};

/// Takes a page's text piece by piece; false when it wants no more.
using Sink = std::function<bool(std::string_view piece)>;

/// The Prometheus text format 0.0.4 of the whole page. False when the sink wanted no more.
bool write_page(const Page& page, const Sink& sink);
std::string page_text(const Page& page);

/// Says whose a pushed group is. At a gateway it stands near push_time_seconds, before the many series of the groups.
inline constexpr std::string_view owner_metric = "push_owner_info";

/// What a Pushgateway gets: the page without the process_* of this process, which the gateway has of its own. `owner`
/// says which agent this is, for others that would push the same group.
std::string pushed_text(const Page& page, std::string_view owner);

}  // namespace upstat::publish
