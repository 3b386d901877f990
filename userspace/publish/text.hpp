// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace upstat::publish {

/// Appends `value` as it stands between the quotes of a label. Bytes that are no UTF-8 become U+FFFD: one of them would
/// cost the scraper the whole page.
void append_label_value(std::string& out, std::string_view value);

/// The shortest decimal text that reads back as the same double; NaN, +Inf and -Inf as Prometheus spells them.
void append_number(std::string& out, double value);

}  // namespace upstat::publish
