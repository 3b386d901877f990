// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"

namespace upstat::attribute {

/// The addresses of these names in an /etc/hosts. Names are compared as Go's resolver does: letters of either case, a
/// dot at the end does not matter.
std::map<std::string, std::set<std::string>> hosts_of(std::string_view text, const std::set<std::string>& names);

/// What an /etc/resolv.conf says, read and bounded as Go's resolver does (net/dnsconfig_unix.go).
struct DnsSettings {
    std::vector<std::string> servers;  ///< numeric, 3 at most; the loopback where the file names none
    std::vector<std::string> search;   ///< each with a dot at its end, 6 at most
    int dots = 1;                      ///< a name with fewer is looked for in `search` first
    Millis timeout = std::chrono::seconds(5);
    int attempts = 2;
    bool rotate = false;
    bool tcp = false;
};

/// `host_name` is of the host that has the file: what follows its first dot is searched where the file says nothing.
DnsSettings parse_resolv_conf(std::string_view text, std::string_view host_name);

/// The names to ask for, in turn, each with a dot at its end.
std::vector<std::string> search_list(const std::string& name, const DnsSettings& settings);

}  // namespace upstat::attribute
