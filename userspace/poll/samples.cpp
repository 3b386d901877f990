// SPDX-License-Identifier: Apache-2.0
#include "poll/samples.hpp"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <system_error>

#include "layout.h"

namespace upstat::poll {

namespace {

constexpr std::uint32_t only = 0;
constexpr std::size_t at_once = 1024;

std::unexpected<Error> not_read(int error) {
    return fail(Error::Kind::runtime, "the kernel's samples cannot be read: " + std::generic_category().message(error));
}

std::chrono::nanoseconds boot_clock() {
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

Sample to_sample(const upstat_sample_key& key, const upstat_sample& value, std::chrono::nanoseconds now) {
    const auto age = now - std::chrono::nanoseconds(value.time);
    Sample sample{.server = {.address = {},
                             .port = static_cast<std::uint16_t>(key.server.port),
                             .zone = static_cast<std::uint16_t>(key.server.zone)},
                  .code = value.code,
                  .method = static_cast<Method>(value.method < UPSTAT_METHODS ? value.method : 0),
                  .path = std::string(value.path, value.path + std::min<std::size_t>(value.size, sizeof(value.path))),
                  .cut = value.cut != 0,
                  .age = std::max(std::chrono::duration_cast<Millis>(age), Millis(0))};
    std::ranges::copy(key.server.address, sample.server.address.begin());
    return sample;
}

}  // namespace

Result<void> ask_for_samples(const SampleMaps& maps, const Codes& codes) {
    upstat_sampling value{};
    if (bpf_map_lookup_elem(maps.sampling, &only, &value) != 0) {
        return not_read(errno);
    }
    for (std::size_t code = 0; code < codes.size(); ++code) {
        value.codes[code] = codes[code] ? 1 : 0;
    }
    return bpf_map_update_elem(maps.sampling, &only, &value, BPF_ANY) == 0 ? Result<void>() : not_read(errno);
}

Result<Samples> read_samples(const SampleMaps& maps) {
    Samples samples;
    std::vector<upstat_sample_key> keys(at_once);
    std::vector<upstat_sample> values(at_once);
    std::uint32_t place = 0;
    const auto now = boot_clock();
    for (bool begun = false, more = true; more; begun = true) {
        auto count = static_cast<std::uint32_t>(at_once);
        more = bpf_map_lookup_batch(maps.samples, begun ? &place : nullptr, &place, keys.data(), values.data(), &count,
                                    nullptr) == 0;
        if (!more && errno != ENOENT) {  // which says that these are the last ones
            return not_read(errno);
        }
        for (std::uint32_t i = 0; i < count; ++i) {
            samples.all.push_back(to_sample(keys[i], values[i], now));
        }
    }
    std::ranges::stable_sort(samples.all, {}, &Sample::age);
    upstat_sampling value{};
    if (bpf_map_lookup_elem(maps.sampling, &only, &value) == 0) {
        samples.lost = value.lost;
    }
    return samples;
}

}  // namespace upstat::poll
