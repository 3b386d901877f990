// SPDX-License-Identifier: Apache-2.0
#include "programs/probes.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>

#include "base/file.hpp"
#include "base/regular_file.hpp"
#include "base/unprivileged.hpp"
#include "probe.skel.h"
#include "programs/pins.hpp"
#include "programs/shape.hpp"

namespace upstat::programs {

namespace fs = std::filesystem;

namespace {

constexpr auto counting_name = "counting";
constexpr auto probe_type_file = "/sys/bus/event_source/devices/uprobe/type";

/// How the kernel names its event source of uprobes; each boot may have another number.
std::optional<std::uint32_t> probe_type() {
    const auto text = read_file(probe_type_file).value_or("");
    std::uint32_t type = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), type);
    return error == std::errc() ? std::optional(type) : std::nullopt;
}

/// An event of one process, whatever CPU it runs on.
Result<Fd> open_event(const Fd& file, std::uint64_t offset, pid_t pid) {
    const auto type = probe_type();
    if (!type) {
        return fail(Error::Kind::host, fmt::format("{} is missing: this kernel has no uprobes", probe_type_file),
                    "use a kernel with CONFIG_UPROBE_EVENTS, or --probe.tls=off");
    }
    const auto path = path_of(file).string();
    perf_event_attr attributes{};
    attributes.size = sizeof attributes;
    attributes.type = *type;
    attributes.uprobe_path = reinterpret_cast<std::uint64_t>(path.c_str());
    attributes.probe_offset = offset;
    Fd event(static_cast<int>(
        syscall(SYS_perf_event_open, &attributes, pid, -1 /* any CPU */, -1 /* no group */, PERF_FLAG_FD_CLOEXEC)));
    return event ? Result<Fd>(std::move(event)) : std::unexpected(bpf_error(errno, "cannot make a uprobe"));
}

/// Whether a name has the form PID-START-DEVICE-INODE-ZONE.
bool is_link_name(std::string_view name) {
    constexpr int parts = 5;
    int part = 1;
    for (; part < parts; part++) {
        const auto dash = name.find('-');
        if (dash == std::string_view::npos || !is_number(name.substr(0, dash))) {
            return false;
        }
        name.remove_prefix(dash + 1);
    }
    return is_number(name);
}

/// Links to events came with Linux 5.15: before, nothing can be pinned, and this is no link of a probe.
bool is_probe_link(const Fd& object) {
    bpf_link_info info{};
    std::uint32_t size = sizeof(info);
    return is_link(object) && bpf_obj_get_info_by_fd(object.get(), &info, &size) == 0 &&
           info.type == BPF_LINK_TYPE_PERF_EVENT;
}

/// libbpf adopts a pinned map only if the sizes agree. False where the pinned one is of another shape.
bool adopt_size(const bpf_object* object, bpf_map* map, const fs::path& pin) {
    const Fd pinned = open_pin(pin);
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    return !pinned || (fits(object, map, pinned.get()) && bpf_obj_get_info_by_fd(pinned.get(), &info, &size) == 0 &&
                       bpf_map__set_max_entries(map, info.max_entries) == 0);
}

}  // namespace

bool is_own_probe(const fs::path& pin) {
    const auto name = pin.filename().string();
    return is_own_map(pin) || (is_link_name(name) && is_probe_link(open_pin(pin)));
}

/// The programs of one zone.
struct Probes::Loaded {
    probe_bpf* skeleton = nullptr;
};

void Probes::FreeLoaded::operator()(Loaded* loaded) const {
    probe_bpf__destroy(loaded->skeleton);
    delete loaded;
}

/// The maps of the generation are used, and its own one is pinned beside them.
Result<void> Probes::place_maps(const bpf_object* object, const Generation& generation) const {
    std::error_code error;
    if (fs::create_directory(directory_, error); error) {
        return std::unexpected(bpf_error(error.value(), fmt::format("cannot make {}", directory_.string())));
    }
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        if (!is_pinned(map)) {
            continue;
        }
        const bool is_counting = bpf_map__name(map) == std::string_view(counting_name);
        const auto pin = (is_counting ? directory_ : generation.path) / bpf_map__name(map);
        if (!is_counting && !adopt_size(object, map, pin)) {  // an array of programs has no types
            return fail(Error::Kind::runtime, fmt::format("the map {} is of another version", pin.string()),
                        "`upstat detach` begins anew");
        }
        bpf_map__set_pin_path(map, pin.c_str());
    }
    return {};
}

/// The descriptor of the program that a link of this zone runs. It leads to the one that counts, from now on.
Result<int> Probes::program_of(std::uint16_t zone, const Generation& generation) {
    if (const auto known = loaded_.find(zone); known != loaded_.end()) {
        return bpf_program__fd(known->second->skeleton->progs.upstat_probe);
    }
    std::unique_ptr<Loaded, FreeLoaded> loaded(new Loaded{.skeleton = probe_bpf__open()});
    if (loaded->skeleton == nullptr) {
        return std::unexpected(bpf_error(errno, "cannot open the programs of probes"));
    }
    auto& skeleton = *loaded->skeleton;
    skeleton.rodata->zone = zone;
    if (auto placed = place_maps(skeleton.obj, generation); !placed) {
        return std::unexpected(placed.error());
    }
    if (const int failed = probe_bpf__load(&skeleton); failed != 0) {
        return std::unexpected(bpf_error(-failed, "the kernel refused upstat's probes or their maps"));
    }
    const std::uint32_t at = zone;
    const int counting = bpf_program__fd(skeleton.progs.upstat_probed);
    if (bpf_map_update_elem(bpf_map__fd(skeleton.maps.counting), &at, &counting, BPF_ANY) != 0) {
        return std::unexpected(bpf_error(errno, "cannot put the counting program in its place"));
    }
    map_ = Fd(dup(bpf_map__fd(skeleton.maps.probed)));
    loaded_.emplace(zone, std::move(loaded));
    return bpf_program__fd(skeleton.progs.upstat_probe);
}

fs::path Probes::link_name(const Probed& process, const FileMark& mark) {
    const auto [device, inode, seconds, nanoseconds] = mark.file;
    const auto number = makedev(static_cast<unsigned>(device >> 32U), static_cast<unsigned>(device));
    return fmt::format("{}-{}-{}-{}-{}", process.pid, process.start_time, number, inode, process.zone);
}

/// Without a word to a file system that may not respond.
std::optional<FileMark> Probes::mark_of_executable(const Probed& process) {
    return mark_of(AT_FDCWD, process.executable, 0);
}

Probes::Found Probes::found_in(const Probed& process, Fd file) {
    const auto mark = file ? mark_of(file.get(), "", AT_EMPTY_PATH) : std::nullopt;
    auto site = mark ? symbols::find_probe_site(file)
                     : fail(Error::Kind::runtime, fmt::format("{} cannot be opened", process.executable.string()));
    return {.process = process,
            .file = mark ? std::move(file) : Fd(),
            .mark = mark.value_or(FileMark{}),
            .site = std::move(site)};
}

/// Where this very file was read before, nothing of it is read again: a Traefik that starts again is probed at once.
std::optional<Probes::Found> Probes::known_in(const Probed& process, const FileMark& mark) const {
    const auto known = sites_.find(mark);
    Fd file(known == sites_.end() ? -1 : ::open(process.executable.c_str(), O_PATH | O_CLOEXEC));
    if (!file || mark_of(file.get(), "", AT_EMPTY_PATH) != mark) {
        return std::nullopt;
    }
    return Found{.process = process, .file = std::move(file), .mark = mark, .site = known->second};
}

void Probes::take_found() {
    constexpr std::size_t most_sites = 64;  // whoever starts Traefiks decides how many there are
    for (auto& found : searches_.take()) {
        searched_.erase(found.process);
        if (found.site) {
            if (sites_.size() >= most_sites) {
                sites_.clear();
            }
            sites_.insert_or_assign(found.mark, *found.site);
        }
        found_.insert_or_assign(found.process, std::move(found));
    }
}

/// One at a time for each process, however long it takes.
void Probes::search(const Probed& process) {
    if (!searched_.contains(process) && searches_.start([process](const auto& give) {
            auto file = open_regular(process.executable).fd;
            drop_privilege();
            give(found_in(process, std::move(file)));
        })) {
        searched_.insert(process);
    }
}

/// Where the place in its executable is not known yet, it is looked for, and this is called again.
Result<void> Probes::attach(const Probed& process, const Generation& generation) {
    const auto mark = mark_of_executable(process);
    if (!mark) {
        return fail(Error::Kind::runtime, fmt::format("{} cannot be opened", process.executable.string()));
    }
    const auto pin = directory_ / link_name(process, *mark);
    const auto program = program_of(process.zone, generation);
    if (!program) {
        return std::unexpected(program.error());
    }
    if (is_probe_link(open_pin(pin))) {
        pins_.emplace(process, pin);
        spdlog::info("adopted the probe in pid {}", process.pid);
        return {};
    }
    if (auto known = known_in(process, *mark)) {
        found_.insert_or_assign(process, *std::move(known));
    }
    const auto found = found_.find(process);
    if (found == found_.end() || (found->second.file && found->second.mark.file != mark->file)) {
        search(process);
        return {};
    }
    auto attached = attach_at(found->second, pin, *program);
    if (attached || !found->second.file) {  // one that could not be opened is opened again
        found_.erase(found);
    }
    return attached;
}

/// A link that is pinned goes on when this process ends. Before Linux 5.15 there is only the event, which does not.
Result<void> Probes::attach_at(const Found& found, const fs::path& pin, int program) {
    const auto& process = found.process;
    if (!found.site) {
        return std::unexpected(found.site.error());
    }
    auto event = open_event(found.file, found.site->offset, process.pid);
    if (!event) {
        return std::unexpected(event.error());
    }
    spdlog::info("probing pid {}, built by {}: responses of TLS and HTTP/2 servers are counted", process.pid,
                 found.site->go);
    if (const Fd link(bpf_link_create(program, event->get(), BPF_PERF_EVENT, nullptr)); link) {
        if (bpf_obj_pin(link.get(), pin.c_str()) != 0) {
            return std::unexpected(bpf_error(errno, fmt::format("cannot pin {}", pin.string())));
        }
        pins_.emplace(process, pin);
        return {};
    }
    if (errno != EINVAL && errno != EOPNOTSUPP) {
        return std::unexpected(bpf_error(errno, "cannot attach the probe"));
    }
    if (ioctl(event->get(), PERF_EVENT_IOC_SET_BPF, program) != 0) {
        return std::unexpected(bpf_error(errno, "cannot attach the probe"));
    }
    events_.emplace(process, std::move(*event));
    return {};
}

/// Takes the probes out of all other processes: out of those that ended, too, whose files they hold.
void Probes::drop_others(const std::vector<Probed>& processes) {
    const auto is_wanted = [&](const auto& entry) {
        return std::ranges::find(processes, entry.first) != processes.end();
    };
    std::erase_if(events_, [&](const auto& entry) { return !is_wanted(entry); });
    std::erase_if(pins_, [&](const auto& entry) { return !is_wanted(entry); });
    std::erase_if(found_, [&](const auto& entry) { return !is_wanted(entry); });
    std::set<fs::path> kept;
    for (const auto& [process, pin] : pins_) {
        kept.insert(pin);  // also where its executable cannot be opened just now
    }
    for (const auto& process : processes) {
        if (const auto mark = mark_of_executable(process)) {
            kept.insert(directory_ / link_name(process, *mark));
        }
    }
    for (const auto& pin : entries_of(directory_)) {
        if (!kept.contains(pin) && is_link_name(pin.filename().string()) && is_probe_link(open_pin(pin))) {
            ::unlink(pin.c_str());
        }
    }
}

ProbeState Probes::follow(const std::vector<Probed>& processes, const Generation& generation) {
    ProbeState state;
    state.news = searches_.fd();
    take_found();
    std::erase_if(pins_, [](const auto& entry) { return !fs::exists(entry.second); });  // somebody took it away
    drop_others(processes);
    for (const auto& process : processes) {
        if (pins_.contains(process) || events_.contains(process)) {
            continue;
        }
        if (auto attached = attach(process, generation); !attached) {
            state.problems.emplace(process.pid, attached.error());
        } else if (!pins_.contains(process) && !events_.contains(process)) {
            state.searching.insert(process.pid);
        }
    }
    state.outlives = events_.empty();
    return state;
}

void Probes::keep_zones(const std::set<std::uint16_t>& zones) {
    std::erase_if(loaded_, [&zones](const auto& entry) { return !zones.contains(entry.first); });
}

int Probes::program() const {
    return loaded_.empty() ? -1 : bpf_program__fd(loaded_.begin()->second->skeleton->progs.upstat_probe);
}

}  // namespace upstat::programs
