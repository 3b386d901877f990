// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "attribute/catalogue.hpp"
#include "base/error.hpp"

namespace upstat::traefik {

/// What a response lists.
struct ReadCatalogue {
    attribute::Catalogue catalogue;
    std::size_t left_out = 0;  ///< names and urls of more than 512 bytes
};

/// The longest response that is read: 100,000 services with a router each are 40 MB.
constexpr std::size_t max_catalogue_bytes = std::size_t{64} << 20;
constexpr std::size_t max_version_bytes = std::size_t{64} << 10;

/// The response of Traefik v2's and v3's /api/rawdata. Only services with a load balancer become backends, named as
/// Traefik names them (`name@provider`), the servers of TCP and UDP services are its streams; a host name's addresses
/// are still missing (resolve.hpp fills them in). `url` is what was asked, for the error sentence, in which no byte of
/// the body stands but names that Traefik would have chosen, escaped and cut. Whatever the body is, a wrong one is an
/// Error and never throws. At most 200,000 backends and servers are listed.
Result<ReadCatalogue> parse_rawdata(std::string_view body, const std::string& url);

/// The response of Traefik v1's /api/providers. Its metrics label a backend by its bare name, so that is the name here.
Result<ReadCatalogue> parse_providers(std::string_view body, const std::string& url);

/// The response of /api/version: "3.7.15".
Result<std::string> parse_version(std::string_view body, const std::string& url);

}  // namespace upstat::traefik
