// SPDX-License-Identifier: Apache-2.0
#include "count/counter.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <fstream>
#include <map>
#include <optional>

#include "count/pins.hpp"
#include "layout.h"
#include "upstat.skel.h"

namespace upstat {

namespace fs = std::filesystem;

namespace {

struct DestroySkeleton {
    void operator()(upstat_bpf* skeleton) const { upstat_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<upstat_bpf, DestroySkeleton>;

/// libbpf's own words go to our log, and only where somebody asked for them: what matters comes back as an Error.
int log_libbpf(libbpf_print_level level, const char* format, va_list arguments) {
    if (level == LIBBPF_DEBUG) {
        return 0;
    }
    std::array<char, 4096> text{};
    const int length = std::vsnprintf(text.data(), text.size(), format, arguments);
    if (length > 0) {
        std::string_view line(text.data(), std::min<std::size_t>(length, text.size() - 1));
        while (line.ends_with('\n')) {
            line.remove_suffix(1);
        }
        spdlog::debug("{}", line);
    }
    return length;
}

/// Attached in this order: connections made from the first step on are known by their own state.
enum Hook : std::size_t { sockops, ingress, egress, hooks };
constexpr std::array<const char*, hooks> hook_names{"sockops", "ingress", "egress"};
constexpr std::array<bpf_attach_type, hooks> hook_types{BPF_CGROUP_SOCK_OPS, BPF_CGROUP_INET_INGRESS,
                                                        BPF_CGROUP_INET_EGRESS};

/// The cgroup of a pinned link; 0 when the cgroup is gone, nothing when there is no such link.
std::optional<std::uint64_t> cgroup_of(const Fd& link) {
    bpf_link_info info{};
    std::uint32_t size = sizeof(info);
    if (!link || bpf_obj_get_info_by_fd(link.get(), &info, &size) != 0 || info.type != BPF_LINK_TYPE_CGROUP) {
        return std::nullopt;
    }
    return info.cgroup.cgroup_id;
}

Fd open_pin(const fs::path& path) {
    return Fd(bpf_obj_get(path.c_str()));
}

std::vector<fs::path> files_in(const fs::path& directory) {
    std::vector<fs::path> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
        files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

/// A map that is pinned already keeps its size: libbpf adopts it only if the sizes agree.
void set_size(bpf_map* map, const fs::path& pin, std::uint32_t entries) {
    const Fd pinned = open_pin(pin);
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    if (pinned && bpf_obj_get_info_by_fd(pinned.get(), &info, &size) == 0) {
        entries = info.max_entries;
    }
    bpf_map__set_max_entries(map, entries);
}

}  // namespace

class Counter::Impl {
  public:
    Impl(Pins pins, Fd lock, Skeleton skeleton)
        : pins_(std::move(pins)), lock_(std::move(lock)), skeleton_(std::move(skeleton)) {}

    Result<void> attach(const fs::path& cgroup, const std::set<std::uint16_t>& listening) {
        const Fd directory(::open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        struct stat file{};
        if (!directory || fstat(directory.get(), &file) != 0) {
            return std::unexpected(bpf_error(errno, fmt::format("cannot open the cgroup {}", cgroup.string())));
        }
        bool fresh = false;
        for (std::size_t hook = 0; hook < hooks; hook++) {
            const auto made = link(static_cast<Hook>(hook), directory.get(), file.st_ino);
            if (!made) {
                return std::unexpected(made.error());
            }
            if (*made && !fresh) {
                fresh = true;
                remember_listening(listening);
            }
        }
        spdlog::info("{} cgroup {}", fresh ? "attached to" : "adopted the programs on", cgroup.string());
        return {};
    }

    void drop_dead() const {
        for (const auto& pin : files_in(pins_.links())) {
            if (cgroup_of(open_pin(pin)).value_or(0) == 0) {
                ::unlink(pin.c_str());
            }
        }
    }

    [[nodiscard]] std::set<std::uint64_t> attached() const {
        std::map<std::uint64_t, std::size_t> links;
        for (const auto& pin : files_in(pins_.links())) {
            if (const auto cgroup = cgroup_of(open_pin(pin)); cgroup.value_or(0) != 0) {
                links[*cgroup]++;
            }
        }
        std::set<std::uint64_t> whole;
        for (const auto& [cgroup, count] : links) {
            if (count == hooks) {
                whole.insert(cgroup);
            }
        }
        return whole;
    }

    [[nodiscard]] const upstat_bpf& skeleton() const { return *skeleton_; }

  private:
    [[nodiscard]] int program(Hook hook) const {
        const auto& programs = skeleton_->progs;
        const std::array<bpf_program*, hooks> all{programs.upstat_sockops, programs.upstat_ingress,
                                                  programs.upstat_egress};
        return bpf_program__fd(all.at(hook));
    }

    /// Puts one program on the cgroup; true when no earlier link was there to be adopted.
    [[nodiscard]] Result<bool> link(Hook hook, int cgroup, std::uint64_t id) const {
        const auto pin = pins_.link(id, hook_names.at(hook));
        if (const Fd old = open_pin(pin); old) {
            if (cgroup_of(old).value_or(0) == id && bpf_link_update(old.get(), program(hook), nullptr) == 0) {
                return false;
            }
            ::unlink(pin.c_str());
        }
        const Fd made(bpf_link_create(program(hook), cgroup, hook_types.at(hook), nullptr));
        if (!made) {
            return std::unexpected(bpf_error(errno, fmt::format("cannot attach the {} program", hook_names.at(hook))));
        }
        if (bpf_obj_pin(made.get(), pin.c_str()) != 0) {
            return std::unexpected(bpf_error(errno, fmt::format("cannot pin {}", pin.string())));
        }
        return true;
    }

    void remember_listening(const std::set<std::uint16_t>& ports) const {
        const std::uint8_t yes = 1;
        for (const auto port : ports) {
            bpf_map_update_elem(bpf_map__fd(skeleton_->maps.listening), &port, &yes, BPF_ANY);
        }
    }

    Pins pins_;
    Fd lock_;
    Skeleton skeleton_;
};

Counter::Counter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Counter::Counter(Counter&&) noexcept = default;
Counter& Counter::operator=(Counter&&) noexcept = default;
Counter::~Counter() = default;

Result<Counter> Counter::open(const fs::path& pin_path, const MapSizes& sizes) {
    libbpf_set_print(log_libbpf);
    Pins pins{pin_path};
    if (auto made = make_directories(pins); !made) {
        return std::unexpected(made.error());
    }
    auto held = lock(pin_path);
    if (!held) {
        return std::unexpected(held.error());
    }
    Skeleton skeleton(upstat_bpf__open());
    if (!skeleton) {
        return std::unexpected(bpf_error(errno, "cannot open the kernel programs"));
    }
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, skeleton->obj) {
        if (bpf_map__is_internal(map)) {
            continue;
        }
        bpf_map__set_pin_path(map, pins.map(bpf_map__name(map)).c_str());
    }
    set_size(skeleton->maps.totals, pins.map("totals"), sizes.totals);
    set_size(skeleton->maps.requests, pins.map("requests"), sizes.requests);
    if (const int error = upstat_bpf__load(skeleton.get()); error != 0) {
        return std::unexpected(bpf_error(-error, "the kernel refused upstat's programs or maps"));
    }
    return Counter(std::make_unique<Impl>(std::move(pins), std::move(*held), std::move(skeleton)));
}

Result<void> Counter::attach(const fs::path& cgroup, const std::set<std::uint16_t>& listening) {
    return impl_->attach(cgroup, listening);
}

void Counter::drop_dead() {
    impl_->drop_dead();
}

std::set<std::uint64_t> Counter::attached() const {
    return impl_->attached();
}

CounterMaps Counter::maps() const {
    const auto& maps = impl_->skeleton().maps;
    return {
        .totals = bpf_map__fd(maps.totals), .requests = bpf_map__fd(maps.requests), .places = bpf_map__fd(maps.places)};
}

std::vector<CounterProgram> Counter::programs() const {
    const auto& programs = impl_->skeleton().progs;
    return {{"egress", bpf_program__fd(programs.upstat_egress)},
            {"ingress", bpf_program__fd(programs.upstat_ingress)},
            {"sockops", bpf_program__fd(programs.upstat_sockops)}};
}

std::string Counter::epoch() const {
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    bpf_obj_get_info_by_fd(maps().totals, &info, &size);
    std::string boot;
    std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
    return fmt::format("{}/{}", boot, info.id);
}

bool Counter::is_pinned(const fs::path& pin_path) {
    std::error_code error;
    return fs::exists(pin_path, error);
}

Result<bool> Counter::detach(const fs::path& pin_path) {
    std::error_code error;
    if (!fs::exists(pin_path, error)) {
        if (error) {
            return std::unexpected(bpf_error(error.value(), fmt::format("cannot look at {}", pin_path.string())));
        }
        return false;
    }
    const auto held = lock(pin_path);
    if (!held) {
        return std::unexpected(held.error());
    }
    fs::remove_all(pin_path, error);
    if (error) {
        return std::unexpected(bpf_error(error.value(), fmt::format("cannot remove {}", pin_path.string())));
    }
    return true;
}

}  // namespace upstat
