// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

struct bpf_map;
struct bpf_object;
struct btf;

namespace upstat::programs {

/// Whether two types hold the same in memory: same members of the same names at the same places.
bool same_type(const btf* one_types, std::uint32_t one, const btf* other_types, std::uint32_t other);

/// Whether the programs of `object` can work on a map that exists already: same kind, sizes and types. It may have room
/// for more entries than asked for.
bool fits(const bpf_object* object, const bpf_map* wanted, int fd);

}  // namespace upstat::programs
