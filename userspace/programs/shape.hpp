// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

struct bpf_map;
struct bpf_object;
struct btf;

namespace upstat::programs {

/// Whether two types have the same layout in memory: members of the same names and types at the same offsets.
bool same_type(const btf* one_types, std::uint32_t one, const btf* other_types, std::uint32_t other);

/// Whether the programs of `object` can use a map that exists already: same kind, sizes and types. It may have more
/// entries than `wanted` asks for.
bool fits(const bpf_object* object, const bpf_map* wanted, int fd);

}  // namespace upstat::programs
