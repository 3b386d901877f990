// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "publish/responses.hpp"

namespace upstat::publish {

/// The pages by which libmicrohttpd itself refuses what is no request (400, 413, 414, 431, 505) are as strict as ours,
/// on this thread, while this lives. They are fixed texts.
class StrictRefusals {
  public:
    /// `headers` are those of every response.
    explicit StrictRefusals(const Headers& headers);
    StrictRefusals(const StrictRefusals&) = delete;
    StrictRefusals& operator=(const StrictRefusals&) = delete;
    ~StrictRefusals();
};

}  // namespace upstat::publish
