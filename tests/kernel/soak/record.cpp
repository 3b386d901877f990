// SPDX-License-Identifier: Apache-2.0
#include "record.hpp"

#include <spdlog/fmt/fmt.h>

#include <fstream>

namespace soak {

namespace {

template <typename Table>
void add_table(Table& sum, const Table& other) {
    for (std::size_t code = 0; code < sum.size(); code++) {
        for (std::size_t method = 0; method < sum[code].size(); method++) {
            sum[code][method] += other[code][method];
        }
    }
}

/// {"404 GET": 7}
template <typename Table>
std::string to_json(const Table& table) {
    std::string text;
    for (std::size_t code = 0; code < table.size(); code++) {
        for (std::size_t method = 0; method < table[code].size(); method++) {
            if (table[code][method]) {
                text += fmt::format("{}\"{} {}\": {}", text.empty() ? "" : ", ", code, method_names[method],
                                    table[code][method]);
            }
        }
    }
    return "{" + text + "}";
}

}  // namespace

void ServerRecord::add(const ServerRecord& other) {
    connects += other.connects;
    connect_timeouts += other.connect_timeouts;
    requests += other.requests;
    tunnels += other.tunnels;
    reset += other.reset;
    closed += other.closed;
    aborted += other.aborted;
    crossed += other.crossed;
    add_table(answers, other.answers);
    add_table(cut, other.cut);
}

void add(Record& sum, const Record& other) {
    sum.resize(other.size());
    for (std::size_t server = 0; server < other.size(); server++) {
        sum[server].add(other[server]);
    }
}

void write(const Record& record, const std::vector<std::string>& addresses, const std::string& path) {
    std::ofstream file(path);
    file << "{\n";
    for (std::size_t i = 0; i < record.size(); i++) {
        const auto& server = record[i];
        file << fmt::format(
            "\"{}\": {{\"connects\": {}, \"connect_timeouts\": {}, \"requests\": {}, \"tunnels\": {}, \"reset\": {},"
            " \"closed\": {}, \"aborted\": {}, \"crossed\": {},\n \"answers\": {},\n \"cut\": {}}}{}\n",
            addresses.at(i), server.connects, server.connect_timeouts, server.requests, server.tunnels, server.reset,
            server.closed, server.aborted, server.crossed, to_json(server.answers), to_json(server.cut),
            i + 1 < record.size() ? "," : "");
    }
    file << "}\n";
    if (!file.flush()) {
        fail("cannot write " + path);
    }
}

}  // namespace soak
