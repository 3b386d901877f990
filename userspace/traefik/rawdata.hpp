// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "attribute/catalogue.hpp"
#include "base/error.hpp"

namespace upstat::traefik {

/// The response of Traefik v2's and v3's /api/rawdata. Only services with a load balancer become backends, named as
/// Traefik names them (`name@provider`), the servers of TCP and UDP services are its streams; a host name's addresses
/// are still missing (resolve.hpp fills them in). `url` is what was asked, for the error sentence. Whatever the body
/// is, a wrong one is an Error and never throws.
Result<attribute::Catalogue> parse_rawdata(std::string_view body, const std::string& url);

/// The response of Traefik v1's /api/providers. Its metrics label a backend by its bare name, so that is the name here.
Result<attribute::Catalogue> parse_providers(std::string_view body, const std::string& url);

/// The response of /api/version: "3.7.15".
Result<std::string> parse_version(std::string_view body, const std::string& url);

}  // namespace upstat::traefik
