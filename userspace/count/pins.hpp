// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace upstat {

/// The places below --bpf.pin-path: PIN_PATH/layout-N/MAP and PIN_PATH/layout-N/links/CGROUP-PROGRAM.
struct Pins {
    std::filesystem::path root;

    [[nodiscard]] std::filesystem::path layout() const;
    [[nodiscard]] std::filesystem::path map(const std::string& name) const { return layout() / name; }
    [[nodiscard]] std::filesystem::path links() const { return layout() / "links"; }
    [[nodiscard]] std::filesystem::path link(std::uint64_t cgroup, const std::string& program) const;
};

/// Makes the directories; an Error of kind host where root is not on a bpffs.
Result<void> make_directories(const Pins& pins);

/// Holds root for this process: a lock that ends with it. An Error names the process that has it already.
Result<Fd> lock(const std::filesystem::path& root);

/// One sentence for a failed bpf(2) call, with the way out for the common causes.
Error bpf_error(int error, const std::string& what);

}  // namespace upstat
