// SPDX-License-Identifier: Apache-2.0
/// A router's rule, which whoever may make an ingress chooses: whatever it holds, what is made of it is bounded and
/// fits the kernel's tables, and a request that it cannot take is not told to be its own.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "traefik/rule.hpp"

namespace {

void expect(bool holds) {
    if (!holds) {
        std::abort();
    }
}

bool is_told(unsigned char letter) {
    return letter > ' ' && letter < 127 && letter != '%' && letter != '?' && letter != '"' && letter != '{';
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
    using namespace upstat;  // NOLINT(google-build-using-namespace)
    const std::string rule(reinterpret_cast<const char*>(data), size);
    const auto matches = traefik::compile_rule(rule);
    expect(matches.size() <= 64);
    for (const auto& match : matches) {
        expect(!match.host || (!match.host->empty() && !match.host->ends_with('.')));
        expect(!match.host || std::ranges::all_of(*match.host, is_told));
        expect(match.path.empty() || match.path.starts_with('/'));
        expect(std::ranges::all_of(match.path, is_told) && match.path.size() <= rule.size());
        expect(!match.whole || !match.path.empty());
    }
    attribute::Router one{.entry_points = {"web"}, .matches = matches, .backend = "a@file"};
    attribute::Router other{.entry_points = {"web"}, .matches = {{.host = "x", .path = "/"}}, .backend = "b@file"};
    for (const auto& route : attribute::routes_among({one, other}, {"a@file", "b@file"})) {
        expect(route.host.size() <= attribute::longest_host && route.path.size() <= attribute::longest_path);
        expect(route.backend.empty() || route.backend == "a@file" || route.backend == "b@file");
    }
    return 0;
}
