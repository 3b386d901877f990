// SPDX-License-Identifier: Apache-2.0
#include "publish/query.hpp"

#include <charconv>
#include <utility>

namespace upstat::publish {

std::optional<Query> parse_query(std::optional<std::string> backend, std::optional<std::string> server,
                                 std::optional<std::string> traefik, const std::optional<std::string>& seconds) {
    Query query{.backend = std::move(backend).value_or(""),
                .server = std::move(server).value_or(""),
                .traefik = std::move(traefik).value_or(""),
                .range = {}};
    if (seconds) {
        constexpr std::int64_t most = std::chrono::seconds(std::chrono::hours(24)).count();
        std::int64_t number = 0;
        const auto* const end = seconds->data() + seconds->size();
        const auto [rest, error] = std::from_chars(seconds->data(), end, number);
        if (error != std::errc() || rest != end || number < 1 || number > most) {
            return std::nullopt;
        }
        query.range = std::chrono::seconds(number);
    }
    return query;
}

}  // namespace upstat::publish
