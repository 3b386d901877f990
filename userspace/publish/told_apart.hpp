// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <set>
#include <string>

#include "publish/query.hpp"
#include "publish/report.hpp"

namespace upstat::publish {

/// What pages and JSON call backends and servers: by their names and, where those of another Traefik read the same,
/// whose they are: "shop@file of traefik.service". No two are called the same. The report outlives it.
class ToldApart {
  public:
    explicit ToldApart(const Report& report);

    [[nodiscard]] std::string name(const attribute::BackendName& backend) const;
    [[nodiscard]] std::string name(const poll::Server& server) const;

    /// The backend that a query means: by what it is called here, or by its own name and `traefik`. Nothing where there
    /// is none, or where several Traefiks have it and the query does not say which.
    [[nodiscard]] std::optional<attribute::BackendName> asked_backend(const Query& query) const;
    /// The same of a server that has a history.
    [[nodiscard]] std::optional<poll::Server> asked_server(const Query& query) const;

  private:
    [[nodiscard]] std::string told(const std::string& name, std::uint16_t zone, bool has_namesake) const;

    const Report* report_;
    std::set<std::string> namesakes_;  ///< labels of servers that several Traefiks have
};

}  // namespace upstat::publish
