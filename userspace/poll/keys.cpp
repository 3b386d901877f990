// SPDX-License-Identifier: Apache-2.0
#include "poll/keys.hpp"

#include <bpf/btf.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "layout.h"

namespace upstat::poll {

namespace {

using Path = std::span<const std::string_view>;

/// The member at the end of a path of names, from `offset` on.
std::optional<Field> find(const btf* types, std::uint32_t type, Path path, std::uint32_t offset) {
    const int id = btf__resolve_type(types, type);
    const auto* const found = id > 0 ? btf__type_by_id(types, static_cast<std::uint32_t>(id)) : nullptr;
    if (found == nullptr) {
        return std::nullopt;
    }
    if (path.empty()) {
        const auto size = btf__resolve_size(types, static_cast<std::uint32_t>(id));
        return size > 0 && !btf_is_composite(found)
                   ? std::optional(Field{.offset = offset, .size = static_cast<std::uint32_t>(size)})
                   : std::nullopt;
    }
    for (std::uint32_t i = 0; btf_is_struct(found) && i < btf_vlen(found); i++) {
        const auto& member = btf_members(found)[i];
        if (btf__name_by_offset(types, member.name_off) == path.front() && btf_member_bitfield_size(found, i) == 0) {
            return find(types, member.type, path.subspan(1), offset + btf_member_bit_offset(found, i) / 8);
        }
    }
    return std::nullopt;
}

/// Finds members, and remembers the first one that is not there.
class Finder {
  public:
    Finder(const btf* types, std::uint32_t key) : types_(types), key_(key) {}

    Field number(std::initializer_list<std::string_view> path) {
        return check(path, [](std::uint32_t size) { return size == 1 || size == 2 || size == 4 || size == 8; });
    }
    [[nodiscard]] bool has(std::string_view member) const {
        const int id = btf__resolve_type(types_, key_);
        const auto* const type = id > 0 ? btf__type_by_id(types_, static_cast<std::uint32_t>(id)) : nullptr;
        const auto members = type != nullptr && btf_is_struct(type) ? std::span(btf_members(type), btf_vlen(type))
                                                                    : std::span<btf_member>();
        return std::ranges::any_of(
            members, [&](const btf_member& one) { return btf__name_by_offset(types_, one.name_off) == member; });
    }
    Field address(std::initializer_list<std::string_view> path) {
        return check(path, [](std::uint32_t size) { return size == sizeof(Server::address); });
    }
    Field text(std::initializer_list<std::string_view> path) {
        return check(path, [](std::uint32_t size) { return size > 0; });
    }
    /// Layouts of before there was such a member have none.
    Field optional_number(std::initializer_list<std::string_view> path) {
        return find(types_, key_, Path(path.begin(), path.size()), 0) ? number(path) : Field{};
    }
    [[nodiscard]] std::expected<KeyFields, std::string> result(const KeyFields& fields) const {
        return missing_.empty() ? std::expected<KeyFields, std::string>(fields) : std::unexpected(missing_);
    }

  private:
    Field check(std::initializer_list<std::string_view> path, auto fits) {
        const auto field = find(types_, key_, Path(path.begin(), path.size()), 0);
        if (field && fits(field->size)) {
            return *field;
        }
        if (missing_.empty()) {
            missing_ = fmt::format("its key has no {} that is known", fmt::join(path, "."));
        }
        return {};
    }

    const btf* types_;
    std::uint32_t key_;
    std::string missing_;
};

template <typename Number>
std::uint64_t load(const std::byte* from) {
    Number number{};
    std::memcpy(&number, from, sizeof(number));
    return number;
}

std::uint64_t number_at(std::span<const std::byte> key, Field field) {
    const auto* const from = key.data() + field.offset;
    switch (field.size) {
        case 1:
            return load<std::uint8_t>(from);
        case 2:
            return load<std::uint16_t>(from);
        case 4:
            return load<std::uint32_t>(from);
        case 8:
            return load<std::uint64_t>(from);
        default:
            return 0;
    }
}

constexpr std::uint32_t server_at = offsetof(upstat_total_key, server);

}  // namespace

KeyFields own_total_fields() {
    using Key = upstat_total_key;
    using ServerKey = upstat_server_key;
    return {.address = {server_at + offsetof(ServerKey, address), sizeof(ServerKey::address)},
            .port = {server_at + offsetof(ServerKey, port), sizeof(ServerKey::port)},
            .zone = {server_at + offsetof(ServerKey, zone), sizeof(ServerKey::zone)},
            .detail = {offsetof(Key, detail), sizeof(Key::detail)},
            .event = {offsetof(Key, event), sizeof(Key::event)},
            .method = {offsetof(Key, method), sizeof(Key::method)},
            .whose = {offsetof(Key, whose), sizeof(Key::whose)},
            .route = {offsetof(Key, route), sizeof(Key::route)}};
}

KeyFields own_request_fields() {
    using Key = upstat_request_key;
    using ServerKey = upstat_server_key;
    constexpr std::uint32_t at = offsetof(Key, server);
    return {.address = {at + offsetof(ServerKey, address), sizeof(ServerKey::address)},
            .port = {at + offsetof(ServerKey, port), sizeof(ServerKey::port)},
            .zone = {at + offsetof(ServerKey, zone), sizeof(ServerKey::zone)},
            .whose = {offsetof(Key, whose), sizeof(Key::whose)}};
}

KeyFields own_probed_fields() {
    using Key = upstat_probed_key;
    return {.host = {offsetof(Key, host), sizeof(Key::host)},
            .port = {offsetof(Key, port), sizeof(Key::port)},
            .zone = {offsetof(Key, zone), sizeof(Key::zone)},
            .detail = {offsetof(Key, detail), sizeof(Key::detail)},
            .event = {offsetof(Key, event), sizeof(Key::event)},
            .method = {offsetof(Key, method), sizeof(Key::method)}};
}

std::expected<KeyFields, std::string> total_fields(const btf* types, std::uint32_t key) {
    Finder finder(types, key);
    const KeyFields fields{.address = finder.address({"server", "address"}),
                           .port = finder.number({"server", "port"}),
                           .zone = finder.optional_number({"server", "zone"}),
                           .detail = finder.number({"detail"}),
                           .event = finder.number({"event"}),
                           .method = finder.number({"method"}),
                           .whose = finder.optional_number({"whose"}),
                           .route = finder.optional_number({"route"})};
    return finder.result(fields);
}

std::expected<KeyFields, std::string> probed_fields(const btf* types, std::uint32_t key) {
    Finder finder(types, key);
    const KeyFields fields{.host = finder.text({"host"}),
                           .port = finder.number({"port"}),
                           .zone = finder.number({"zone"}),
                           .detail = finder.number({"detail"}),
                           .event = finder.number({"event"}),
                           .method = finder.number({"method"})};
    return finder.result(fields);
}

std::expected<KeyFields, std::string> request_fields(const btf* types, std::uint32_t key) {
    Finder finder(types, key);
    if (!finder.has("server")) {  // before layout 3 the key was a server
        const KeyFields fields{.address = finder.address({"address"}),
                               .port = finder.number({"port"}),
                               .zone = finder.optional_number({"zone"})};
        return finder.result(fields);
    }
    const KeyFields fields{.address = finder.address({"server", "address"}),
                           .port = finder.number({"server", "port"}),
                           .zone = finder.optional_number({"server", "zone"}),
                           .whose = finder.optional_number({"whose"})};
    return finder.result(fields);
}

std::optional<Field> given_field(const btf* types, std::uint32_t value) {
    const std::array<std::string_view, 1> path{"given"};
    const auto field = find(types, value, path, 0);
    return field && field->size == sizeof(std::uint32_t) ? field : std::nullopt;
}

Total to_total(std::span<const std::byte> key, const KeyFields& fields, std::uint64_t count) {
    Total total{.server = {.address = {},
                           .port = static_cast<std::uint16_t>(number_at(key, fields.port)),
                           .zone = static_cast<std::uint16_t>(number_at(key, fields.zone))},
                .event = fields.event.size == 0 ? std::uint64_t{UPSTAT_REQUEST} : number_at(key, fields.event),
                .detail = number_at(key, fields.detail),
                .method = number_at(key, fields.method),
                .whose = number_at(key, fields.whose),
                .route = number_at(key, fields.route),
                .count = count};
    if (fields.host.size == 0) {
        std::memcpy(total.server.address.data(), key.data() + fields.address.offset, total.server.address.size());
    } else {
        const auto* const host = reinterpret_cast<const char*>(key.data() + fields.host.offset);
        const auto zone = total.server.zone;
        total.server = url_server({host, strnlen(host, fields.host.size)}, total.server.port);
        total.server.zone = zone;
        total.probed = true;
    }
    return total;
}

}  // namespace upstat::poll
