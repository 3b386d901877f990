// SPDX-License-Identifier: Apache-2.0
#include "programs/counter.hpp"

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
#include <limits>
#include <optional>
#include <span>

#include "base/file.hpp"
#include "layout.h"
#include "programs/capabilities.hpp"
#include "programs/cgroup_links.hpp"
#include "programs/cpus.hpp"
#include "programs/generations.hpp"
#include "programs/pins.hpp"
#include "programs/ports.hpp"
#include "programs/root.hpp"
#include "programs/samples.hpp"
#include "programs/shape.hpp"
#include "programs/socket_iterator.hpp"
#include "programs/zones.hpp"
#include "upstat.skel.h"

namespace upstat::programs {

namespace fs = std::filesystem;

namespace {

struct DestroySkeleton {
    void operator()(upstat_bpf* skeleton) const { upstat_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<upstat_bpf, DestroySkeleton>;

/// libbpf's messages go to our log at level debug: what matters comes back as an Error.
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

/// The programs are loaded once for each.
struct Variant {
    std::uint16_t zone = 0;
    bool shared = false;  ///< for a cgroup in which only some processes count

    auto operator<=>(const Variant&) const = default;
};

/// The generation that the programs work on: one that is pinned already, or a new one.
struct Home {
    fs::path path;
    bool is_new = false;
};

/// The newest generation goes on if its maps are like ours. An older one never does: its state of sockets has missed
/// everything sent since.
Home find_home(const fs::path& root, const std::vector<Generation>& generations, const bpf_object* object) {
    if (!generations.empty() && is_of(generations.back(), object)) {
        return {.path = generations.back().path};
    }
    return {.path = new_generation(root), .is_new = true};
}

/// libbpf adopts a pinned map only if the sizes agree. `fits` has checked that this one is large enough.
void keep_size(bpf_map* map, int pinned) {
    bpf_map_info info{};
    std::uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(pinned, &info, &size) == 0) {
        bpf_map__set_max_entries(map, info.max_entries);
    }
}

/// The maps that outlive the agent. The others, such as constants, end with the programs.
std::vector<bpf_map*> maps_of(const bpf_object* object) {
    std::vector<bpf_map*> maps;
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        if (is_pinned(map)) {
            maps.push_back(map);
        }
    }
    return maps;
}

/// Whether a map holds what is known of sockets, as opposed to counts. They remember epochs.
bool is_state(const bpf_map* map) {
    const std::string_view name = bpf_map__name(map);
    return bpf_map__type(map) == BPF_MAP_TYPE_SK_STORAGE || name == "ports" || name == "records_epoch" ||
           name == "members_epoch";
}

/// A new generation takes over the newest one's state of sockets, if its layout is the same. Responses to requests in
/// flight are then counted as if nothing had happened. An older generation's state is out of date.
void share_state(const bpf_object* object, const std::vector<Generation>& generations) {
    const auto newest =
        std::ranges::find_if(generations.rbegin(), generations.rend(),
                             [](const Generation& generation) { return generation.map("sockets") >= 0; });
    if (newest == generations.rend()) {
        return;
    }
    auto state = maps_of(object);
    // What an older version did not know yet begins empty.
    std::erase_if(state, [&](const bpf_map* map) { return !is_state(map) || newest->map(bpf_map__name(map)) < 0; });
    if (std::ranges::all_of(state,
                            [&](const bpf_map* map) { return fits(object, map, newest->map(bpf_map__name(map))); })) {
        for (auto* const map : state) {
            bpf_map__reuse_fd(map, newest->map(bpf_map__name(map)));
        }
    }
}

void place_maps(const bpf_object* object, const Home& home, const std::vector<Generation>& generations) {
    if (home.is_new) {
        share_state(object, generations);
    }
    for (auto* const map : maps_of(object)) {
        bpf_map__set_pin_path(map, (home.path / bpf_map__name(map)).c_str());
        if (!home.is_new) {
            keep_size(map, generations.back().map(bpf_map__name(map)));
        }
    }
}

constexpr auto possible_cpus = "/sys/devices/system/cpu/possible";

/// A table has a row of counts for each CPU.
Result<void> set_size(bpf_map* keys, bpf_map* counts, std::uint32_t entries) {
    const auto highest = highest_cpu(read_file(possible_cpus).value_or(""));
    if (!highest) {
        return fail(Error::Kind::host, fmt::format("{} does not say which CPUs there can be", possible_cpus),
                    "mount sysfs at /sys");
    }
    const auto cpus = *highest + 1;
    const auto all = cpus * entries;
    if (all > std::numeric_limits<std::uint32_t>::max()) {
        return fail(
            Error::Kind::host,
            fmt::format("--bpf.{}-size {} is more than a map can hold for {} CPUs", bpf_map__name(keys), entries, cpus),
            fmt::format("ask for at most {}", std::numeric_limits<std::uint32_t>::max() / cpus));
    }
    bpf_map__set_max_entries(keys, entries);
    bpf_map__set_max_entries(counts, static_cast<std::uint32_t>(all));
    return {};
}

/// The programs, not yet loaded, with maps of the sizes asked for.
Result<Skeleton> open_skeleton(const MapSizes& sizes) {
    Skeleton skeleton(upstat_bpf__open());
    if (!skeleton) {
        return std::unexpected(bpf_error(errno, "cannot open the kernel programs"));
    }
    const auto& maps = skeleton->maps;
    auto sized = set_size(maps.totals, maps.total_counts, sizes.totals);
    if (sized) {
        sized = set_size(maps.requests, maps.request_counts, sizes.requests);
        bpf_map__set_max_entries(maps.records, std::max(sizes.requests, bpf_map__max_entries(maps.records)));
    }
    return sized ? Result<Skeleton>(std::move(skeleton)) : std::unexpected(sized.error());
}

constexpr std::uint32_t generations_at_once = 16;

/// Tells the programs the sizes of their maps, which of them they are, and whose slots sockets remember: those of the
/// `number` of their generation, which no other one below the same directory has, and of their zone. A cgroup whose
/// Traefik had no number of its own before an upgrade gets one.
void set_constants(upstat_bpf& skeleton, std::size_t number, const Variant& variant) {
    skeleton.rodata->total_slots = bpf_map__max_entries(skeleton.maps.totals);
    skeleton.rodata->request_slots = bpf_map__max_entries(skeleton.maps.requests);
    skeleton.rodata->generation =
        static_cast<std::uint16_t>(number + (std::size_t{variant.zone} * generations_at_once));
    skeleton.rodata->zone = variant.zone;
    skeleton.rodata->shared = variant.shared ? 1 : 0;
}

CounterMaps counter_maps(const Generation& generation) {
    return {.path = generation.path.string(),
            .totals = generation.map("totals"),
            .total_counts = generation.map("total_counts"),
            .requests = generation.map("requests"),
            .request_counts = generation.map("request_counts"),
            .slots = generation.map("slots"),
            .overflow = generation.map("overflow"),
            .places = generation.map("places"),
            .probed = generation.map("probed")};
}

Programs descriptors(const upstat_bpf& skeleton) {
    return {bpf_program__fd(skeleton.progs.upstat_ingress), bpf_program__fd(skeleton.progs.upstat_egress),
            bpf_program__fd(skeleton.progs.upstat_sockops), -1};
}

/// Loads the programs. A new generation is finished once its directory of links is there.
Result<void> load(upstat_bpf& skeleton, const Root& root, const Home& home) {
    std::error_code error;
    if (home.is_new && !fs::create_directory(home.path, error)) {
        return std::unexpected(bpf_error(error.value(), fmt::format("cannot make {}", home.path.string())));
    }
    if (const int failed = upstat_bpf__load(&skeleton); failed != 0) {
        auto refused = bpf_error(-failed, "the kernel refused upstat's programs or maps");
        if (home.is_new) {
            if (auto removed = remove_generation(root, home.path.filename().string()); !removed) {
                spdlog::warn("{}", removed.error().text());
            }
        }
        return std::unexpected(std::move(refused));
    }
    const auto links = cgroup_links_of(home.path);
    if (home.is_new && !fs::create_directory(links, error)) {
        return std::unexpected(bpf_error(error.value(), fmt::format("cannot make {}", links.string())));
    }
    return {};
}

}  // namespace

class Counter::Impl {
  public:
    Impl(Root root, Skeleton skeleton, std::vector<Generation> generations)
        : root_(std::move(root)),
          zones_(root_),
          probes_(root_),
          generations_(std::move(generations)),
          cgroup_links_(cgroup_links_of(generations_.back().path), cgroup_links_of(previous())) {
        skeletons_.emplace(Variant{}, std::move(skeleton));
    }

    [[nodiscard]] Result<void> attach(const fs::path& cgroup, const std::set<std::uint16_t>& listening,
                                      std::uint16_t zone) {
        const auto place = enter(cgroup, listening, {.zone = zone, .shared = false});
        if (!place) {
            return std::unexpected(place.error());
        }
        if (auto attached = attach_programs(cgroup, *place, {.zone = zone, .shared = false}); !attached) {
            return attached;
        }
        shared_.erase(place->id);
        cgroup_links_.remove_owners(place->id);
        take_samples(*place);
        return {};
    }

    /// New sockets are marked first, then those that are there; then they are looked at.
    [[nodiscard]] Result<void> attach_shared(const fs::path& cgroup, const std::set<std::uint16_t>& listening,
                                             std::uint16_t zone, const std::vector<Member>& members) {
        const auto place = enter(cgroup, listening, {.zone = zone, .shared = true});
        if (!place) {
            return std::unexpected(place.error());
        }
        const auto program = owners_.program(newest());
        if (!program) {
            return std::unexpected(program.error());
        }
        if (auto marking = cgroup_links_.attach(place->directory.get(), place->id, {-1, -1, -1, *program}); !marking) {
            return std::unexpected(marking.error());
        }
        owners_.mark_again();
        owners_.set(members, false, newest());
        shared_.insert(place->id);
        auto attached = attach_programs(cgroup, *place, {.zone = zone, .shared = true});
        if (!previous().empty()) {  // its programs have looked at its own members until now
            Owners::look_again(newest());
        }
        if (attached) {
            take_samples(*place);
        }
        return attached;
    }

    [[nodiscard]] Owners& owners() { return owners_; }
    [[nodiscard]] const std::set<std::uint64_t>& shared() const { return shared_; }
    [[nodiscard]] Probes& probes() { return probes_; }
    [[nodiscard]] Routes& routes() { return routes_; }

    /// Programs that write the same maps, and know which ones they are.
    Result<void> load_variant(const Variant& variant) {
        if (skeletons_.contains(variant)) {
            return {};
        }
        auto skeleton = open_skeleton({});  // the maps are there, and keep their sizes
        if (!skeleton) {
            return std::unexpected(skeleton.error());
        }
        const Home home{.path = newest().path};
        place_maps((*skeleton)->obj, home, generations_);
        bpf_map__reuse_fd((*skeleton)->maps.head_buffers, bpf_map__fd(skeletons_.at({})->maps.head_buffers));
        set_constants(**skeleton, generations_.size(), variant);
        if (auto loaded = load(**skeleton, root_, home); !loaded) {
            return loaded;
        }
        skeletons_.emplace(variant, std::move(*skeleton));
        return {};
    }

    void keep_zones(const std::set<std::uint16_t>& zones) {
        const auto next = zones_.next();
        std::erase_if(skeletons_, [&](const auto& entry) {
            const auto zone = entry.first.zone;
            return zone != 0 && zone != next && !zones.contains(zone);
        });
    }

    /// Loads the programs that take samples. Counting goes on without them.
    void load_samples(std::uint32_t kept) {
        auto loaded = Samples::load(newest(), kept);
        if (!loaded) {
            spdlog::error("no samples are taken: {}", loaded.error().text());
            return;
        }
        samples_ = std::move(*loaded);
    }
    [[nodiscard]] const std::optional<Samples>& samples() const { return samples_; }

    void drop_dead() {
        cgroup_links_.drop_dead();
        if (samples_) {
            samples_->keep(cgroup_links_.attached(shared_));
        }
    }

    Result<Fd> walk_sockets() {
        if (!socket_iterator_) {
            socket_iterator_ = SocketIterator::load(newest().map("sockets"));
        }
        return *socket_iterator_ ? (*socket_iterator_)->walk() : std::unexpected(socket_iterator_->error());
    }

    /// The programs, of records.
    [[nodiscard]] bool has_told() const { return has_told_; }
    void set_told(bool told) { has_told_ = told; }

    [[nodiscard]] Zones& zones() { return zones_; }
    [[nodiscard]] const CgroupLinks& cgroup_links() const { return cgroup_links_; }
    [[nodiscard]] const std::map<Variant, Skeleton>& skeletons() const { return skeletons_; }
    [[nodiscard]] const Generation& newest() const { return generations_.back(); }
    [[nodiscard]] const Generation& oldest() const { return generations_.front(); }
    [[nodiscard]] std::span<const Generation> previous() const {
        return std::span(generations_).first(generations_.size() - 1);
    }

  private:
    struct Entered {
        Fd directory;
        std::uint64_t id = 0;
    };

    /// The programs for a cgroup are loaded, and know its ports.
    [[nodiscard]] Result<Entered> enter(const fs::path& cgroup, const std::set<std::uint16_t>& listening,
                                        const Variant& variant) {
        Fd directory(::open(cgroup.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        struct stat file{};
        if (!directory || fstat(directory.get(), &file) != 0) {
            return std::unexpected(bpf_error(errno, fmt::format("cannot open the cgroup {}", cgroup.string())));
        }
        if (auto written = tell_ports(newest().map("ports"), listening, {}); !written) {
            return std::unexpected(written.error());
        }
        if (auto loaded = load_variant(variant); !loaded) {
            return std::unexpected(loaded.error());
        }
        return Entered{.directory = std::move(directory), .id = file.st_ino};
    }

    [[nodiscard]] Result<void> attach_programs(const fs::path& cgroup, const Entered& place, const Variant& variant) {
        const auto fresh = cgroup_links_.attach(place.directory.get(), place.id, descriptors(*skeletons_.at(variant)));
        if (!fresh) {
            return std::unexpected(fresh.error());
        }
        spdlog::info("{} cgroup {}", *fresh ? "attached to" : "adopted the programs on", cgroup.string());
        if (!previous().empty()) {  // its programs have looked at its own records until now
            return begin_epoch({.epoch = newest().map("records_epoch")});
        }
        return {};
    }

    void take_samples(const Entered& place) {
        if (!samples_) {
            return;
        }
        if (auto attached = samples_->attach(place.directory.get(), place.id); !attached) {
            spdlog::error("{}", attached.error().text());
        }
    }

    Root root_;
    Zones zones_;
    Probes probes_;
    Owners owners_;
    Routes routes_;
    bool has_told_ = false;
    std::map<Variant, Skeleton> skeletons_;  ///< that of zone 0, not shared, is always there
    std::vector<Generation> generations_;    ///< the last one is the programs' own
    CgroupLinks cgroup_links_;
    std::set<std::uint64_t> shared_;                         ///< cgroups (by inode) in which only some processes count
    std::optional<Result<SocketIterator>> socket_iterator_;  ///< once it was wanted
    std::optional<Samples> samples_;                         ///< where they are wanted
};

Counter::Counter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Counter::Counter(Counter&&) noexcept = default;
Counter& Counter::operator=(Counter&&) noexcept = default;
Counter::~Counter() = default;

Result<Counter> Counter::open(const fs::path& pin_path, const MapSizes& sizes) {
    libbpf_set_print(log_libbpf);
    if (auto able = check_capabilities(to_count()); !able) {
        return std::unexpected(able.error());
    }
    auto root = make_root(pin_path);
    if (!root) {
        return std::unexpected(root.error());
    }
    if (auto cleared = finish_clear(*root); !cleared) {
        return std::unexpected(cleared.error());
    }
    auto before = find_generations(*root);
    if (!before) {
        return std::unexpected(before.error());
    }
    auto skeleton = open_skeleton(sizes);
    if (!skeleton) {
        return std::unexpected(skeleton.error());
    }
    const auto home = find_home(root->path, *before, (*skeleton)->obj);
    place_maps((*skeleton)->obj, home, *before);
    set_constants(**skeleton, before->size() + (home.is_new ? 1 : 0), {});
    if (auto loaded = load(**skeleton, *root, home); !loaded) {
        return std::unexpected(loaded.error());
    }
    // Sockets may remember records of another generation, whose tables were others.
    if (auto begun = begin_epoch({.epoch = bpf_map__fd((*skeleton)->maps.records_epoch)}); !begun) {
        return std::unexpected(begun.error());
    }
    auto generations = find_generations(*root);
    if (!generations) {
        return std::unexpected(generations.error());
    }
    auto impl = std::make_unique<Impl>(std::move(*root), std::move(*skeleton), std::move(*generations));
    if (sizes.samples > 0) {
        impl->load_samples(sizes.samples);
    }
    return Counter(std::move(impl));
}

SampleMaps Counter::sample_maps() const {
    return impl_->samples() ? impl_->samples()->maps() : SampleMaps();
}

Result<void> Counter::attach(const fs::path& cgroup, const std::set<std::uint16_t>& listening, std::uint16_t zone) {
    return impl_->attach(cgroup, listening, zone);
}

Result<void> Counter::attach_shared(const fs::path& cgroup, const std::set<std::uint16_t>& listening,
                                    std::uint16_t zone, const std::vector<Member>& members) {
    return impl_->attach_shared(cgroup, listening, zone, members);
}

const MemberProblems& Counter::set_members(const std::vector<Member>& members, bool complete) {
    return impl_->owners().set(members, complete, impl_->newest());
}

int Counter::newcomers_fd() const {
    return impl_->owners().fd();
}

std::vector<pid_t> Counter::newcomers() {
    return impl_->owners().newcomers();
}

Result<std::uint16_t> Counter::zone_of(const std::string& name) {
    return impl_->zones().number_of(name);
}

Result<void> Counter::adopt_zones(const ZoneNames& names) {
    return impl_->zones().adopt(names);
}

const ZoneNames& Counter::zones() const {
    return impl_->zones().names();
}

void Counter::load_ahead() {
    const auto next = impl_->zones().next();
    if (next > std::numeric_limits<std::uint16_t>::max()) {
        return;
    }
    if (auto loaded = impl_->load_variant({.zone = static_cast<std::uint16_t>(next), .shared = false}); !loaded) {
        spdlog::debug("{}", loaded.error().text());  // said when it is needed
    }
}

void Counter::keep_zones(const std::set<std::uint16_t>& zones) {
    impl_->keep_zones(zones);
    impl_->probes().keep_zones(zones);
}

ProbeState Counter::probe(const std::vector<Probed>& processes) {
    return impl_->probes().follow(processes, impl_->newest());
}

Result<void> Counter::set_records(const std::vector<Record>& records, bool complete) {
    const auto& maps = impl_->newest();
    auto written = write_records({.records = maps.map("records"), .epoch = maps.map("records_epoch")}, records,
                                 complete, !impl_->has_told());
    impl_->set_told(written.has_value());
    return written;
}

WrittenRoutes Counter::set_routes(const std::vector<RouteTable>& tables) {
    const auto& maps = impl_->newest();
    return impl_->routes().write(
        {.hosts = maps.map("route_hosts"), .paths = maps.map("route_paths"), .records = maps.map("records")}, tables);
}

void Counter::detach_previous() {
    impl_->cgroup_links().detach_previous();
}

Result<Fd> Counter::walk_sockets() {
    return impl_->walk_sockets();
}

void Counter::drop_dead() {
    impl_->drop_dead();
}

std::set<std::uint64_t> Counter::attached() const {
    return impl_->cgroup_links().attached(impl_->shared());
}

CounterMaps Counter::maps() const {
    auto maps = counter_maps(impl_->newest());
    if (const int made = impl_->probes().map(); made >= 0) {
        maps.probed = made;
    }
    return maps;
}

std::vector<CarriedMaps> Counter::carried() const {
    const auto previous = impl_->previous();
    std::vector<CarriedMaps> carried;
    for (const auto& generation : previous) {
        const auto sockets = generation.id("sockets");
        const bool has_programs = std::ranges::any_of(previous, [&](const Generation& other) {
            return other.id("sockets") == sockets && !entries_of(cgroup_links_of(other.path)).empty();
        });
        carried.push_back({.maps = counter_maps(generation),
                           .separate_sockets = sockets != impl_->newest().id("sockets"),
                           .has_programs = has_programs});
    }
    return carried;
}

std::vector<CounterProgram> Counter::programs() const {
    std::vector<CounterProgram> all;
    for (const auto& [variant, skeleton] : impl_->skeletons()) {
        const auto& programs = skeleton->progs;
        all.push_back({"egress", bpf_program__fd(programs.upstat_egress)});
        all.push_back({"ingress", bpf_program__fd(programs.upstat_ingress)});
        all.push_back({"sockops", bpf_program__fd(programs.upstat_sockops)});
    }
    if (const int owners = impl_->owners().loaded_program(); owners >= 0) {
        all.push_back({"owners", owners});
    }
    if (const int probe = impl_->probes().program(); probe >= 0) {
        all.push_back({"probe", probe});
    }
    return all;
}

std::string Counter::epoch() const {
    std::string boot;
    std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
    return fmt::format("{}/{}", boot, impl_->oldest().id("totals"));
}

bool Counter::is_pinned(const fs::path& pin_path) {
    return !generation_names(pin_path).empty();
}

Result<Removed> Counter::detach(const fs::path& pin_path) {
    const auto root = find_root(pin_path);
    if (!root) {
        return std::unexpected(root.error());
    }
    return *root ? clear(**root) : Removed();
}

}  // namespace upstat::programs
