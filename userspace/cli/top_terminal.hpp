// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cli/top_view.hpp"

namespace upstat::cli {

/// The terminal, by ncurses; as it was before again when this ends. It knows nothing of what is shown.
class Terminal {
  public:
    Terminal();
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;
    ~Terminal();

    /// False where the terminal is of no kind that is known (TERM).
    [[nodiscard]] bool works() const { return screen_ != nullptr; }
    [[nodiscard]] TopSize size() const;
    void draw(const std::vector<TopLine>& lines);

    /// The next key, or none when the time is over or the size has changed. While `typing`, letters are text.
    std::pair<TopKey, std::string> wait(int milliseconds, bool typing);

  private:
    void* screen_ = nullptr;
    bool unicode_ = false;
};

}  // namespace upstat::cli
