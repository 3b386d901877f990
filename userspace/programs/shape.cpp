// SPDX-License-Identifier: Apache-2.0
#include "programs/shape.hpp"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <memory>
#include <string_view>

namespace upstat::programs {

namespace {

struct FreeBtf {
    void operator()(btf* types) const { btf__free(types); }
};

std::string_view name_of(const btf* types, std::uint32_t offset) {
    return btf__name_by_offset(types, offset);
}

bool same_members(const btf* one_types, const btf_type* one, const btf* other_types, const btf_type* other) {
    for (std::uint32_t i = 0; i < btf_vlen(one); i++) {
        const auto& left = btf_members(one)[i];
        const auto& right = btf_members(other)[i];
        if (name_of(one_types, left.name_off) != name_of(other_types, right.name_off) ||
            btf_member_bit_offset(one, i) != btf_member_bit_offset(other, i) ||
            btf_member_bitfield_size(one, i) != btf_member_bitfield_size(other, i) ||
            !same_type(one_types, left.type, other_types, right.type)) {
            return false;
        }
    }
    return true;
}

bool has_room(const bpf_map* wanted, const bpf_map_info& info) {
    return info.type == BPF_MAP_TYPE_PERCPU_ARRAY ? info.max_entries == bpf_map__max_entries(wanted)
                                                  : info.max_entries >= bpf_map__max_entries(wanted);
}

}  // namespace

bool same_type(const btf* one_types, std::uint32_t one, const btf* other_types, std::uint32_t other) {
    const int one_id = btf__resolve_type(one_types, one);
    const int other_id = btf__resolve_type(other_types, other);
    if (one_id <= 0 || other_id <= 0) {
        return one_id == other_id;
    }
    const auto* const left = btf__type_by_id(one_types, static_cast<std::uint32_t>(one_id));
    const auto* const right = btf__type_by_id(other_types, static_cast<std::uint32_t>(other_id));
    if (btf_kind(left) != btf_kind(right) || btf_vlen(left) != btf_vlen(right)) {
        return false;
    }
    if (btf_is_array(left)) {
        return btf_array(left)->nelems == btf_array(right)->nelems &&
               same_type(one_types, btf_array(left)->type, other_types, btf_array(right)->type);
    }
    if (left->size != right->size) {
        return false;
    }
    return !btf_is_composite(left) || same_members(one_types, left, other_types, right);
}

bool fits(const bpf_object* object, const bpf_map* wanted, int fd) {
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0 || info.type != bpf_map__type(wanted) ||
        info.key_size != bpf_map__key_size(wanted) || info.value_size != bpf_map__value_size(wanted) ||
        info.map_flags != bpf_map__map_flags(wanted) || !has_room(wanted, info) || info.btf_id == 0) {
        return false;
    }
    const std::unique_ptr<btf, FreeBtf> types(btf__load_from_kernel_by_id(info.btf_id));
    if (!types) {
        return errno == EPERM;  // without CAP_SYS_ADMIN the layout's version has to be enough
    }
    const auto* const ours = bpf_object__btf(object);
    return same_type(types.get(), info.btf_key_type_id, ours, bpf_map__btf_key_type_id(wanted)) &&
           same_type(types.get(), info.btf_value_type_id, ours, bpf_map__btf_value_type_id(wanted));
}

}  // namespace upstat::programs
