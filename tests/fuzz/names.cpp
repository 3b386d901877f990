// SPDX-License-Identifier: Apache-2.0
/// A container's /etc/hosts and /etc/resolv.conf, and a server's name: whatever they hold, what is read is bounded, and
/// only what was asked for is found.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>

#include "attribute/dns_files.hpp"

namespace {

void expect(bool holds) {
    if (!holds) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace upstat::attribute;  // NOLINT(google-build-using-namespace)
    FuzzedDataProvider input(data, size);
    const auto name = input.ConsumeRandomLengthString(80);
    const auto host = input.ConsumeRandomLengthString(80);
    const auto text = input.ConsumeRemainingBytesAsString();
    for (const auto& [found, addresses] : hosts_of(text, {name, "app"})) {
        expect((found == name || found == "app") && !addresses.empty() && addresses.size() <= 64);
    }
    const auto settings = parse_resolv_conf(text, host);
    expect(!settings.servers.empty() && settings.servers.size() <= 3 && settings.search.size() <= 6);
    expect(settings.dots >= 0 && settings.dots <= 15 && settings.attempts >= 1 && settings.attempts <= 3);
    expect(settings.timeout >= std::chrono::seconds(1) && settings.timeout <= std::chrono::seconds(5));
    const auto list = search_list(name, settings);
    expect(!list.empty() && list.size() <= 7);
    expect(std::ranges::all_of(list, [](const std::string& one) { return one.ends_with('.'); }));
    return 0;
}
