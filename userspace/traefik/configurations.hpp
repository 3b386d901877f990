// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/directory_watch.hpp"
#include "base/side_threads.hpp"
#include "traefik/api_address.hpp"

namespace upstat::traefik {

/// A Traefik whose configuration is to be read.
struct AskedConfiguration {
    std::filesystem::path root{};
    pid_t pid = 0;
    std::uint64_t start_time = 0;
    ConfigurationFile known{};        ///< as it was read last
    std::string directory{};          ///< of its file provider, to be watched; empty: none
    DirectoryWatch::Handle handle{};  ///< by this
};

/// What it says.
struct ReadConfiguration {
    pid_t pid = 0;
    std::uint64_t start_time = 0;
    ConfigurationFile file{};
    ApiAddress address{};
    DirectoryWatch::Handle handle{};
    int watch = -1;  ///< the directory's number
};

/// One that was opened, with the privileges that this takes.
struct ConfigurationReading {
    OpenedConfiguration opened{};
    ReadConfiguration read{};
};
/// Both may wait for a file system from which nothing comes.
ConfigurationReading open_configuration(AskedConfiguration asked);
ReadConfiguration read_configuration(ConfigurationReading reading);

/// Reads the configurations of Traefiks while its owner does other things: their files may lie where no response comes
/// from.
class Configurations {
  public:
    Configurations() = default;
    Configurations(const Configurations&) = delete;
    Configurations& operator=(const Configurations&) = delete;
    virtual ~Configurations() = default;

    /// False where too many threads hang.
    virtual bool start(AskedConfiguration asked) = 0;
    /// Readable when take() has something.
    [[nodiscard]] virtual int fd() const = 0;
    virtual std::vector<ReadConfiguration> take() = 0;
};

/// Each on a thread that opens all that it takes, gives its privileges up and reads. At most 128 hang at once.
class ConfigurationThreads : public Configurations {
  public:
    bool start(AskedConfiguration asked) override;
    [[nodiscard]] int fd() const override { return threads_.fd(); }
    std::vector<ReadConfiguration> take() override { return threads_.take(); }

  private:
    SideThreads<ReadConfiguration> threads_{"configurations", 128};
};

}  // namespace upstat::traefik
