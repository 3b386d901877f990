// SPDX-License-Identifier: Apache-2.0
#include "cli/ask.hpp"

#include <spdlog/fmt/fmt.h>

#include "base/http_client.hpp"

namespace upstat::cli {

namespace {

/// Where a listener on every address is reached from this host.
std::string reachable(std::string address) {
    if (address.starts_with(":")) {
        return "127.0.0.1" + address;
    }
    if (address.starts_with("0.0.0.0:")) {
        return "127.0.0.1" + address.substr(7);
    }
    if (address.starts_with("[::]:")) {
        return "[::1]" + address.substr(4);
    }
    return address;
}

}  // namespace

Result<nlohmann::json> ask_agent(const config::Settings& settings, const std::string& path) {
    const auto url = fmt::format("http://{}{}", reachable(settings.web_listen_address.front()), path);
    HttpClient http;
    http.start({.url = url, .timeout = std::chrono::seconds(5), .max_bytes = std::size_t{64} << 20});
    std::vector<HttpDone> done;
    while (done.empty()) {
        done = http.wait({}, std::chrono::seconds(5));
    }
    const auto& result = done.front().result;
    if (!result || result->status != 200) {
        return fail(Error::Kind::runtime,
                    fmt::format("no agent answers: {}",
                                result ? fmt::format("{} says {}", url, result->status) : result.error()),
                    "is `upstat run` running, and with the same --web.listen-address?");
    }
    auto answer = nlohmann::json::parse(result->body, nullptr, false);
    if (answer.is_discarded()) {
        return fail(Error::Kind::runtime, fmt::format("what answers at {} is no upstat", url));
    }
    return answer;
}

}  // namespace upstat::cli
