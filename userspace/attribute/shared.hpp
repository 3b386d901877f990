// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "attribute/catalogue.hpp"

namespace upstat::attribute {

/// The provider of a backend that stands for several: no provider of Traefik's has this name.
inline constexpr auto shared_provider = "shared";

/// The kernel counts by server. So a response of a server that several backends list is none of them's in particular:
/// counted for each, one bad route would raise an alert for each, and a bad small one would drown in a large one's
/// traffic. Here such a server is taken from these backends and given to one that stands for all of them, named
/// "a@file|b@file". Each keeps the servers that it alone lists.
Catalogue with_shared(Catalogue catalogue);

/// The catalogue that with_shared was given, but for the addresses of host names.
Catalogue without_shared(Catalogue catalogue);

}  // namespace upstat::attribute
