// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "publish/tls.hpp"

namespace upstat::publish {

/// What --web.config.file says: who may see the pages, and how they travel.
struct WebConfig {
    std::shared_ptr<const Tls> tls;              ///< none: plain HTTP
    std::map<std::string, std::string> headers;  ///< of every response, in place of ours
    std::map<std::string, std::string> users;    ///< bcrypt hashes of their passwords; empty: everybody may
};

struct WebConfigFile {
    WebConfig config;
    std::vector<Error> mistakes;  ///< each as "file:line: ..." with a hint
};

/// Reads the file, and what it names, in the format of Prometheus's exporters (exporter-toolkit's web configuration).
/// An empty name is an empty file.
WebConfigFile load_web_config(const std::string& file);

}  // namespace upstat::publish
