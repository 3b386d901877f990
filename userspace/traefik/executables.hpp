// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "base/fd.hpp"
#include "base/file_mark.hpp"
#include "base/side_threads.hpp"

namespace upstat::traefik {

/// An executable that is to be read: /proc/PID/exe, and the file that it was.
struct AskedExecutable {
    std::filesystem::path exe;
    FileMark::File file{};
};

/// What was read.
struct ReadExecutable {
    FileMark::File asked{};
    std::optional<FileMark> read{};  ///< it may be another one by now; nothing where it cannot be read
    bool is_traefik = false;
};

/// One that was opened, with the privileges that this takes.
struct OpenedExecutable {
    FileMark::File asked{};
    Fd fd{};  ///< empty where it could not be
};

/// Both may wait for a file system from which nothing comes.
std::vector<OpenedExecutable> open_executables(const std::vector<AskedExecutable>& asked);
ReadExecutable read_executable(const OpenedExecutable& opened);

/// Reads executables while its owner does other things: they may lie where no response comes from.
class Executables {
  public:
    Executables() = default;
    Executables(const Executables&) = delete;
    Executables& operator=(const Executables&) = delete;
    virtual ~Executables() = default;

    /// False where too many threads hang.
    virtual bool start(std::vector<AskedExecutable> asked) = 0;
    /// Readable when take() has something.
    [[nodiscard]] virtual int fd() const = 0;
    virtual std::vector<ReadExecutable> take() = 0;
};

/// Each on a thread that opens the files, gives its privileges up and reads. At most 128 hang at once.
class ExecutableThreads : public Executables {
  public:
    bool start(std::vector<AskedExecutable> asked) override;
    [[nodiscard]] int fd() const override { return threads_.fd(); }
    std::vector<ReadExecutable> take() override { return threads_.take(); }

  private:
    SideThreads<ReadExecutable> threads_{"executables", 128};
};

}  // namespace upstat::traefik
