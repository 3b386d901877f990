// SPDX-License-Identifier: Apache-2.0
#include "traefik/configurations.hpp"

#include <utility>

#include "base/unprivileged.hpp"
#include "traefik/proc.hpp"

namespace upstat::traefik {

ConfigurationReading open_configuration(AskedConfiguration asked) {
    ConfigurationReading reading{.opened = open_configuration(asked.root, asked.pid),
                                 .read = {.pid = asked.pid,
                                          .start_time = asked.start_time,
                                          .file = std::move(asked.known),
                                          .handle = std::move(asked.handle)}};
    if (!asked.directory.empty()) {
        const auto top = (proc_of(asked.root, asked.pid) / "root").string();
        reading.read.watch = DirectoryWatch::add(*reading.read.handle, {.top = top, .path = asked.directory});
    }
    return reading;
}

ReadConfiguration read_configuration(ConfigurationReading reading) {
    reading.read.address = api_address(reading.opened, reading.read.file);
    return std::move(reading.read);
}

bool ConfigurationThreads::start(AskedConfiguration asked) {
    return threads_.start([asked = std::move(asked)](const auto& give) {
        auto reading = open_configuration(asked);
        drop_privilege();
        give(read_configuration(std::move(reading)));
    });
}

}  // namespace upstat::traefik
