// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/eventfd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "traefik/executables.hpp"
#include "traefik/find.hpp"

namespace upstat::traefik {

/// Reads at once, on the caller's thread; or, while `held`, not yet.
class ExecutablesHere : public Executables {
  public:
    bool held = false;
    std::string silent;                               ///< a part of the paths of files from which nothing comes
    std::vector<std::vector<AskedExecutable>> asked;  ///< so far
    int hung = 0;                                     ///< threads, of 16

    bool start(std::vector<AskedExecutable> some) override {
        asked.push_back(some);
        if (hung == 16) {
            return false;
        }
        if (!silent.empty() && std::ranges::any_of(some, [this](const AskedExecutable& one) {
                return std::filesystem::read_symlink(one.exe).string().contains(silent);
            })) {
            ++hung;
            return true;
        }
        for (const auto& opened : open_executables(some)) {
            done_.push_back(read_executable(opened));
        }
        return true;
    }
    [[nodiscard]] int fd() const override { return done_.empty() || held ? nothing_.get() : something_.get(); }
    std::vector<ReadExecutable> take() override {
        return held ? std::vector<ReadExecutable>() : std::exchange(done_, {});
    }

  private:
    Fd nothing_{eventfd(0, EFD_CLOEXEC)};
    Fd something_{eventfd(1, EFD_CLOEXEC)};
    std::vector<ReadExecutable> done_;
};

/// One look, and another where executables had to be read for the first one.
inline auto find(Finder& finder) {
    auto found = finder.find();
    if (finder.is_reading()) {
        finder.take_read();
        found = finder.find();
    }
    return found;
}

}  // namespace upstat::traefik
