// SPDX-License-Identifier: Apache-2.0
#include "poll/map.hpp"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <numeric>

namespace upstat {

namespace {

const std::size_t cpus = std::max(1, libbpf_num_possible_cpus());

struct FreeBtf {
    void operator()(btf* types) const { btf__free(types); }
};

bpf_map_info info_of(int fd) {
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    return bpf_obj_get_info_by_fd(fd, &info, &size) == 0 ? info : bpf_map_info{};
}

std::uint64_t sum(std::span<const std::uint64_t> per_cpu) {
    return std::accumulate(per_cpu.begin(), per_cpu.end(), std::uint64_t{0});
}

}  // namespace

CountingMap::CountingMap(int fd, const KeyFields& fields) : fd_(fd), fields_(fields) {
    const auto info = info_of(fd);
    name_ = info.name;
    key_size_ = info.key_size;
    capacity_ = info.max_entries;
}

std::expected<CountingMap, std::string> CountingMap::translated(int fd, FindFields find_fields) {
    const auto info = info_of(fd);
    if (info.type != BPF_MAP_TYPE_PERCPU_HASH || info.value_size != sizeof(std::uint64_t)) {
        return std::unexpected("it is no per-CPU hash of 64-bit numbers");
    }
    const std::unique_ptr<btf, FreeBtf> types(info.btf_id == 0 ? nullptr : btf__load_from_kernel_by_id(info.btf_id));
    if (!types) {
        return std::unexpected(info.btf_id == 0 ? std::string("it has no BTF that describes its key")
                                                : fmt::format("its BTF cannot be read: {} (that takes CAP_SYS_ADMIN)",
                                                              std::strerror(errno)));
    }
    const auto fields = find_fields(types.get(), info.btf_key_type_id);
    if (!fields) {
        return std::unexpected(fields.error());
    }
    return CountingMap(fd, *fields);
}

Error CountingMap::failed(int error) const {
    return {.kind = Error::Kind::runtime,
            .message = fmt::format("cannot read the kernel map {}: {}", name_, std::strerror(error)),
            .hint = {}};
}

Total CountingMap::total(std::size_t entry) const {
    return to_total(std::span(keys_).subspan(entry * key_size_, key_size_), fields_, counts_[entry]);
}

/// Takes in a batch whose entries are number `first` and on.
CountingMap::Changed CountingMap::take(std::size_t first, std::span<const std::byte> keys,
                                       std::span<const std::uint64_t> per_cpu) {
    const auto entries = keys.size() / key_size_;
    Changed changed;
    if (counts_.size() < first + entries) {
        changed.keys = true;
        counts_.resize(first + entries);
        keys_.resize(counts_.size() * key_size_);
    }
    auto* const known = keys_.data() + (first * key_size_);
    if (!std::equal(keys.begin(), keys.end(), known)) {
        changed.keys = true;
        std::ranges::copy(keys, known);
    }
    for (std::size_t i = 0; i < entries; i++) {
        const auto count = sum(per_cpu.subspan(i * cpus, cpus));
        changed.counts |= count != counts_[first + i];
        counts_[first + i] = count;
    }
    return changed;
}

/// Reads in as few calls as the kernel allows: every kernel since 5.6 has batches of these maps.
Result<CountingMap::Changed> CountingMap::read() {
    std::uint32_t batch = 4096;
    std::vector<std::byte> keys(std::size_t{batch} * key_size_);
    std::vector<std::uint64_t> values(batch * cpus);
    std::uint64_t position = 0;  // the kernel's cursor; hash maps use four bytes of it
    void* from = nullptr;
    std::size_t entries = 0;
    Changed changed;
    for (;;) {
        auto count = batch;
        const int status = bpf_map_lookup_batch(fd_, from, &position, keys.data(), values.data(), &count, nullptr);
        const int error = status == 0 ? 0 : errno;
        if (error == ENOSPC) {  // one bucket holds more than a batch
            batch *= 2;
            keys.resize(std::size_t{batch} * key_size_);
            values.resize(batch * cpus);
            continue;
        }
        if (error != 0 && error != ENOENT) {
            return std::unexpected(failed(error));
        }
        const auto taken =
            take(entries, std::span(keys).first(std::size_t{count} * key_size_), std::span(values).first(count * cpus));
        changed = {.keys = changed.keys || taken.keys, .counts = changed.counts || taken.counts};
        entries += count;
        if (error == ENOENT) {
            break;
        }
        from = &position;
    }
    changed.keys |= entries != counts_.size();
    counts_.resize(entries);
    keys_.resize(entries * key_size_);
    if (changed.keys) {  // which seldom happens: no room is kept for more
        counts_.shrink_to_fit();
        keys_.shrink_to_fit();
    }
    return changed;
}

Result<std::vector<std::uint64_t>> read_array(int fd, std::uint32_t most) {
    const auto info = info_of(fd);
    std::vector<std::uint64_t> numbers;
    if (info.type != BPF_MAP_TYPE_PERCPU_ARRAY || info.value_size != sizeof(std::uint64_t)) {
        return numbers;
    }
    std::vector<std::uint64_t> values(cpus);
    for (std::uint32_t index = 0; index < std::min(most, info.max_entries); index++) {
        if (bpf_map_lookup_elem(fd, &index, values.data()) != 0) {
            return fail(Error::Kind::runtime,
                        fmt::format("cannot read the kernel map {}: {}", info.name, std::strerror(errno)));
        }
        numbers.push_back(sum(values));
    }
    return numbers;
}

}  // namespace upstat
