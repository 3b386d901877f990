// SPDX-License-Identifier: Apache-2.0
#include "programs/capabilities.hpp"

#include <fmt/ranges.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace upstat::programs {

namespace {

constexpr std::array<Capability, 3> all{
    {{CAP_BPF, "CAP_BPF"}, {CAP_PERFMON, "CAP_PERFMON"}, {CAP_NET_ADMIN, "CAP_NET_ADMIN"}}};

constexpr bool has(std::uint64_t set, unsigned capability) {
    return (set >> capability & 1) != 0;
}

}  // namespace

std::span<const Capability> to_count() {
    return all;
}

std::span<const Capability> to_detach() {
    return std::span(all).first(1);
}

std::vector<std::string> missing(std::span<const Capability> needed, std::uint64_t effective) {
    std::vector<std::string> names;
    for (const auto& [capability, name] : needed) {
        if (!has(effective, capability) && !has(effective, CAP_SYS_ADMIN)) {
            names.emplace_back(name);
        }
    }
    return names;
}

Result<void> check_capabilities(std::span<const Capability> needed) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> words{};
    if (syscall(SYS_capget, &header, words.data()) != 0) {
        return fail(Error::Kind::host,
                    fmt::format("cannot read this process's capabilities: {}", std::generic_category().message(errno)));
    }
    const auto names = missing(needed, std::uint64_t{words[1].effective} << 32 | words[0].effective);
    if (names.empty()) {
        return {};
    }
    return fail(Error::Kind::host,
                fmt::format("this process lacks {}, which upstat's kernel programs need", fmt::join(names, ", ")),
                privileges_hint);
}

}  // namespace upstat::programs
