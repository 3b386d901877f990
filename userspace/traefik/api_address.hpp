// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/regular_file.hpp"
#include "traefik/find.hpp"

namespace upstat::traefik {

/// Where a Traefik's API should be.
struct ApiAddress {
    std::string url;      ///< "http://127.0.0.1:8080" or with api.basePath behind it; "/api/rawdata" is to be appended.
                          ///< Empty: it is not to be asked, and `source` says why
    std::string source;   ///< where that was read, for the log: "/etc/traefik/traefik.yml", "Traefik's default"
    std::string proxy{};  ///< the variable of the process's environment that sends its requests to a proxy
    std::string files{};  ///< the directory of the file provider, absolute as the process sees it; empty: it has none
    std::vector<std::string> asked{};  ///< where the process sends requests of its own: providers, receivers of traces
    bool flattens = false;  ///< hostResolver.cnameFlattening: a rule's host may be the alias of what a request names
    bool is_fast = false;   ///< experimental.fastProxy
};

/// A configuration file of a Traefik as it was read. It is parsed again only when it has changed.
struct ConfigurationFile {
    struct Settings {
        std::optional<std::string> address;                 ///< entryPoints.traefik.address
        std::optional<std::string> base_path;               ///< api.basePath
        bool api = false;                                   ///< there is an `api`, whatever it says
        std::map<std::string, std::string> entry_points{};  ///< the addresses of the others
        std::optional<std::string> file;                    ///< providers.file.filename
        std::optional<std::string> directory;               ///< providers.file.directory
        std::vector<std::string> asked{};                   ///< as in ApiAddress
        bool flattens = false;                              ///< likewise
        bool is_fast = false;                               ///< likewise
    };
    std::string path;  ///< as the process sees it; empty: none was read
    struct stat status{};
    Settings settings{};
    std::string problem{};  ///< why nothing can be told from it
};

/// How a process was started, opened with the privileges that this takes.
struct OpenedConfiguration {
    pid_t pid = 0;
    std::vector<std::string> arguments{};
    std::vector<std::string> environment{};
    std::string cwd{};  ///< the links of its directory
    std::string root{};
    std::string path{};  ///< of its configuration file, as the process sees it; empty: it has none
    RegularFile file{};
    Fd addresses_v4{};  ///< net/fib_trie and net/if_inet6
    Fd addresses_v6{};
};

/// May wait for a file system from which nothing comes.
OpenedConfiguration open_configuration(const std::filesystem::path& root, pid_t pid);

/// Read from how the process was started: its configuration file, else its command line, else its environment. Traefik
/// takes the first of the three that there is and ignores the others, and so does this. The port is never probed: a
/// probe could be proxied and counted. There is nothing to ask where the configuration has neither an `api` nor an
/// entry point `traefik`, nor on a port on which another entry point listens: to that one our requests would be a
/// client's, and their 404s would raise the alert. To be asked from the process's network namespace, and only while
/// the socket that listens there is the process's own (listener.hpp).
///
/// The process's owner chose all of this, so: a file is a regular one inside the process's root and of 64 KB at most,
/// an address is the loopback or one of the process's network namespace, a path is plain. What is not is said in
/// `source`, escaped and cut.
ApiAddress api_address(const OpenedConfiguration& opened, ConfigurationFile& known);

}  // namespace upstat::traefik
