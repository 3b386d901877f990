// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "traefik/find.hpp"

namespace upstat::traefik {

/// Where a Traefik's API should be.
struct ApiAddress {
    std::string url;     ///< "http://127.0.0.1:8080" or with api.basePath behind it; "/api/rawdata" is to be appended
    std::string source;  ///< where that was read, for the log: "/etc/traefik/traefik.yml", "Traefik's default"
};

/// Read from how the process was started: its configuration file, else its command line, else its environment. Traefik
/// takes the first of the three that there is and ignores the others, and so does this. The port is never probed: a
/// probe could be proxied and counted. To be asked from the process's network namespace.
ApiAddress api_address(const std::filesystem::path& root, const Instance& traefik);

}  // namespace upstat::traefik
