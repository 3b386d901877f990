// SPDX-License-Identifier: Apache-2.0
#include "attribute/dns.hpp"

#include <ares.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>
#include <vector>

#include "attribute/dns_files.hpp"
#include "base/fd.hpp"
#include "base/host_port.hpp"
#include "base/regular_file.hpp"
#include "base/unprivileged.hpp"

namespace upstat::attribute {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t most_at_once = 128;
constexpr std::size_t most_addresses = 64;
constexpr std::size_t longest_hosts = std::size_t{1} << 20;
constexpr std::size_t longest_resolv_conf = std::size_t{64} << 10;
constexpr auto longest_round = std::chrono::minutes(1);

/// Moves the calling thread, and no other, into the network of the process.
std::expected<void, std::string> enter(const fs::path& process) {
    const auto network = process / "ns/net";
    const Fd target(open(network.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat wanted{};
    struct stat present{};
    if (!target || fstat(target.get(), &wanted) != 0) {
        return std::unexpected(fmt::format("cannot open {}: {}", network.string(), std::strerror(errno)));
    }
    if (stat("/proc/thread-self/ns/net", &present) == 0 && present.st_ino == wanted.st_ino &&
        present.st_dev == wanted.st_dev) {
        return {};  // no privilege needed where there is nothing to do
    }
    if (setns(target.get(), CLONE_NEWNET) != 0) {
        return std::unexpected(fmt::format("cannot enter {}: {}", network.string(), std::strerror(errno)));
    }
    return {};
}

std::string text_of(const fs::path& process, const std::string& path, std::size_t longest) {
    return read_at(open_regular_inside(process / "root", path).fd, 0, longest);
}

/// One round of questions to the name servers of one process.
class Round {
  public:
    Round(const DnsSettings& settings, const TakeName& take) : settings_(&settings), take_(&take) {}
    Round(const Round&) = delete;
    Round& operator=(const Round&) = delete;
    ~Round() {
        if (channel_ != nullptr) {
            ares_destroy(channel_);
        }
    }

    void run(const std::set<std::string>& names) {
        if (const int failed = open(); failed != ARES_SUCCESS) {
            for (const auto& name : names) {
                (*take_)(name, std::unexpected(fmt::format("cannot be asked for: {}", ares_strerror(failed))));
            }
            return;
        }
        waiting_.assign(names.begin(), names.end());
        const auto end = std::chrono::steady_clock::now() + longest_round;
        while (!waiting_.empty() || under_way_ > 0) {
            while (!waiting_.empty() && under_way_ < most_at_once) {
                auto name = std::move(waiting_.front());
                waiting_.pop_front();
                ++under_way_;
                ask(std::make_unique<Question>(Question{
                    .round = this, .name = name, .left = search_list(name, *settings_), .at = 0, .problem = {}}));
            }
            step();
            if (std::chrono::steady_clock::now() >= end) {
                give_up();
            }
        }
    }

  private:
    struct Question {
        Round* round;
        std::string name;
        std::vector<std::string> left;  ///< to be asked for in turn
        std::size_t at;
        std::string problem;
    };

    int open() {
        static const int library = ares_library_init(ARES_LIB_INIT_ALL);
        if (library != ARES_SUCCESS) {
            return library;
        }
        ares_options options{};
        std::array<char, 2> dns_only{"b"};
        std::array<char, 10> nowhere{"/dev/null"};  // not ours: the servers are set below
        options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | (settings_->tcp ? ARES_FLAG_USEVC : 0);
        options.timeout = static_cast<int>(settings_->timeout.count());
        options.tries = settings_->attempts;
        options.lookups = dns_only.data();
        options.resolvconf_path = nowhere.data();
        const int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS |
                         ARES_OPT_RESOLVCONF | (settings_->rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE);
        if (const int failed = ares_init_options(&channel_, &options, mask); failed != ARES_SUCCESS) {
            channel_ = nullptr;
            return failed;
        }
        std::vector<std::string> servers;
        std::ranges::transform(settings_->servers, std::back_inserter(servers),
                               [](const std::string& one) { return to_string(HostPort{.host = one, .port = 53}); });
        return ares_set_servers_ports_csv(channel_, fmt::format("{}", fmt::join(servers, ",")).c_str());
    }

    /// Whoever asks in the callback of another question would go ever deeper, so only here.
    void ask(std::unique_ptr<Question> question) {
        ares_addrinfo_hints hints{};
        hints.ai_family = AF_UNSPEC;
        hints.ai_socktype = SOCK_STREAM;
        hints.ai_flags = ARES_AI_NOSORT;
        auto* const asked = question.release();  // it comes back once, in `answered`
        ares_getaddrinfo(channel_, asked->left[asked->at].c_str(), nullptr, &hints, &Round::answered, asked);
    }

    static void answered(void* argument, int status, int /*timeouts*/, ares_addrinfo* result) {
        std::unique_ptr<Question> question(static_cast<Question*>(argument));
        const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owner(result, ares_freeaddrinfo);
        auto* const round = question->round;
        auto addresses = status == ARES_SUCCESS && result != nullptr ? addresses_in(*result) : std::set<std::string>();
        if (!addresses.empty()) {
            round->finish(question->name, std::move(addresses));
            return;
        }
        // Of several names Go tells what became of the first.
        question->problem = question->problem.empty() ? round->described(status) : question->problem;
        if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED || ++question->at >= question->left.size()) {
            round->finish(question->name, std::unexpected(question->problem));
            return;
        }
        round->next_.push_back(std::move(question));
    }

    static std::set<std::string> addresses_in(const ares_addrinfo& result) {
        std::set<std::string> addresses;
        for (const auto* node = result.nodes; node != nullptr && addresses.size() < most_addresses;
             node = node->ai_next) {
            std::array<char, NI_MAXHOST> text{};
            if (getnameinfo(node->ai_addr, node->ai_addrlen, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST) ==
                0) {
                addresses.insert(std::string(text.data()).substr(0, std::strcspn(text.data(), "%")));
            }
        }
        return addresses;
    }

    [[nodiscard]] std::string described(int status) const {
        const auto servers = fmt::format("{}", fmt::join(settings_->servers, ", "));
        switch (status) {
            case ARES_SUCCESS:
            case ARES_ENODATA:
                return fmt::format("{} knows no address of it", servers);
            case ARES_ENOTFOUND:
                return fmt::format("{} knows no such name", servers);
            case ARES_ECANCELLED:
            case ARES_ETIMEOUT:
                return fmt::format("no answer from {} in time", servers);
            default:
                return fmt::format("{} ({})", ares_strerror(status), servers);
        }
    }

    void finish(const std::string& name, LookedUp addresses) {
        --under_way_;
        (*take_)(name, std::move(addresses));
    }

    /// Waits for what comes next, and takes it.
    void step() {
        for (auto& question : std::exchange(next_, {})) {
            ask(std::move(question));
        }
        std::array<ares_socket_t, ARES_GETSOCK_MAXNUM> sockets{};
        const auto ready = static_cast<unsigned>(ares_getsock(channel_, sockets.data(), ARES_GETSOCK_MAXNUM));
        std::vector<pollfd> fds;
        for (unsigned i = 0; i < ARES_GETSOCK_MAXNUM; ++i) {
            const int events = (ARES_GETSOCK_READABLE(ready, i) != 0 ? POLLIN : 0) |
                               (ARES_GETSOCK_WRITABLE(ready, i) != 0 ? POLLOUT : 0);
            if (events != 0) {
                fds.push_back({.fd = sockets.at(i), .events = static_cast<short>(events), .revents = 0});
            }
        }
        timeval most{.tv_sec = 1, .tv_usec = 0};
        timeval left{};
        const auto* const wait = ares_timeout(channel_, &most, &left);
        if (under_way_ > 0 && next_.empty()) {
            ::poll(fds.data(), fds.size(), static_cast<int>(wait->tv_sec * 1000 + wait->tv_usec / 1000 + 1));
        }
        for (const auto& one : fds) {
            const bool in = (one.revents & (POLLIN | POLLERR | POLLHUP)) != 0;
            const bool out = (one.revents & POLLOUT) != 0;
            ares_process_fd(channel_, in ? one.fd : ARES_SOCKET_BAD, out ? one.fd : ARES_SOCKET_BAD);
        }
        ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);  // what has timed out
    }

    void give_up() {
        ares_cancel(channel_);
        for (auto& question : std::exchange(next_, {})) {
            finish(question->name, std::unexpected(question->problem));
        }
        for (auto& name : std::exchange(waiting_, {})) {
            ++under_way_;
            finish(name, std::unexpected(described(ARES_ECANCELLED)));
        }
    }

    const DnsSettings* settings_;
    const TakeName* take_;
    ares_channel channel_ = nullptr;
    std::deque<std::string> waiting_;
    std::vector<std::unique_ptr<Question>> next_;  ///< to be asked for another name
    std::size_t under_way_ = 0;
};

/// Of the process's own host, as the file has it that containers are given too.
std::string host_name_of(const fs::path& process) {
    const auto text = text_of(process, "/etc/hostname", 256);
    return text.substr(0, text.find_first_of(" \t\r\n"));
}

}  // namespace

bool look_up(const fs::path& process, const std::set<std::string>& names, const TakeName& take) {
    const auto hosts = text_of(process, "/etc/hosts", longest_hosts);
    const auto resolv_conf = text_of(process, "/etc/resolv.conf", longest_resolv_conf);
    const auto host_name = host_name_of(process);
    const auto entered = enter(process);
    drop_privilege();
    auto left = names;
    for (auto& [name, addresses] : hosts_of(hosts, names)) {
        left.erase(name);
        take(name, std::move(addresses));
    }
    if (left.empty()) {
        return true;
    }
    if (!entered) {
        for (const auto& name : left) {
            take(name, std::unexpected(entered.error()));
        }
        return false;
    }
    const auto settings = parse_resolv_conf(resolv_conf, host_name);
    Round(settings, take).run(left);
    return std::ranges::all_of(settings.servers, is_loopback);
}

}  // namespace upstat::attribute
