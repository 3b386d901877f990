// SPDX-License-Identifier: Apache-2.0
#include "attribute/dns_files.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <optional>

namespace upstat::attribute {

namespace {

constexpr std::size_t max_servers = 3;
constexpr std::size_t max_search = 6;
constexpr std::size_t max_addresses = 64;  ///< of one name
constexpr int max_dots = 15;
/// So that a name that nobody knows is given up in bounded time.
constexpr int max_seconds = 5;
constexpr int max_attempts = 3;

constexpr std::string_view blanks = " \t\r\f\v";

std::string_view take_until(std::string_view& text, std::string_view ends) {
    const auto piece = text.substr(0, text.find_first_of(ends));
    text.remove_prefix(std::min(text.size(), piece.size() + 1));
    return piece;
}

std::vector<std::string_view> fields_of(std::string_view line) {
    std::vector<std::string_view> fields;
    while (!line.empty()) {
        if (const auto field = take_until(line, blanks); !field.empty()) {
            fields.push_back(field);
        }
    }
    return fields;
}

/// As the kernel writes it, without a zone; nothing for what is no numeric address.
std::optional<std::string> numeric(std::string_view text) {
    const std::string address(text.substr(0, text.find('%')));
    std::array<unsigned char, sizeof(in6_addr)> bytes{};
    std::array<char, INET6_ADDRSTRLEN> canonical{};
    for (const int family : {AF_INET, AF_INET6}) {
        if (inet_pton(family, address.c_str(), bytes.data()) == 1) {
            return inet_ntop(family, bytes.data(), canonical.data(), canonical.size());
        }
    }
    return std::nullopt;
}

std::string folded(std::string_view name) {
    std::string result(name.substr(0, name.size() - (name.ends_with('.') ? 1 : 0)));
    std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
    return result;
}

std::string rooted(std::string_view domain) {
    return std::string(domain) + (domain.ends_with('.') ? "" : ".");
}

void add_search(DnsSettings& settings, std::string_view domain) {
    if (domain != "." && !domain.empty() && settings.search.size() < max_search) {
        settings.search.push_back(rooted(domain));
    }
}

int bounded(std::string_view digits, int least, int most) {
    int value = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return parsed.ec == std::errc::result_out_of_range ? most : std::clamp(value, least, most);
}

void read_option(DnsSettings& settings, std::string_view option) {
    const auto value = [&option](std::string_view name) { return option.substr(name.size()); };
    if (option.starts_with("ndots:")) {
        settings.dots = bounded(value("ndots:"), 0, max_dots);
    } else if (option.starts_with("timeout:")) {
        settings.timeout = std::chrono::seconds(bounded(value("timeout:"), 1, max_seconds));
    } else if (option.starts_with("attempts:")) {
        settings.attempts = bounded(value("attempts:"), 1, max_attempts);
    } else if (option == "rotate") {
        settings.rotate = true;
    } else if (option == "use-vc" || option == "usevc" || option == "tcp") {
        settings.tcp = true;
    }
}

void read_line(DnsSettings& settings, const std::vector<std::string_view>& fields) {
    const auto& key = fields.front();
    if (key == "nameserver" && fields.size() > 1 && settings.servers.size() < max_servers) {
        if (auto server = numeric(fields[1])) {
            settings.servers.push_back(*std::move(server));
        }
    } else if ((key == "domain" && fields.size() > 1) || key == "search") {
        settings.search.clear();  // the last line of either kind holds
        const auto end = key == "domain" ? fields.begin() + 2 : fields.end();
        std::for_each(fields.begin() + 1, end, [&](std::string_view domain) { add_search(settings, domain); });
    } else if (key == "options") {
        std::for_each(fields.begin() + 1, fields.end(), [&](std::string_view one) { read_option(settings, one); });
    }
}

}  // namespace

std::map<std::string, std::set<std::string>> hosts_of(std::string_view text, const std::set<std::string>& names) {
    std::multimap<std::string, std::string> wanted;
    for (const auto& name : names) {
        wanted.emplace(folded(name), name);
    }
    std::map<std::string, std::set<std::string>> found;
    while (!text.empty()) {
        auto line = take_until(text, "\n");
        const auto fields = fields_of(line.substr(0, line.find('#')));
        const auto address = fields.size() > 1 ? numeric(fields.front()) : std::nullopt;
        for (std::size_t at = 1; address && at < fields.size(); ++at) {
            const auto [first, last] = wanted.equal_range(folded(fields[at]));
            std::for_each(first, last, [&](const auto& entry) {
                if (auto& addresses = found[entry.second]; addresses.size() < max_addresses) {
                    addresses.insert(*address);
                }
            });
        }
    }
    return found;
}

DnsSettings parse_resolv_conf(std::string_view text, std::string_view host_name) {
    DnsSettings settings;
    bool says_search = false;
    while (!text.empty()) {
        const auto line = take_until(text, "\n");
        const auto fields = fields_of(line);
        if (fields.empty() || line.front() == ';' || line.front() == '#') {
            continue;
        }
        says_search = says_search || fields.front() == "search" || fields.front() == "domain";
        read_line(settings, fields);
    }
    if (settings.servers.empty()) {
        settings.servers = {"127.0.0.1", "::1"};
    }
    if (const auto dot = host_name.find('.'); !says_search && dot != std::string_view::npos) {
        add_search(settings, host_name.substr(dot + 1));
    }
    return settings;
}

std::vector<std::string> search_list(const std::string& name, const DnsSettings& settings) {
    if (name.ends_with('.')) {
        return {name};
    }
    const auto itself = rooted(name);
    const bool first = std::ranges::count(name, '.') >= settings.dots;
    std::vector<std::string> names;
    if (first) {
        names.push_back(itself);
    }
    for (const auto& domain : settings.search) {
        names.push_back(itself + domain);
    }
    if (!first) {
        names.push_back(itself);
    }
    return names;
}

}  // namespace upstat::attribute
