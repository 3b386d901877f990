// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>

#include "poll/snapshot.hpp"

struct btf;

namespace upstat::poll {

/// One entry of a map that counts, its CPUs added up. The server is zero where the kernel had no room to tell whose it
/// is. Event, detail, method and whose are those of bpf/layout.h; numbers of a newer one may be among them.
struct Total {
    Server server;
    bool probed = false;  ///< a response that a probe saw: nobody saw its request
    std::uint64_t event = 0;
    std::uint64_t detail = 0;
    std::uint64_t method = 0;
    std::uint64_t whose = 0;
    std::uint64_t route = 0;  ///< of a user's response; 0: none is told
    std::uint64_t count = 0;
};

/// Where one number stands in a key; of size 0 where the key has none.
struct Field {
    std::uint32_t offset = 0;
    std::uint32_t size = 0;

    bool operator==(const Field&) const = default;
};

/// Where the parts of a key stand. The key of the requests map has no event. Before layout 3 all requests were users'.
struct KeyFields {
    Field address{};
    Field host{};  ///< of a URL, in place of an address; zeros behind it
    Field port{};
    Field zone{};
    Field detail{};
    Field event{};
    Field method{};
    Field whose{};
    Field route{};

    bool operator==(const KeyFields&) const = default;
};

/// Of the layout that this agent is built with.
KeyFields own_total_fields();
KeyFields own_request_fields();
KeyFields own_probed_fields();

/// Of any layout, older or newer: the members are found by their names. The error names what is missing.
std::expected<KeyFields, std::string> total_fields(const btf* types, std::uint32_t key);
std::expected<KeyFields, std::string> probed_fields(const btf* types, std::uint32_t key);
std::expected<KeyFields, std::string> request_fields(const btf* types, std::uint32_t key);

/// Where a value of the map `slots` says how many slots there are, 32 bits; nothing where it does not.
std::optional<Field> given_field(const btf* types, std::uint32_t value);

/// A key without event is a request's.
Total to_total(std::span<const std::byte> key, const KeyFields& fields, std::uint64_t count);

}  // namespace upstat::poll
