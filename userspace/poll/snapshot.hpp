// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/flat_map.hpp"
#include "base/host_port.hpp"
#include "base/time.hpp"

namespace upstat::poll {

/// The host name of a server, in lower case and printable. Most servers have none, and pay for nothing.
class Name {
  public:
    Name() = default;
    explicit Name(std::string text) : text_(std::make_shared<const std::string>(std::move(text))) {}

    [[nodiscard]] bool empty() const { return text_ == nullptr; }
    [[nodiscard]] const std::string& text() const { return *text_; }

    bool operator==(const Name& other) const { return (*this <=> other) == std::strong_ordering::equal; }
    std::strong_ordering operator<=>(const Name& other) const {
        return text_ == other.text_       ? std::strong_ordering::equal
               : empty() || other.empty() ? other.empty() <=> empty()
                                          : *text_ <=> *other.text_;
    }

  private:
    std::shared_ptr<const std::string> text_;
};

/// One upstream server as the kernel sees it. IPv4 stands as an IPv4-mapped IPv6 address. What two Traefiks speak to is
/// two servers, even if both call it by one address: they may be in two networks. One that only a URL with a host name
/// tells of has that name, and no address.
struct Server {
    std::array<std::uint8_t, 16> address{};  ///< network order
    std::uint16_t port = 0;                  ///< host order
    std::uint16_t zone = 0;                  ///< the number of the Traefik that speaks to it
    Name name{};

    bool operator==(const Server&) const = default;
    /// The order of the bytes. As two numbers, because maps of servers are what a poll goes through.
    std::strong_ordering operator<=>(const Server& other) const {
        const auto one = numbers();
        const auto two = other.numbers();
        return one[0] != two[0]           ? one[0] <=> two[0]
               : one[1] != two[1]         ? one[1] <=> two[1]
               : place() != other.place() ? place() <=> other.place()
                                          : name <=> other.name;
    }
    [[nodiscard]] std::uint32_t place() const { return std::uint32_t{port} << 16U | zone; }
    [[nodiscard]] std::array<std::uint64_t, 2> numbers() const {
        auto halves = std::bit_cast<std::array<std::uint64_t, 2>>(address);
        if constexpr (std::endian::native == std::endian::little) {
            halves = {__builtin_bswap64(halves[0]), __builtin_bswap64(halves[1])};
        }
        return halves;
    }
};

/// "10.0.0.1:80", "[fd00::1]:80" or "shop.example:443": the `server` label.
std::string to_string(const Server& server);

/// The inverse of to_string; nothing for what has no port.
std::optional<Server> server_of_label(std::string_view label);

/// The server of a URL's host: by its address where it is numeric, else by its name. `port` is that of the URL's
/// scheme, for a host without one.
Server url_server(std::string_view host, std::uint16_t port);

/// A numeric address and a port; nothing for anything else.
std::optional<Server> parse_server(std::string_view text);

/// The same, from a host that may be a name; from an address without brackets and a port.
std::optional<Server> parse_server(const HostPort& address);
std::optional<Server> parse_server(std::string_view address, std::uint16_t port);

/// As Traefik labels them. The values are those of enum upstat_method.
enum class Method : std::uint8_t { extension, get, head, post, put, delete_, connect, options, trace, patch };

/// "GET", ..., "EXTENSION_METHOD": the `method` label.
std::string_view to_string(Method method);
/// The inverse, of any spelling: "get". What has no label of its own is an extension.
Method method_of(std::string_view name);

/// What a response is counted by.
struct ResponseKey {
    std::uint16_t code = 0;  ///< 101, or 200 to 999
    Method method = Method::extension;

    auto operator<=>(const ResponseKey&) const = default;
};

using ResponseCounts = FlatMap<ResponseKey, std::uint64_t>;
using Reasons = FlatMap<std::string, std::uint64_t>;  ///< most servers have none

/// Totals of one server since the maps were made; they only grow. The reasons are the `reason` labels.
struct ServerTotals {
    std::uint64_t requests = 0;
    std::uint64_t connects = 0;
    ResponseCounts responses{};
    Reasons unanswered{};
    Reasons unread{};
    Reasons connect_failures{};

    bool operator==(const ServerTotals&) const = default;

    [[nodiscard]] std::uint64_t response_sum() const;
    [[nodiscard]] std::uint64_t unanswered_sum() const;
    /// requests - responses - unanswered. Below zero only when the reads of one poll straddle a response.
    [[nodiscard]] std::int64_t outstanding() const;
};

using Servers = FlatMap<Server, ServerTotals>;

/// Traefik's own requests, by their kind: "health-check", "forward-auth", "other". They are in none of the users'
/// counts. Their responses have no method.
using Probes = std::map<std::string, Servers>;

/// The part of a server's responses that came by routes, by their numbers.
using Routes = std::map<std::uint16_t, ResponseCounts>;
using Routed = std::map<Server, Routes>;

/// A count of a server that has no other label.
struct PlainCount {
    std::string_view name;    ///< in the state file and in JSON
    std::string_view metric;  ///< its labels are those of the server alone
    std::string_view help;
    std::uint64_t ServerTotals::* member;
};
/// A count of a server by reason.
struct ReasonCount {
    std::string_view name;
    std::string_view metric;  ///< with the label `reason`
    std::string_view help;
    Reasons ServerTotals::* member;
};

/// Every reason that can appear.
const std::vector<std::string>& unanswered_reasons();
const std::vector<std::string>& unread_reasons();
const std::vector<std::string>& connect_failure_reasons();

/// Every kind of Traefik's own requests.
const std::vector<std::string>& probe_kinds();

/// All members of ServerTotals but `responses`: whoever adds up, saves or shows a server's counts walks these tables.
inline constexpr std::array plain_counts{
    PlainCount{"requests", "upstat_server_requests_total", "HTTP/1 requests sent to a server.",
               &ServerTotals::requests},
    PlainCount{"connects", "upstat_server_connects_total", "Connections made to a server.", &ServerTotals::connects}};
inline constexpr std::array reason_counts{
    ReasonCount{"unanswered", "upstat_server_unanswered_total", "Requests that will never have a response, by reason.",
                &ServerTotals::unanswered},
    ReasonCount{"connect_failures", "upstat_server_connect_failures_total",
                "Connections to a server that failed, by reason.", &ServerTotals::connect_failures},
    ReasonCount{"unread", "upstat_server_unread_connections_total",
                "Connections to a server whose responses cannot be read, by reason.", &ServerTotals::unread}};

/// How full one kernel map is.
struct MapFill {
    std::string map;
    std::uint64_t entries = 0;
    std::uint64_t capacity = 0;
};

/// Run time of one kernel program; zero unless the sysctl kernel.bpf_stats_enabled is on.
struct ProgramRuns {
    std::string program;
    std::uint64_t runs = 0;
    std::uint64_t nanoseconds = 0;
};

/// One poll of the kernel's maps.
struct Snapshot {
    Time at;  ///< when it was due (see aligned()), or just before the first read
    Servers servers{};
    Routed routed{};                                       ///< each of these is in `servers` too
    Probes probes{};                                       ///< those that overflowed stand under a server of zeros
    ServerTotals overflow{};                               ///< of servers that found no room in a full kernel map
    std::map<std::string, std::uint64_t> kernel_errors{};  ///< by place, every place present
    std::vector<MapFill> maps{};
    std::vector<ProgramRuns> programs{};
    std::uint64_t leaving = 0;  ///< requests in flight that only the programs of previous generations know
};

/// In flight when the programs were replaced by ones that cannot know it: counted by nobody, but told by the sums.
inline const std::string upgraded_reason = "upgraded";
/// Of a newer layout.
inline const std::string unknown_reason = "unknown";

/// The unanswered reasons that the kernel counts, by their number in enum upstat_unanswered.
const std::vector<std::string>& kernel_unanswered_reasons();

}  // namespace upstat::poll
