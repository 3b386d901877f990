// SPDX-License-Identifier: Apache-2.0
#include "cli/ask.hpp"

#include <spdlog/fmt/fmt.h>

#include "base/host_port.hpp"
#include "base/http_client.hpp"
#include "base/json_text.hpp"
#include "base/printable.hpp"
#include "publish/web_config.hpp"

namespace upstat::cli {

namespace {

/// The agent's pages, as this host reaches them.
std::string pages_of(const config::Settings& settings) {
    const auto listener = parse_host_port(settings.web_listen_address.front()).value();  // the settings have checked it
    return "http://" + to_string(reached_locally(listener));
}

}  // namespace

Result<nlohmann::json> ask_agent(const config::Settings& settings, const std::string& path) {
    const auto url = pages_of(settings) + path;
    HttpRequest request{.url = url, .timeout = std::chrono::seconds(5), .max_bytes = std::size_t{64} << 20};
    request.direct = true;
    HttpClient http;
    http.start(request);
    std::vector<HttpDone> done;
    while (done.empty()) {
        done = http.wait({}, std::chrono::seconds(5));
    }
    const auto& result = done.front().result;
    if (result && result->status == 401) {
        return fail(Error::Kind::runtime,
                    fmt::format("the agent at {} wants a user and a password: its --web.config.file has "
                                "basic_auth_users, and this command has none to say",
                                pages_of(settings)),
                    fmt::format("ask it by `curl -u USER {}`", url));
    }
    if (!result && publish::load_web_config(settings.web_config_file).config.tls) {
        return fail(Error::Kind::runtime,
                    fmt::format("the agent at {} speaks TLS, as {} says, and this command does not", pages_of(settings),
                                settings.web_config_file),
                    fmt::format("ask it by `curl https{}`, with --cacert or the name in its certificate",
                                url.substr(url.find(':'))));
    }
    if (!result || result->status != 200) {
        return fail(Error::Kind::runtime,
                    fmt::format("no agent answers: {}",
                                result ? fmt::format("{} says {}", url, result->status) : result.error()),
                    "is `upstat run` running, and with the same --web.listen-address?");
    }
    auto reply = nlohmann::json::parse(result->body, nullptr, false);
    if (reply.is_discarded()) {
        return std::unexpected(no_agent_of_this_version(settings));
    }
    return reply;
}

Error no_agent_of_this_version(const config::Settings& settings) {
    return {.kind = Error::Kind::runtime,
            .message = fmt::format("what answers at {} is no upstat of this version", pages_of(settings)),
            .hint = "is that upstat's --web.listen-address, and was `upstat run` restarted after an upgrade?"};
}

std::string shown(const nlohmann::json& value) {
    return printable(value.is_string() ? value.get<std::string>() : json_text(value));
}

}  // namespace upstat::cli
