// SPDX-License-Identifier: Apache-2.0
#include "poll/map.hpp"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <spdlog/fmt/fmt.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <optional>
#include <utility>

#include "layout.h"

namespace upstat::poll {

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

using Bytes = std::span<const std::byte>;

/// Gives `each` the keys and the values of all entries of a hash, some at a time, in as few calls as the kernel allows:
/// every kernel since 5.6 has batches. 0, or the error's number.
int walk(int fd, std::size_t key_size, std::size_t value_size, auto each) {
    std::uint32_t batch = 4096;
    std::vector<std::byte> keys(batch * key_size);
    std::vector<std::byte> values(batch * value_size);
    std::uint64_t position = 0;  // the kernel's cursor; hash maps use four bytes of it
    void* from = nullptr;
    for (;;) {
        auto count = batch;
        const int status = bpf_map_lookup_batch(fd, from, &position, keys.data(), values.data(), &count, nullptr);
        const int error = status == 0 ? 0 : errno;
        if (error == ENOSPC) {  // one bucket holds more than a batch
            batch *= 2;
            keys.resize(batch * key_size);
            values.resize(batch * value_size);
            continue;
        }
        if (error != 0 && error != ENOENT) {
            return error;
        }
        each(Bytes(keys).first(count * key_size), Bytes(values).first(count * value_size));
        if (error == ENOENT) {
            return 0;
        }
        from = &position;
    }
}

template <typename Number>
Number number_in(Bytes bytes) {
    Number number{};
    std::memcpy(&number, bytes.data(), sizeof(number));
    return number;
}

/// A per-CPU hash of 64-bit numbers. The kernel walks over one that got no new keys in the same order each time.
class PerCpuHash final : public CountingMap {
  public:
    PerCpuHash(int fd, const KeyFields& fields) : CountingMap(fd, fields) {}

    Result<Changed> read() override {
        std::size_t entries = 0;
        Changed changed;
        const int error = walk(fd(), key_size(), cpus * sizeof(std::uint64_t), [&](Bytes keys, Bytes values) {
            const auto taken = take(entries, keys, values);
            changed = {.keys = changed.keys || taken.keys, .counts = changed.counts || taken.counts};
            entries += keys.size() / key_size();
        });
        if (error != 0) {
            return std::unexpected(failed(error));
        }
        changed.keys |= entries != size();
        resize(entries);
        return changed;
    }

  private:
    /// Takes in a batch whose entries are number `first` and on.
    Changed take(std::size_t first, Bytes keys, Bytes values) {
        const auto entries = keys.size() / key_size();
        Changed changed{.keys = size() < first + entries};
        if (changed.keys) {
            resize(first + entries);
        }
        auto* const known = keys_.data() + (first * key_size());
        if (!std::equal(keys.begin(), keys.end(), known)) {
            changed.keys = true;
            std::ranges::copy(keys, known);
        }
        std::vector<std::uint64_t> per_cpu(cpus);
        for (std::size_t i = 0; i < entries; i++) {
            std::memcpy(per_cpu.data(), values.data() + (i * cpus * sizeof(std::uint64_t)),
                        cpus * sizeof(std::uint64_t));
            const auto count = sum(per_cpu);
            changed.counts |= count != counts_[first + i];
            counts_[first + i] = count;
        }
        return changed;
    }
};

/// A part of a map's memory, for reading, as long as it is needed.
class Mapped {
  public:
    Mapped(int fd, std::size_t offset, std::size_t size) {
        static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        const auto before = offset % page;
        size_ = before + size;
        memory_ = mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(offset - before));
        if (*this) {
            begin_ = static_cast<const std::byte*>(memory_) + before;
        }
    }
    Mapped(const Mapped&) = delete;
    Mapped& operator=(const Mapped&) = delete;
    Mapped(Mapped&&) = delete;
    Mapped& operator=(Mapped&&) = delete;
    ~Mapped() {
        if (*this) {
            munmap(memory_, size_);
        }
    }

    explicit operator bool() const { return memory_ != MAP_FAILED; }
    [[nodiscard]] const std::uint64_t* numbers() const { return reinterpret_cast<const std::uint64_t*>(begin_); }

  private:
    void* memory_;
    std::size_t size_ = 0;
    const std::byte* begin_ = nullptr;
};

/// A hash that says which slot each key has, and an array with the counts by slot: an entry is a slot. The keys are
/// read again when more slots have been given away.
class SlotTable final : public CountingMap {
  public:
    /// `given`: where a value of `slots` says how many slots there are.
    SlotTable(const TableMaps& maps, const KeyFields& fields, Field given)
        : CountingMap(maps.keys, fields), maps_(maps), given_(given) {
        if (capacity() > 0) {
            rows_ = info_of(maps.counts).max_entries / capacity();
        }
        slots_value_.resize(info_of(maps.slots).value_size);
    }

    Result<Changed> read() override {
        if (rows_ == 0) {
            return std::unexpected(failed(EBADF));  // its counts could not be opened
        }
        if (bpf_map_lookup_elem(maps_.slots, &maps_.number, slots_value_.data()) != 0) {
            return std::unexpected(failed(errno));
        }
        Changed changed;
        if (number_in<std::uint32_t>(Bytes(slots_value_).subspan(given_.offset)) != size()) {
            const auto before = size();
            if (const int error = read_keys(); error != 0) {
                return std::unexpected(failed(error));
            }
            changed.keys = size() != before;
        }
        auto counts = read_counts();
        if (!counts) {
            return std::unexpected(failed(errno));
        }
        changed.counts = *counts != counts_;
        counts_ = std::move(*counts);
        return changed;
    }

  private:
    /// All slots up to the first one whose key is not seen yet: that one comes with the next reading.
    int read_keys() {
        std::vector<bool> seen;
        const int error = walk(fd(), key_size(), sizeof(std::uint32_t), [&](Bytes keys, Bytes slots) {
            for (; !keys.empty(); keys = keys.subspan(key_size()), slots = slots.subspan(sizeof(std::uint32_t))) {
                if (const auto slot = number_in<std::uint32_t>(slots); slot != 0) {
                    seen.resize(std::max<std::size_t>(seen.size(), slot));
                    seen[slot - 1] = true;
                    keys_.resize(std::max(keys_.size(), slot * std::size_t{key_size()}));
                    std::ranges::copy(keys.first(key_size()), keys_.data() + ((slot - 1) * std::size_t{key_size()}));
                }
            }
        });
        resize(static_cast<std::size_t>(std::ranges::find(seen, false) - seen.begin()));
        return error;
    }

    /// By slot, the CPUs added up; nothing where the kernel refuses.
    [[nodiscard]] std::optional<std::vector<std::uint64_t>> read_counts() const {
        std::vector<std::uint64_t> counts(size());
        for (std::size_t row = 0; row < rows_ && size() > 0; row++) {
            const Mapped memory(maps_.counts, row * capacity() * sizeof(std::uint64_t),
                                counts.size() * sizeof(std::uint64_t));
            if (!memory) {
                return std::nullopt;
            }
            const auto* count = memory.numbers();
            for (auto& sum : counts) {
                // In the order of the tables: what a response was counted after is seen by who reads it later.
                sum += __atomic_load_n(count++, __ATOMIC_ACQUIRE);
            }
        }
        return counts;
    }

    TableMaps maps_;
    Field given_;
    std::size_t rows_ = 0;  ///< one for each CPU
    std::vector<std::byte> slots_value_;
};

using Types = std::unique_ptr<btf, FreeBtf>;

std::expected<Types, std::string> types_of(const bpf_map_info& info) {
    if (info.btf_id == 0) {
        return std::unexpected("it has no BTF that describes its key");
    }
    Types types(btf__load_from_kernel_by_id(info.btf_id));
    if (!types) {
        return std::unexpected(
            fmt::format("its BTF cannot be read: {} (that takes CAP_SYS_ADMIN)", std::strerror(errno)));
    }
    return types;
}

bool counts_by_slot(const TableMaps& maps, const bpf_map_info& keys) {
    const auto counts = info_of(maps.counts);
    return keys.type == BPF_MAP_TYPE_HASH && keys.value_size == sizeof(std::uint32_t) &&
           counts.type == BPF_MAP_TYPE_ARRAY && (counts.map_flags & BPF_F_MMAPABLE) != 0 &&
           counts.value_size == sizeof(std::uint64_t) && info_of(maps.slots).type == BPF_MAP_TYPE_ARRAY;
}

}  // namespace

CountingMap::CountingMap(int fd, const KeyFields& fields) : fd_(fd), fields_(fields) {
    const auto info = info_of(fd);
    name_ = info.name;
    key_size_ = info.key_size;
    capacity_ = info.max_entries;
}

Error CountingMap::failed(int error) const {
    return {.kind = Error::Kind::runtime,
            .message = fmt::format("cannot read the kernel map {}: {}", name_, std::strerror(error)),
            .hint = {}};
}

Total CountingMap::total(std::size_t entry) const {
    return to_total(std::span(keys_).subspan(entry * key_size_, key_size_), fields_, counts_[entry]);
}

void CountingMap::resize(std::size_t entries) {
    if (entries == counts_.size()) {
        return;
    }
    counts_.resize(entries);
    keys_.resize(entries * key_size_);
    counts_.shrink_to_fit();  // it rarely happens: no room is kept for more
    keys_.shrink_to_fit();
}

std::unique_ptr<CountingMap> own_table(const TableMaps& maps, const KeyFields& fields) {
    return std::make_unique<SlotTable>(
        maps, fields, Field{.offset = offsetof(upstat_slots, given), .size = sizeof(upstat_slots::given)});
}

std::unique_ptr<CountingMap> own_hash(int fd, const KeyFields& fields) {
    return std::make_unique<PerCpuHash>(fd, fields);
}

std::expected<std::unique_ptr<CountingMap>, std::string> translated(const TableMaps& maps, FindFields find_fields) {
    const auto info = info_of(maps.keys);
    const bool by_slot = counts_by_slot(maps, info);
    if (!by_slot && (info.type != BPF_MAP_TYPE_PERCPU_HASH || info.value_size != sizeof(std::uint64_t))) {
        return std::unexpected("it is neither a per-CPU hash of 64-bit numbers nor one of slots with counts");
    }
    const auto types = types_of(info);
    if (!types) {
        return std::unexpected(types.error());
    }
    const auto fields = find_fields(types->get(), info.btf_key_type_id);
    if (!fields) {
        return std::unexpected(fields.error());
    }
    if (!by_slot) {
        return std::make_unique<PerCpuHash>(maps.keys, *fields);
    }
    const auto slots = info_of(maps.slots);
    const auto slot_types = types_of(slots);
    const auto given = slot_types ? given_field(slot_types->get(), slots.btf_value_type_id) : std::nullopt;
    if (!given) {
        return std::unexpected("the map slots does not say how many there are");
    }
    return std::make_unique<SlotTable>(maps, *fields, *given);
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

}  // namespace upstat::poll
