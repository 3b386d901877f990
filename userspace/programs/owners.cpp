// SPDX-License-Identifier: Apache-2.0
#include "programs/owners.hpp"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.hpp"
#include "base/process_stat.hpp"
#include "layout.h"
#include "owner.skel.h"
#include "programs/pins.hpp"
#include "programs/ports.hpp"

namespace upstat::programs {

namespace fs = std::filesystem;

namespace {

using OwnerSkeleton = std::unique_ptr<owner_bpf, decltype(&owner_bpf__destroy)>;

/// The maps are those of the generation, which the counting programs use.
void use_maps(const bpf_object* object, const Generation& generation) {
    bpf_map* map = nullptr;
    bpf_object__for_each_map(map, object) {
        if (is_pinned(map)) {
            bpf_map__set_pin_path(map, (generation.path / bpf_map__name(map)).c_str());
        }
    }
}

/// With the kernel's own types, or without: then a number that a later process has is taken for the one before.
Result<OwnerSkeleton> load_owner(const Generation& generation, bool plain) {
    OwnerSkeleton skeleton(owner_bpf__open(), owner_bpf__destroy);
    if (!skeleton) {
        return std::unexpected(bpf_error(errno, "cannot open the program that marks sockets"));
    }
    use_maps(skeleton->obj, generation);
    bpf_program__set_autoload(skeleton->progs.upstat_owner, !plain);
    bpf_program__set_autoload(skeleton->progs.upstat_owner_plain, plain);
    if (const int failed = owner_bpf__load(skeleton.get()); failed != 0) {
        return std::unexpected(bpf_error(-failed, "the kernel refused the program that marks sockets"));
    }
    return skeleton;
}

int option_of(const Fd& socket, int option) {
    int value = -1;
    socklen_t size = sizeof(value);
    return getsockopt(socket.get(), SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

/// The local port of a TCP socket that has one.
std::optional<std::uint16_t> port_of(const Fd& socket) {
    sockaddr_in6 address{};  // an IPv4 address has its port at the same place
    socklen_t size = sizeof(address);
    if (option_of(socket, SO_PROTOCOL) != IPPROTO_TCP ||
        getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0 || address.sin6_port == 0) {
        return std::nullopt;
    }
    return ntohs(address.sin6_port);
}

Error not_permitted() {
    return {.kind = Error::Kind::host,
            .message = "the kernel does not let this process look at them",
            .hint = "give it CAP_SYS_PTRACE and the system call pidfd_getfd, and set kernel.yama.ptrace_scope below 3"};
}

/// The numbers of a process's descriptors that are sockets.
Result<std::vector<int>> sockets_of(pid_t pid) {
    std::vector<int> found;
    std::error_code error;
    for (fs::directory_iterator entry(fmt::format("/proc/{}/fd", pid), error), end; !error && entry != end;
         entry.increment(error)) {
        std::error_code unread;
        const auto name = entry->path().filename().string();
        const auto target = fs::read_symlink(entry->path(), unread).string();
        if (unread == std::errc::permission_denied) {
            return std::unexpected(not_permitted());
        }
        int number = -1;
        std::from_chars(name.data(), name.data() + name.size(), number);
        if (number >= 0 && target.starts_with("socket:[")) {
            found.push_back(number);
        }
    }
    if (error == std::errc::permission_denied) {
        return std::unexpected(not_permitted());
    }
    return found;  // of a process that has ended there are none
}

/// The sockets that a process has, marked as its own.
class Marking {
  public:
    Marking(const Member& member, int owners) : member_(&member), owners_(owners) {}

    /// How many there were without a mark.
    Result<std::size_t> mark_all() {
        const Fd process(static_cast<int>(syscall(SYS_pidfd_open, member_->pid, 0)));
        const auto stat = read_process_stat(fmt::format("/proc/{}/stat", member_->pid));
        if (!process || !stat || stat->start_time != member_->start_time) {
            return 0;  // it has ended
        }
        const auto numbers = sockets_of(member_->pid);
        if (!numbers) {
            return std::unexpected(numbers.error());
        }
        std::size_t marked = 0;
        for (const auto number : *numbers) {
            const Fd socket(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), number, 0)));
            if (!socket && errno == EPERM) {
                return std::unexpected(not_permitted());
            }
            marked += socket && mark(socket) ? 1U : 0U;
        }
        return marked;
    }

    [[nodiscard]] const std::set<std::uint16_t>& listening() const { return listening_; }
    [[nodiscard]] const std::set<std::uint16_t>& connected() const { return connected_; }

  private:
    /// Whether a mark may be written over: what another process made stays that one's.
    [[nodiscard]] bool is_ours(const upstat_owner& owner) const {
        return owner.tgid == 0 || (owner.tgid == static_cast<__u32>(member_->pid) &&
                                   (owner.start == 0 || owner.start == member_->start_time));
    }

    /// True where it had none, or one of another zone.
    bool mark(const Fd& socket) {
        const int family = option_of(socket, SO_DOMAIN);
        if (family != AF_INET && family != AF_INET6) {
            return false;
        }
        if (const auto port = port_of(socket); port) {
            (option_of(socket, SO_ACCEPTCONN) == 1 ? listening_ : connected_).insert(*port);
        }
        const int key = socket.get();
        upstat_owner owner{};
        if (bpf_map_lookup_elem(owners_, &key, &owner) == 0 &&
            (!is_ours(owner) || owner.member_of == member_->zone + 1U)) {
            return false;
        }
        owner = {.start = member_->start_time,
                 .tgid = static_cast<__u32>(member_->pid),
                 .epoch = 0,
                 .member_of = member_->zone + 1U,
                 .padding = 0};
        return bpf_map_update_elem(owners_, &key, &owner, BPF_ANY) == 0;
    }

    const Member* member_;
    int owners_;
    std::set<std::uint16_t> listening_;
    std::set<std::uint16_t> connected_;
};

/// A socket may be made just before the program came, and be in no list yet: so all are listed again until no new one
/// is there. A neighbour may listen on the port from which Traefik has opened a connection, at another address.
Result<void> mark_sockets(const Member& member, const Generation& generation) {
    constexpr int most_rounds = 5;
    Marking marking(member, generation.map("owners"));
    for (int round = 0; round < most_rounds; ++round) {
        const auto marked = marking.mark_all();
        if (!marked) {
            return std::unexpected(marked.error());
        }
        if (*marked == 0 && round != 0) {
            break;
        }
    }
    std::set<std::uint16_t> opened;
    std::ranges::set_difference(marking.connected(), marking.listening(), std::inserter(opened, opened.end()));
    return tell_ports(generation.map("ports"), {}, opened);
}

std::vector<std::uint32_t> keys_of(int map) {
    std::vector<std::uint32_t> keys;
    std::uint32_t key = 0;
    for (bool first = true; bpf_map_get_next_key(map, first ? nullptr : &key, &key) == 0; first = false) {
        keys.push_back(key);
    }
    return keys;
}

/// Sockets that were nobody's are looked at again. 0 is for those that were not looked at yet.
bool begin_members(int map) {
    const std::uint32_t only = 0;
    std::uint32_t epoch = 0;
    bpf_map_lookup_elem(map, &only, &epoch);
    epoch = epoch + 1 == 0 ? 1 : epoch + 1;
    return bpf_map_update_elem(map, &only, &epoch, BPF_ANY) == 0;
}

bool is_running(int map, std::uint32_t pid) {
    upstat_member member{};
    const auto stat = read_process_stat(fmt::format("/proc/{}/stat", pid));
    return stat && bpf_map_lookup_elem(map, &pid, &member) == 0 && stat->start_time == member.start;
}

/// Where the members are not `complete`, only those that have ended.
void remove_others(const std::vector<Member>& members, bool complete, const Generation& generation) {
    const int map = generation.map("members");
    for (const auto pid : keys_of(map)) {
        const bool is_named = std::ranges::find(members, static_cast<pid_t>(pid), &Member::pid) != members.end();
        if (!is_named && (complete || !is_running(map, pid))) {
            bpf_map_delete_elem(map, &pid);
        }
    }
}

MemberProblems write_members(const std::vector<Member>& members, const Generation& generation) {
    const int map = generation.map("members");
    MemberProblems problems;
    for (const auto& member : members) {
        const auto pid = static_cast<std::uint32_t>(member.pid);
        const upstat_member value{.start = member.start_time, .zone = member.zone, .padding = 0};
        if (bpf_map_update_elem(map, &pid, &value, BPF_ANY) != 0) {
            problems.emplace(member.pid, bpf_error(errno, "there is no room for one more Traefik in a shared cgroup"));
        }
    }
    if (!begin_members(generation.map("members_epoch"))) {
        for (const auto& member : members) {
            problems.emplace(member.pid, bpf_error(errno, "cannot write to the map members_epoch"));
        }
    }
    return problems;
}

}  // namespace

struct Owners::Loaded {
    OwnerSkeleton skeleton;
    std::unique_ptr<ring_buffer, decltype(&ring_buffer__free)> ring{nullptr, ring_buffer__free};
    std::vector<pid_t> newcomers{};

    [[nodiscard]] int program() const {
        const int fd = bpf_program__fd(skeleton->progs.upstat_owner);
        return fd >= 0 ? fd : bpf_program__fd(skeleton->progs.upstat_owner_plain);
    }
};

void Owners::FreeLoaded::operator()(Loaded* loaded) const {
    delete loaded;
}

Result<int> Owners::program(const Generation& generation) {
    if (loaded_) {
        return loaded_->program();
    }
    auto skeleton = load_owner(generation, false);
    if (!skeleton) {
        skeleton = load_owner(generation, true);
    }
    if (!skeleton) {
        return std::unexpected(skeleton.error());
    }
    loaded_.reset(new Loaded{.skeleton = std::move(*skeleton)});
    const auto take = [](void* context, void* data, std::size_t /*size*/) {
        constexpr std::size_t at_once = 16;  // whoever starts processes decides how many
        auto& pids = *static_cast<std::vector<pid_t>*>(context);
        pids.push_back(*static_cast<const pid_t*>(data));
        return pids.size() < at_once ? 0 : -EAGAIN;
    };
    loaded_->ring.reset(
        ring_buffer__new(bpf_map__fd(loaded_->skeleton->maps.newcomers), take, &loaded_->newcomers, nullptr));
    return loaded_->program();
}

const MemberProblems& Owners::set(std::vector<Member> members, bool complete, const Generation& generation) {
    std::ranges::sort(members);
    members.erase(std::ranges::unique(members).begin(), members.end());
    remove_others(members, complete, generation);
    if (members_ == members) {
        return problems_;
    }
    const auto before = std::exchange(members_, std::move(members)).value_or(std::vector<Member>());
    std::erase_if(problems_, [&](const auto& entry) {
        return std::ranges::find(*members_, entry.first, &Member::pid) == members_->end();
    });
    problems_.merge(write_members(*members_, generation));
    for (const auto& member : *members_) {
        if (std::ranges::find(before, member) != before.end()) {
            continue;
        }
        if (auto marked = mark_sockets(member, generation); !marked) {
            problems_.emplace(member.pid, marked.error());
        }
    }
    return problems_;
}

void Owners::look_again(const Generation& generation) {
    begin_members(generation.map("members_epoch"));
}

int Owners::fd() const {
    return loaded_ && loaded_->ring ? bpf_map__fd(loaded_->skeleton->maps.newcomers) : -1;
}

std::vector<pid_t> Owners::newcomers() {
    if (fd() < 0) {
        return {};
    }
    ring_buffer__consume(loaded_->ring.get());
    return std::exchange(loaded_->newcomers, {});
}

int Owners::loaded_program() const {
    return loaded_ ? loaded_->program() : -1;
}

}  // namespace upstat::programs
