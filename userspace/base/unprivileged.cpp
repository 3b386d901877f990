// SPDX-License-Identifier: Apache-2.0
#include "base/unprivileged.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string_view>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/fd.hpp"
#include "base/regular_file.hpp"

namespace upstat {

namespace {

constexpr auto account_name = "upstat";
constexpr uid_t nobodys = 65530;

struct Account {
    uid_t user = nobodys;
    gid_t group = nobodys;
    bool is_named = false;
};

/// Of the file alone: another source of users may be a network away, and not there yet at boot.
Account find_account() {
    struct CloseFile {
        void operator()(FILE* file) const { std::fclose(file); }
    };
    const std::unique_ptr<FILE, CloseFile> file(std::fopen("/etc/passwd", "re"));
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> room{};
    while (file != nullptr && fgetpwent_r(file.get(), &entry, room.data(), room.size(), &found) == 0) {
        if (std::string_view(entry.pw_name) == account_name && entry.pw_uid != 0) {
            return {.user = entry.pw_uid, .group = entry.pw_gid, .is_named = true};
        }
    }
    return {};
}

const Account& account() {
    static const Account found = find_account();
    return found;
}

std::string failed(std::string_view what) {
    return fmt::format("{} ({})", what, std::generic_category().message(errno));
}

/// By the kernel's own calls: glibc's would change every thread.
void change_user(std::vector<std::string>& kept) {
    const auto [user, group, is_named] = account();
    if (syscall(SYS_setgroups, 0, nullptr) != 0 || syscall(SYS_setresgid, group, group, group) != 0) {
        kept.push_back(failed(fmt::format("group {}", getegid())));
    }
    if (syscall(SYS_setresuid, user, user, user) != 0) {
        kept.push_back(failed(fmt::format("user {}", geteuid())));
    }
    // Else whoever has the thread's user could trace it, and so the process.
    if (prctl(PR_GET_DUMPABLE) == 1) {
        prctl(PR_SET_DUMPABLE, 0);
    }
}

void drop_capabilities(std::vector<std::string>& kept) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    const std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
    if (syscall(SYS_capset, &header, none.data()) != 0) {
        kept.push_back(failed("its capabilities"));
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        kept.push_back(failed("new privileges"));
    }
}

/// What threads that parse, wait, speak over sockets and make other threads need, whatever is asked for by it.
constexpr auto allowed = std::to_array<int>({
    // memory
    SCMP_SYS(brk),
    SCMP_SYS(madvise),
    SCMP_SYS(mincore),
    SCMP_SYS(mremap),
    SCMP_SYS(munmap),
    // threads and signals of their own
    SCMP_SYS(arch_prctl),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(futex),
    SCMP_SYS(futex_waitv),
    SCMP_SYS(getcpu),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(membarrier),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigpending),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_yield),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(sigaltstack),
    // who and when
    SCMP_SYS(capget),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(getegid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getgroups),
    SCMP_SYS(getpgrp),
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(getpriority),
    SCMP_SYS(getrandom),
    SCMP_SYS(getresgid),
    SCMP_SYS(getresuid),
    SCMP_SYS(getrlimit),
    SCMP_SYS(getrusage),
    SCMP_SYS(gettid),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getuid),
    SCMP_SYS(nanosleep),
    SCMP_SYS(sysinfo),
    SCMP_SYS(time),
    SCMP_SYS(times),
    SCMP_SYS(uname),
    // files that are there
    SCMP_SYS(access),
    SCMP_SYS(close),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(fadvise64),
    SCMP_SYS(fstat),
    SCMP_SYS(fstatfs),
    SCMP_SYS(getcwd),
    SCMP_SYS(getdents64),
    SCMP_SYS(lseek),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(pread64),
    SCMP_SYS(preadv),
    SCMP_SYS(read),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(readv),
    SCMP_SYS(stat),
    SCMP_SYS(statfs),
    SCMP_SYS(statx),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    // waiting
    SCMP_SYS(epoll_create),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(pselect6),
    SCMP_SYS(select),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_gettime),
    SCMP_SYS(timerfd_settime),
    // sockets
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(bind),
    SCMP_SYS(connect),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockname),
    SCMP_SYS(getsockopt),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendfile),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(setsockopt),
    SCMP_SYS(shutdown),
    SCMP_SYS(socketpair),
});

constexpr auto allowed_fcntls =
    std::to_array<unsigned long>({F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL});
constexpr auto allowed_ioctls =
    std::to_array<unsigned long>({FIONBIO, FIONREAD, TCGETS, SIOCGIFNAME, SIOCGIFINDEX, SIOCGIFADDR});
constexpr auto allowed_families = std::to_array<unsigned long>({AF_UNIX, AF_INET, AF_INET6});
constexpr unsigned long writing = O_ACCMODE | O_CREAT | O_TRUNC;
constexpr unsigned long set_vma = 0x53564d41;  // PR_SET_VMA, which names memory
constexpr unsigned long namespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

/// A filter as the kernel takes it; empty where it could not be made. Threads may load it until the process is gone, so
/// nothing destroys it.
/// The conditions of a rule: libseccomp's own macros are C.
constexpr scmp_arg_cmp equal(unsigned argument, std::uint64_t value) {
    return {.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value, .datum_b = 0};
}
constexpr scmp_arg_cmp masked(unsigned argument, std::uint64_t mask, std::uint64_t value) {
    return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

struct Program {
    std::array<sock_filter, BPF_MAXINSNS> steps{};
    unsigned short size = 0;
};

class Filter {
  public:
    /// What is not allowed fails like what root alone may do: bad input ends no agent.
    Filter() : context_(seccomp_init(SCMP_ACT_ERRNO(EPERM))) {}

    [[nodiscard]] Program program() {
        if (context_ == nullptr) {
            return {};
        }
        // A tree instead of a list: a call costs the same wherever it stands.
        seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
        for (const int call : allowed) {
            allow(call);
        }
        allow_files();
        allow_threads();
        allow_memory();
        allow_sockets();
        return is_good_ ? exported() : Program();
    }

  private:
    struct Release {
        void operator()(void* context) const { seccomp_release(context); }
    };

    /// libseccomp writes it to a file only.
    [[nodiscard]] Program exported() const {
        Program program;
        const Fd file(memfd_create("upstat", MFD_CLOEXEC));
        if (file && seccomp_export_bpf(context_.get(), file.get()) == 0) {
            const auto text = read_at(file, 0, sizeof program.steps);
            program.size = static_cast<unsigned short>(text.size() / sizeof program.steps.front());
            std::memcpy(program.steps.data(), text.data(), text.size());
        }
        return program;
    }

    template <typename... Conditions>
    void rule(unsigned action, int call, Conditions... conditions) {
        const std::array<scmp_arg_cmp, sizeof...(conditions)> all{conditions...};
        is_good_ = seccomp_rule_add_array(context_.get(), action, call, all.size(), all.data()) == 0 && is_good_;
    }
    template <typename... Conditions>
    void allow(int call, Conditions... conditions) {
        rule(SCMP_ACT_ALLOW, call, conditions...);
    }

    void allow_files() {
        allow(SCMP_SYS(open), masked(1, writing, O_RDONLY));
        allow(SCMP_SYS(openat), masked(2, writing, O_RDONLY));
        for (const auto command : allowed_fcntls) {
            allow(SCMP_SYS(fcntl), equal(1, static_cast<std::uint32_t>(command)));
        }
        for (const auto command : allowed_ioctls) {
            allow(SCMP_SYS(ioctl), equal(1, static_cast<std::uint32_t>(command)));
        }
    }

    void allow_threads() {
        // Its flags lie in memory, where no filter looks. glibc then takes clone.
        rule(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
        allow(SCMP_SYS(clone), masked(0, CLONE_THREAD | namespaces, CLONE_THREAD));
        allow(SCMP_SYS(tgkill), equal(0, static_cast<std::uint64_t>(getpid())));  // abort()
        allow(SCMP_SYS(setpriority), equal(0, PRIO_PROCESS));
        allow(SCMP_SYS(prctl), equal(0, PR_SET_NAME));
        allow(SCMP_SYS(prctl), equal(0, set_vma));
        allow(SCMP_SYS(prlimit64), equal(2, 0));  // to read one
    }

    /// A library that the name service wants may be loaded, but no memory be written first and executed then.
    void allow_memory() {
        allow(SCMP_SYS(mmap), masked(2, PROT_EXEC, 0));
        allow(SCMP_SYS(mmap), masked(2, PROT_WRITE, 0));
        allow(SCMP_SYS(mprotect), masked(2, PROT_EXEC, 0));
    }

    void allow_sockets() {
        for (const auto family : allowed_families) {
            allow(SCMP_SYS(socket), equal(0, static_cast<std::uint32_t>(family)));
        }
        // The resolver asks the kernel for this host's addresses.
        allow(SCMP_SYS(socket), equal(0, AF_NETLINK), equal(2, 0));
    }

    std::unique_ptr<std::remove_pointer_t<scmp_filter_ctx>, Release> context_;
    bool is_good_ = true;
};

/// For this thread. The program is made once: threads come and go.
bool load_filter() {
    static Program program = Filter().program();
    const sock_fprog all{.len = program.size, .filter = program.steps.data()};
    return program.size != 0 && syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all) == 0;
}

}  // namespace

std::string drop_privilege() {
    std::vector<std::string> kept;
    change_user(kept);
    drop_capabilities(kept);
    if (!load_filter()) {
        kept.push_back(failed("system calls"));
    }
    return fmt::format("{}", fmt::join(kept, ", "));
}

std::string unprivileged_words() {
    std::string kept;
    std::thread([&kept] { kept = drop_privilege(); }).join();
    const auto [user, group, is_named] = account();
    return kept.empty() ? fmt::format("user {}, no capability, seccomp",
                                      is_named ? fmt::format("{} ({})", account_name, user) : std::to_string(user))
                        : "they keep " + kept;
}

}  // namespace upstat
