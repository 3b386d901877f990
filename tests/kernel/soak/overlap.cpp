// SPDX-License-Identifier: Apache-2.0
/// Two CPUs deliver to one socket at once. The server is a TUN device with two queues: two threads, each on a CPU of
/// its own, write segments of one answer at the same moment, and what is written runs up the stack on the writer's CPU,
/// through the programs, before anything takes the socket's lock.
///
/// Says "attach" once the first observer is on the cgroup, waits for a line, by which time the agent's programs are to
/// be there too, and prints the counts in the end as JSON.
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spdlog/fmt/fmt.h>
#include <sys/ioctl.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <thread>

#include "base/fd.hpp"
#include "observer.skel.h"
#include "sides.hpp"

namespace soak {

namespace {

using upstat::Fd;

constexpr auto device = "soak0";
constexpr auto server_text = "10.99.0.2:80";

struct DestroyObserver {
    void operator()(observer_bpf* observer) const { observer_bpf__destroy(observer); }
};

Fd open_queue() {
    Fd queue(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    ifreq request{};
    std::strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE;
    if (!queue || ::ioctl(queue.get(), TUNSETIFF, &request) != 0) {
        fail_errno("a TUN device with two queues");
    }
    return queue;
}

void pin_to_cpu(unsigned cpu) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
    if (const int error = pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus); error) {
        errno = error;
        fail_errno("two CPUs are needed");
    }
}

/// A TCP segment in an IPv4 packet, with its checksums.
struct Packet {
    iphdr ip{};
    tcphdr tcp{};
    std::array<char, 512> payload{};
    std::size_t length = 0;

    [[nodiscard]] std::size_t size() const { return sizeof(ip) + sizeof(tcp) + length; }
};

std::uint32_t add_words(const void* data, std::size_t size, std::uint32_t sum) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    for (std::size_t i = 0; i < size; i++) {
        sum += static_cast<std::uint32_t>(bytes[i]) << (i % 2 ? 0 : 8);
    }
    return sum;
}

std::uint16_t fold(std::uint32_t sum) {
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return htons(static_cast<std::uint16_t>(~sum));
}

/// The other end of one connection: what its next segments carry.
struct Peer {
    in_addr_t client = 0;
    in_addr_t server = 0;
    std::uint16_t client_port = 0;  ///< network order, both
    std::uint16_t server_port = 0;
    std::uint32_t seq = 0;
    std::uint32_t ack = 0;

    [[nodiscard]] Packet segment(std::string_view payload, std::uint32_t offset, bool syn = false) const {
        Packet packet;
        packet.length = payload.copy(packet.payload.data(), packet.payload.size());
        packet.ip.version = 4;
        packet.ip.ihl = 5;
        packet.ip.ttl = 64;
        packet.ip.protocol = IPPROTO_TCP;
        packet.ip.tot_len = htons(static_cast<std::uint16_t>(packet.size()));
        packet.ip.saddr = server;
        packet.ip.daddr = client;
        packet.ip.check = fold(add_words(&packet.ip, sizeof(packet.ip), 0));
        packet.tcp.source = server_port;
        packet.tcp.dest = client_port;
        packet.tcp.seq = htonl(seq + offset);
        packet.tcp.ack_seq = htonl(ack);
        packet.tcp.doff = 5;
        packet.tcp.syn = syn;
        packet.tcp.ack = 1;
        packet.tcp.window = 0xffff;
        std::uint32_t sum = IPPROTO_TCP + static_cast<std::uint32_t>(sizeof(packet.tcp) + packet.length);
        sum = add_words(&packet.ip.saddr, 8, sum);
        sum = add_words(&packet.tcp, sizeof(packet.tcp), sum);
        packet.tcp.check = fold(add_words(packet.payload.data(), packet.length, sum));
        return packet;
    }
};

/// The second CPU: writes a packet at the moment at which the first one writes its own.
class SecondWriter {
  public:
    explicit SecondWriter(int queue) : thread_([this, queue](const std::stop_token& stop) { run(stop, queue); }) {}

    /// Both write: this thread to `queue`, the other one to its own, some turns of an empty loop later.
    void write_both(int queue, const Packet& first, const Packet& second, std::uint32_t delay) {
        packet_ = second;
        delay_ = delay;
        state_ = State::given;
        await(State::ready);
        state_ = State::going;
        write_packet(queue, first);
        await(State::done);
    }

    static void write_packet(int queue, const Packet& packet) {
        if (::write(queue, &packet, packet.size()) < 0) {
            fail_errno("write to the TUN device");
        }
    }

  private:
    enum class State : std::uint8_t { done, given, ready, going };

    void await(State wanted) const {
        while (state_ != wanted) {
            ::sched_yield();
        }
    }

    void run(const std::stop_token& stop, int queue) {
        pin_to_cpu(1);
        while (!stop.stop_requested()) {
            auto given = State::given;
            if (!state_.compare_exchange_strong(given, State::ready)) {
                ::sched_yield();
                continue;
            }
            while (state_ != State::going) {
            }
            for (std::uint32_t turn = 0; turn < delay_; turn++) {
                asm volatile("");  // or the loop is none
            }
            write_packet(queue, packet_);
            state_ = State::done;
        }
    }

    Packet packet_;
    std::uint32_t delay_ = 0;
    std::atomic<State> state_ = State::done;
    std::jthread thread_;
};

/// Which of an answer's bytes each CPU brings: the same ones, parts that overlap, or parts that do not, down to a cut
/// in the status line or between an interim answer and the final one.
struct Pieces {
    std::string_view first;
    std::string_view second;
    std::uint32_t second_offset = 0;
};

Pieces cut(std::string_view answer, std::size_t final_at, Random& random) {
    const auto end = answer.size();
    const auto at = final_at + random.below(13);
    switch (random.below(4)) {
        case 0:
            return {answer, answer, 0};
        case 1:
            return {answer.substr(0, end - 5), answer.substr(at), static_cast<std::uint32_t>(at)};
        case 2:
            return {answer.substr(0, at + 1), answer.substr(at), static_cast<std::uint32_t>(at)};
        default:
            return at == 0 ? Pieces{answer, answer, 0}
                           : Pieces{answer.substr(0, at), answer.substr(at), static_cast<std::uint32_t>(at)};
    }
}

class Overlap {
  public:
    Overlap() : first_(open_queue()), second_(open_queue()), writer_(second_.get()) {
        pin_to_cpu(0);
        const auto commands = fmt::format("ip address add 10.99.0.1/24 dev {0} && ip link set {0} up", device);
        if (std::system(commands.c_str()) != 0) {
            fail("no address for the TUN device");
        }
    }

    void run(std::uint32_t connections, std::uint32_t requests) {
        for (std::uint32_t i = 0; i < connections; i++) {
            connect();
            for (std::uint32_t n = 0; n < requests; n++) {
                exchange();
            }
            close_with_reset(client_);
        }
    }

    [[nodiscard]] std::uint64_t requests() const { return requests_; }
    [[nodiscard]] const std::map<std::string, std::uint64_t>& answers() const { return answers_; }

  private:
    void connect() {
        client_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        set_option(client_, IPPROTO_TCP, TCP_NODELAY, 1);
        const auto server = to_address(server_text);
        if (::connect(client_, reinterpret_cast<const sockaddr*>(&server), sizeof(server)) != 0 &&
            errno != EINPROGRESS) {
            fail_errno("connect");
        }
        const auto syn = receive([](const Packet& packet) { return packet.tcp.syn; });
        peer_ = {.client = syn.ip.saddr,
                 .server = syn.ip.daddr,
                 .client_port = syn.tcp.source,
                 .server_port = syn.tcp.dest,
                 .seq = static_cast<std::uint32_t>(random_.next()),
                 .ack = ntohl(syn.tcp.seq) + 1};
        SecondWriter::write_packet(first_.get(), peer_.segment({}, 0, true));
        peer_.seq++;
        await(client_, POLLOUT);
    }

    /// One request, and its answer from both CPUs.
    void exchange() {
        const auto method = method_names.at(random_.below(method_names.size()));
        const auto request = fmt::format("{} / HTTP/1.1\r\nHost: soak\r\nContent-Length: 0\r\n\r\n", method);
        if (::send(client_, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) {
            fail_errno("send");
        }
        requests_++;
        peer_.ack = receive_request();
        const auto code = 200 + random_.below(400);
        const std::string interim(random_.one_in(4) ? continue_answer : "");
        const auto answer = fmt::format("{}HTTP/1.1 {} Soak\r\nContent-Length: 5\r\n\r\nhello", interim, code);
        const auto pieces = cut(answer, interim.size(), random_);
        writer_.write_both(first_.get(), peer_.segment(pieces.first, 0),
                           peer_.segment(pieces.second, pieces.second_offset), random_.below(400));
        peer_.seq += static_cast<std::uint32_t>(answer.size());
        take_answer(answer);
        answers_[fmt::format("{} {}", code, method)]++;
    }

    /// The client's next packet that is wanted; others are acknowledgements.
    template <typename Wanted>
    Packet receive(const Wanted& wanted) {
        for (;;) {
            std::array<pollfd, 2> queues{{{first_.get(), POLLIN, 0}, {second_.get(), POLLIN, 0}}};
            if (::poll(queues.data(), queues.size(), 10'000) < 1) {
                fail("the client sent nothing within 10 s");
            }
            for (const auto* queue : {&first_, &second_}) {
                Packet packet;
                const auto size = ::read(queue->get(), &packet, sizeof(packet));
                if (size >= static_cast<ssize_t>(sizeof(iphdr) + sizeof(tcphdr)) && packet.ip.version == 4 &&
                    packet.ip.protocol == IPPROTO_TCP && wanted(packet)) {
                    return packet;
                }
            }
        }
    }

    /// The number behind the client's request.
    std::uint32_t receive_request() {
        const auto length = [](const Packet& packet) {
            return static_cast<std::uint32_t>(ntohs(packet.ip.tot_len) - packet.ip.ihl * 4 - packet.tcp.doff * 4);
        };
        const auto expected = peer_.ack;
        const auto packet = receive([&](const Packet& one) {
            return one.tcp.source == peer_.client_port && ntohl(one.tcp.seq) == expected && length(one) > 0;
        });
        return expected + length(packet);
    }

    static void await(int fd, short events) {
        pollfd wait{.fd = fd, .events = events, .revents = 0};
        if (::poll(&wait, 1, 10'000) != 1) {
            fail("nothing came within 10 s");
        }
    }

    void take_answer(std::string_view answer) {
        std::string got;
        while (got.size() < answer.size()) {
            std::array<char, 512> bytes{};
            await(client_, POLLIN);
            const auto size = ::recv(client_, bytes.data(), bytes.size(), 0);
            if (size <= 0) {
                fail("the client's connection ended");
            }
            got.append(bytes.data(), static_cast<std::size_t>(size));
        }
        if (got != answer) {
            fail("the client read something else than the answer");
        }
    }

    Fd first_;
    Fd second_;
    SecondWriter writer_;
    int client_ = -1;
    Peer peer_;
    Random random_{1};
    std::uint64_t requests_ = 0;
    std::map<std::string, std::uint64_t> answers_;
};

void attach(const Fd& cgroup, bpf_program* program, bpf_link*& link) {
    link = bpf_program__attach_cgroup(program, cgroup.get());
    if (!link) {
        fail_errno("attach the observer");
    }
}

}  // namespace

int overlap(const std::string& path, std::uint32_t connections, std::uint32_t requests) {
    const Fd cgroup(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const std::unique_ptr<observer_bpf, DestroyObserver> observer(observer_bpf__open_and_load());
    if (!cgroup || !observer) {
        fail_errno("the observer on " + path);
    }
    attach(cgroup, observer->progs.observe_begin, observer->links.observe_begin);
    std::cout << "attach" << std::endl;
    std::string line;
    std::getline(std::cin, line);
    attach(cgroup, observer->progs.observe_end, observer->links.observe_end);

    Overlap both;
    both.run(connections, requests);
    std::string answers;
    for (const auto& [key, count] : both.answers()) {
        answers += fmt::format("{}\"{}\": {}", answers.empty() ? "" : ", ", key, count);
    }
    fmt::print("{{\"server\": \"{}\", \"requests\": {}, \"overlaps\": {}, \"answers\": {{{}}}}}\n", server_text,
               both.requests(), static_cast<std::uint64_t>(observer->bss->overlaps), answers);
    return 0;
}

}  // namespace soak
