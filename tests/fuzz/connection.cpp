// SPDX-License-Identifier: Apache-2.0
#include "connection.hpp"

#include <arpa/inet.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "program.h"

namespace upstat::fuzz {

namespace {

struct Packet : __sk_buff {
    std::vector<char> bytes;  // of its exact size on the heap, for the address sanitizer
};

struct Entry {
    const program_map* map = nullptr;
    std::array<unsigned char, 72> key{};
    alignas(8) std::array<unsigned char, 8> value{};
};

/// A socket's storage in one map. RCU: what is deleted can still be used by who has it, but is not found again.
struct Storage {
    const program_map* map;
    std::unique_ptr<unsigned char[]> bytes;
    bool deleted = false;
};

/// A segment that came by, for the report of a finding.
struct Passed {
    const char* direction;
    std::size_t at;
    std::string bytes;
    const char* when;
    std::size_t count;
};

/// What came by of a stream: TCP knows what is whole.
class Stream {
  public:
    void add(Segment segment) {
        const auto end = segment.at + segment.bytes.size();
        if (segment.at > whole_) {
            ahead_.emplace_back(segment.at, end);
            return;
        }
        whole_ = std::max(whole_, end);
        const auto joins = [this](const auto& piece) {
            const bool joined = piece.first <= whole_;
            whole_ = joined ? std::max(whole_, piece.second) : whole_;
            return joined;
        };
        while (!ahead_.empty() && std::erase_if(ahead_, joins) != 0) {
        }
    }
    /// Bytes from its beginning on.
    std::size_t whole() const { return whole_; }

  private:
    std::vector<std::pair<std::size_t, std::size_t>> ahead_;  ///< from, to
    std::size_t whole_ = 0;
};

/// What the kernel holds of the one connection.
struct Kernel {
    bpf_sock sock{};
    struct bpf_tcp_sock tcp{};
    Stream sent;
    Stream received;
    std::vector<Storage> storages;
    std::deque<Entry> entries;
    std::vector<Passed> passed;
    bool locked = false;
    /// What another CPU does, and the calls of helpers until then.
    std::function<void()> other;
    unsigned calls = 0;
    /// Of the CPUs.
    unsigned turn = 0;
};

Kernel kernel;

std::string printable(char byte) {
    if (byte >= ' ' && byte < 127) {
        return {byte};
    }
    std::array<char, 5> escaped{};
    std::snprintf(escaped.data(), escaped.size(), "\\x%02x", static_cast<unsigned char>(byte));
    return byte == '\r' ? "\\r" : byte == '\n' ? "\\n" : escaped.data();
}

std::string printable(const std::string& bytes) {
    std::string text;
    for (const char byte : bytes) {
        text += printable(byte);
    }
    return text;
}

void note(const char* direction, Segment segment, const char* when, std::size_t count) {
    kernel.passed.emplace_back(direction, segment.at, std::string(segment.bytes), when, count);
}

void print_passed() {
    for (const Passed& each : kernel.passed) {
        std::fprintf(stderr, "  %s %zu \"%s\" %s %zu\n", each.direction, each.at, printable(each.bytes).c_str(),
                     each.when, each.count);
    }
}

const program_map& map_of(const void* map) {
    const auto* end = program_maps + program_map_count;
    const auto* found = std::find_if(program_maps, end, [map](const program_map& each) { return each.map == map; });
    if (found == end) {
        fail("a map that program.c does not list: add it to program_maps");
    }
    return *found;
}

const program_map& map_named(std::string_view name) {
    const auto* end = program_maps + program_map_count;
    const auto* found = std::find_if(program_maps, end, [name](const program_map& each) { return each.name == name; });
    if (found == end) {
        fail("program.c lists no map '%s'", std::string(name).c_str());
    }
    return *found;
}

const program_map& storage_map_of(const void* map, const void* sk) {
    const program_map& known = map_of(map);
    if (sk != &kernel.sock || known.type != BPF_MAP_TYPE_SK_STORAGE) {
        fail("socket storage asked of what is no socket or no storage");
    }
    return known;
}

Storage* find_storage(const program_map& map) {
    const auto found = std::ranges::find_if(kernel.storages,
                                            [&map](const Storage& each) { return each.map == &map && !each.deleted; });
    return found == kernel.storages.end() ? nullptr : &*found;
}

Entry* find_entry(const program_map& map, const void* key) {
    for (Entry& entry : kernel.entries) {
        if (entry.map == &map && std::memcmp(entry.key.data(), key, map.key_size) == 0) {
            return &entry;
        }
    }
    return nullptr;
}

Entry& make_entry(const program_map& map, const void* key) {
    Entry& entry = kernel.entries.emplace_back();
    if (map.key_size > entry.key.size() || map.value_size > entry.value.size()) {
        fail("the map %s has larger keys or values than Entry", map.name);
    }
    entry.map = &map;
    std::memcpy(entry.key.data(), key, map.key_size);
    return entry;
}

template <typename Key>
Key key_of(const Entry& entry) {
    Key key;
    std::memcpy(&key, entry.key.data(), sizeof(key));
    return key;
}

std::uint64_t value_of(const Entry& entry) {
    std::uint64_t value = 0;
    std::memcpy(&value, entry.value.data(), sizeof(value));
    return value;
}

constexpr std::uint32_t cpus = 2;

/// What was counted under the keys of a table that are wanted: the sum of their slots, over all CPUs.
template <typename Key, typename Wanted>
std::uint64_t sum_counts(const char* table, const char* counts, std::uint32_t slots, Wanted wanted) {
    const program_map& map = map_named(table);
    std::uint64_t sum = 0;
    for (const Entry& entry : kernel.entries) {
        for (std::uint32_t cpu = 0;
             cpu < cpus && entry.map == &map && value_of(entry) != 0 && wanted(key_of<Key>(entry)); cpu++) {
            const auto at = static_cast<std::uint32_t>(cpu * slots + value_of(entry) - 1);
            const Entry* const count = find_entry(map_named(counts), &at);
            sum += count ? value_of(*count) : 0;
        }
    }
    return sum;
}

template <typename Wanted>
std::uint64_t sum_totals(Wanted wanted) {
    return sum_counts<upstat_total_key>("totals", "total_counts", total_slots, wanted);
}

/// Of the host x the path tells a route, as far as a trie that compares whole keys can; of any other the host does.
void tell_routes() {
    upstat_route_host_key host{.table = 1, .host = {}};
    const upstat_route_host any{.route = 7, .paths = 0};
    std::memcpy(make_entry(map_named("route_hosts"), &host).value.data(), &any, sizeof(any));
    host.host[0] = 'x';
    const upstat_route_host by_path{.route = 0, .paths = 1};
    std::memcpy(make_entry(map_named("route_hosts"), &host).value.data(), &by_path, sizeof(by_path));
}

/// What the agent writes of the server that Connection's constructor makes.
void tell_record(const Wire& wire) {
    upstat_server_key server{};
    const std::array<std::uint8_t, 6> mapped{0xff, 0xff, 127, 0, 0, 1};
    std::copy(mapped.begin(), mapped.end(), &server.address[10]);
    if (wire.ipv6) {
        std::memcpy(server.address, kernel.sock.dst_ip6, sizeof(server.address));
    }
    server.port = 8080;
    const upstat_record record{.look = UPSTAT_LOOK_WHOSE | UPSTAT_LOOK_AUTH | UPSTAT_LOOK_ROUTE,
                               .checks = 1U << UPSTAT_METHOD_GET,
                               .table = 1};
    std::memcpy(make_entry(map_named("records"), &server).value.data(), &record, sizeof(record));
    const std::uint32_t only = 0;
    make_entry(map_named("records_epoch"), &only).value[0] = 1;
    tell_routes();
}

/// The one value of the array of ports, which is too large to be made anew for each connection.
std::span<unsigned char> value_of_ports() {
    static std::vector<unsigned char> value(sizeof(upstat_ports));
    return value;
}

/// The one value of a map in which the programs put together what the stack is too small for. What one connection
/// leaves there, the next one finds.
std::span<std::uint64_t> value_of_scratch(const program_map& map) {
    static std::map<const program_map*, std::vector<std::uint64_t>> values;
    auto& value = values[&map];
    value.resize((map.value_size + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t));
    return value;
}

bool is_scratch(const program_map& map) {
    return map.type == BPF_MAP_TYPE_PERCPU_ARRAY && map.value_size > sizeof(Entry::value);
}

constexpr std::size_t linear_bytes = 128;

/// Memory whose addresses have 32 bits, as those in a packet's context: one piece for each CPU.
char* low_memory() {
    static auto* const memory =
        static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
    static unsigned turn = 0;
    return memory + turn++ % 2 * linear_bytes;
}

/// The packet's beginning, as the programs may read it without a helper; of packets of odd length nothing, so that both
/// ways are gone.
void set_linear(Packet& packet) {
    char* const begin = low_memory();
    const auto size = packet.bytes.size() % 2 == 0 ? std::min(packet.bytes.size(), linear_bytes) : 0;
    std::copy_n(packet.bytes.begin(), size, begin);
    packet.data = static_cast<__u32>(reinterpret_cast<std::uintptr_t>(begin));
    packet.data_end = packet.data + static_cast<__u32>(size);
}

void run(int (*program)(__sk_buff*), Packet& packet) {
    set_linear(packet);
    if (program(&packet) != 1) {
        fail("a program did not return 1: the packet would be dropped");
    }
    if (kernel.locked) {
        fail("a program returned with the lock held");
    }
}

/// Each helper call is a point at which another CPU's packet may come in between.
void enter_helper(const char* name) {
    if (kernel.locked) {
        fail("%s was called with the lock held", name);
    }
    if (kernel.other && --kernel.calls == 0) {
        std::exchange(kernel.other, nullptr)();
    }
}

void append(std::vector<char>& packet, const void* header, std::size_t size) {
    const auto* bytes = static_cast<const char*>(header);
    packet.insert(packet.end(), bytes, bytes + size);
}

void append_ipv4(std::vector<char>& packet, unsigned options) {
    iphdr ip{};
    ip.version = 4;
    ip.ihl = 5 + options;
    ip.protocol = IPPROTO_TCP;
    append(packet, &ip, sizeof(ip));
    packet.resize(packet.size() + std::size_t{options} * 4);
}

void append_ipv6(std::vector<char>& packet, unsigned extensions) {
    ipv6hdr ip{};
    ip.version = 6;
    ip.nexthdr = extensions ? std::uint8_t{IPPROTO_HOPOPTS} : std::uint8_t{IPPROTO_TCP};
    append(packet, &ip, sizeof(ip));
    for (unsigned i = 1; i <= extensions; i++) {  // each of another size: 8 bytes more than the one before
        packet.push_back(i == extensions ? char{IPPROTO_TCP} : char{IPPROTO_DSTOPTS});
        packet.push_back(static_cast<char>(i - 1));
        packet.resize(packet.size() + std::size_t{i} * 8 - 2);
    }
}

tcphdr make_tcp(std::uint32_t seq, std::uint32_t ack) {
    tcphdr tcp{};
    tcp.seq = htonl(seq);
    tcp.ack_seq = htonl(ack);
    tcp.ack = 1;
    return tcp;
}

void append_tcp(std::vector<char>& packet, tcphdr tcp, unsigned options) {
    tcp.doff = 5 + options;
    append(packet, &tcp, sizeof(tcp));
    packet.resize(packet.size() + std::size_t{options} * 4, 1);  // each a no-operation
}

Packet make_packet(std::vector<char> bytes) {
    Packet packet{};
    packet.bytes = std::move(bytes);
    packet.bytes.shrink_to_fit();
    packet.len = static_cast<std::uint32_t>(packet.bytes.size());
    packet.sk = &kernel.sock;
    return packet;
}

Packet make_packet(const Wire& wire, const tcphdr& tcp, std::string_view payload) {
    std::vector<char> bytes;
    wire.ipv6 ? append_ipv6(bytes, wire.extensions) : append_ipv4(bytes, wire.extensions);
    append_tcp(bytes, tcp, wire.tcp_options);
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return make_packet(std::move(bytes));
}

std::uint32_t number(std::uint32_t first, std::size_t offset) {
    return first + static_cast<std::uint32_t>(offset);
}

Packet make_answer(const Wire& wire, Segment segment) {
    return make_packet(wire, make_tcp(number(wire.answer_seq, segment.at), 0), segment.bytes);
}

bpf_sock_ops make_ops(unsigned op) {
    bpf_sock_ops ops{};
    ops.op = op;
    ops.sk = &kernel.sock;
    return ops;
}

/// All that is whole has been acknowledged: as early as that can be.
void note_sent(const Wire& wire, Segment segment) {
    kernel.sent.add(segment);
    kernel.tcp.snd_una = number(wire.request_seq, kernel.sent.whole());
    const auto end = number(wire.request_seq, segment.at + segment.bytes.size());
    if (static_cast<std::int32_t>(end - kernel.tcp.snd_nxt) > 0) {
        kernel.tcp.snd_nxt = end;
    }
}

void note_received(const Wire& wire, Segment segment) {
    kernel.received.add(segment);
    kernel.tcp.rcv_nxt = number(wire.answer_seq, kernel.received.whole());
}

void receive_one(const Wire& wire, Segment segment) {
    Packet packet = make_answer(wire, segment);
    run(upstat_ingress, packet);
    note_received(wire, segment);
}

/// `other` comes while the segment's program is at its n-th call of a helper, or after it when it makes fewer.
void receive_beside(const Wire& wire, Segment segment, const std::function<void()>& other, unsigned point) {
    kernel.other = other;
    kernel.calls = std::max(point, 1U);
    receive_one(wire, segment);
    if (const auto late = std::exchange(kernel.other, nullptr)) {
        late();
    }
}

/// TCP's handshake, as the programs see it.
void connect(const Wire& wire) {
    bpf_sock_ops begun = make_ops(BPF_SOCK_OPS_TCP_CONNECT_CB);
    upstat_sockops(&begun);
    tcphdr syn = make_tcp(wire.request_seq - 1, 0);
    syn.ack = 0;
    syn.syn = 1;
    Packet first = make_packet(wire, syn, {});
    run(upstat_egress, first);
    tcphdr syn_ack = make_tcp(wire.answer_seq - 1, wire.request_seq);
    syn_ack.syn = 1;
    Packet second = make_packet(wire, syn_ack, {});
    run(upstat_ingress, second);
    bpf_sock_ops done = make_ops(BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB);
    done.snd_una = wire.request_seq;
    upstat_sockops(&done);
}

}  // namespace

void fail(const char* format, ...) {
    print_passed();
    std::fputs("finding: ", stderr);
    va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fputc('\n', stderr);
    std::abort();
}

extern "C" {

void* bpf_map_lookup_elem(void* map, const void* key) {
    enter_helper(__func__);
    const program_map& known = map_of(map);
    if (known.value_size == sizeof(upstat_ports)) {
        return value_of_ports().data();
    }
    if (is_scratch(known)) {
        return value_of_scratch(known).data();
    }
    Entry* entry = find_entry(known, key);
    if (!entry && (known.type == BPF_MAP_TYPE_PERCPU_ARRAY || known.type == BPF_MAP_TYPE_ARRAY)) {
        entry = &make_entry(known, key);
    }
    return entry ? entry->value.data() : nullptr;
}

long bpf_map_update_elem(void* map, const void* key, const void* value, __u64 flags) {
    enter_helper(__func__);
    const program_map& known = map_of(map);
    Entry* entry = find_entry(known, key);
    if (entry && flags == BPF_NOEXIST) {
        return -EEXIST;
    }
    std::memcpy((entry ? *entry : make_entry(known, key)).value.data(), value, known.value_size);
    return 0;
}

__u32 bpf_get_smp_processor_id(void) {
    enter_helper(__func__);
    return kernel.turn++ % cpus;
}

__u64 bpf_jiffies64(void) {
    enter_helper(__func__);
    return kernel.turn;
}

void* bpf_sk_storage_get(void* map, void* sk, void* value, __u64 flags) {
    enter_helper(__func__);
    const program_map& known = storage_map_of(map, sk);
    Storage* storage = find_storage(known);
    if (!storage && flags & BPF_SK_STORAGE_GET_F_CREATE) {
        kernel.storages.emplace_back(&known, std::make_unique<unsigned char[]>(known.value_size));
        storage = &kernel.storages.back();
        if (value) {
            std::memcpy(storage->bytes.get(), value, known.value_size);
        }
    }
    return storage ? storage->bytes.get() : nullptr;
}

long bpf_sk_storage_delete(void* map, void* sk) {
    enter_helper(__func__);
    Storage* storage = find_storage(storage_map_of(map, sk));
    if (!storage) {
        return -ENOENT;
    }
    storage->deleted = true;
    return 0;
}

bpf_tcp_sock* bpf_tcp_sock(bpf_sock* /*sk*/) {
    enter_helper(__func__);
    return &kernel.tcp;
}

long bpf_skb_load_bytes(const void* skb, __u32 offset, void* to, __u32 size) {
    enter_helper(__func__);
    const auto& bytes = static_cast<const Packet*>(static_cast<const __sk_buff*>(skb))->bytes;
    if (size == 0) {
        fail("a load of 0 bytes: the verifier takes none");
    }
    if (offset > bytes.size() || size > bytes.size() - offset) {
        std::memset(to, 0, size);
        return -EFAULT;
    }
    std::memcpy(to, bytes.data() + offset, size);
    return 0;
}

void bpf_spin_lock(struct bpf_spin_lock* /*lock*/) {
    enter_helper(__func__);
    kernel.locked = true;
}

void bpf_spin_unlock(struct bpf_spin_lock* /*lock*/) {
    if (!std::exchange(kernel.locked, false)) {
        fail("an unlock without a lock");
    }
    enter_helper(__func__);
}

long bpf_sock_ops_cb_flags_set(bpf_sock_ops* /*ops*/, int /*flags*/) {
    enter_helper(__func__);
    return 0;
}

}  // extern "C"

Connection::Connection(Wire wire, Age age) : wire_(wire) {
    kernel = {};
    std::memset(value_of_ports().data(), 0, value_of_ports().size());
    kernel.sock.family = wire.ipv6 ? AF_INET6 : AF_INET;
    kernel.sock.dst_ip4 = htonl(0x7f000001);
    kernel.sock.dst_port = htons(8080);
    kernel.sock.src_port = 40000;
    kernel.tcp.snd_nxt = wire.request_seq;
    kernel.tcp.snd_una = wire.request_seq;
    kernel.tcp.rcv_nxt = wire.answer_seq;
    if (wire.looked_at) {
        tell_record(wire);
    }
    if (age == Age::fresh) {
        connect(wire);
    }
}

Connection::~Connection() {
    kernel = {};
}

void Connection::send(Segment segment, std::size_t received) {
    note("sent", segment, "when received:", received);
    const auto tcp = make_tcp(number(wire_.request_seq, segment.at), number(wire_.answer_seq, received));
    Packet packet = make_packet(wire_, tcp, segment.bytes);
    run(upstat_egress, packet);
    note_sent(wire_, segment);
}

void Connection::receive(Segment segment) {
    note("received", segment, "on CPU", 0);
    receive_one(wire_, segment);
}

void Connection::receive(Segment first, Segment second, unsigned point) {
    note("received", first, "on CPU 0, and when it calls a helper, call", point);
    note("received", second, "on CPU", 1);
    receive_beside(wire_, first, [&] { receive_one(wire_, second); }, point);
}

void Connection::receive(Segment first, Segment second, Segment request, std::size_t received, unsigned point) {
    note("received", first, "on CPU 0, and when it calls a helper, call", point);
    note("received", second, "on CPU", 1);
    const auto other = [&] {
        receive_one(wire_, second);
        send(request, received);
    };
    receive_beside(wire_, first, other, point);
}

void Connection::send_unseen(Segment segment) {
    note("sent", segment, "unseen", 0);
    note_sent(wire_, segment);
}

void Connection::receive_unseen(Segment segment) {
    note("received", segment, "unseen", 0);
    note_received(wire_, segment);
}

void Connection::receive_reset() {
    tcphdr tcp = make_tcp(kernel.tcp.rcv_nxt, kernel.tcp.snd_nxt);
    tcp.rst = 1;
    Packet packet = make_packet(wire_, tcp, {});
    run(upstat_ingress, packet);
}

void Connection::send_packet(std::string_view bytes) {
    Packet packet = make_packet({bytes.begin(), bytes.end()});
    run(upstat_egress, packet);
}

void Connection::receive_packet(std::string_view bytes) {
    Packet packet = make_packet({bytes.begin(), bytes.end()});
    run(upstat_ingress, packet);
}

void Connection::change_state(unsigned from, unsigned to) {
    bpf_sock_ops ops = make_ops(BPF_SOCK_OPS_STATE_CB);
    ops.args[0] = from;
    ops.args[1] = to;
    upstat_sockops(&ops);
}

std::uint64_t Connection::requests() const {
    return sum_counts<upstat_request_key>("requests", "request_counts", request_slots,
                                          [](const upstat_request_key&) { return true; });
}

std::uint64_t Connection::answers() const {
    return sum_totals([](const upstat_total_key& key) { return key.event == UPSTAT_RESPONSE; });
}

std::uint64_t Connection::answers(int code, upstat_method method) const {
    return sum_totals([&](const upstat_total_key& key) {
        return key.event == UPSTAT_RESPONSE && key.detail == code && (key.whose != 0 || key.method == method);
    });
}

std::uint64_t Connection::answers_of(upstat_whose whose) const {
    return sum_totals(
        [whose](const upstat_total_key& key) { return key.event == UPSTAT_RESPONSE && key.whose == whose; });
}

std::uint64_t Connection::unanswered() const {
    return sum_totals([](const upstat_total_key& key) { return key.event == UPSTAT_UNANSWERED; });
}

std::uint64_t Connection::unanswered(upstat_unanswered reason) const {
    return sum_totals(
        [reason](const upstat_total_key& key) { return key.event == UPSTAT_UNANSWERED && key.detail == reason; });
}

std::uint64_t Connection::unread() const {
    return sum_totals([](const upstat_total_key& key) { return key.event == UPSTAT_UNREAD; });
}

std::uint64_t Connection::unread(upstat_unread reason) const {
    return sum_totals(
        [reason](const upstat_total_key& key) { return key.event == UPSTAT_UNREAD && key.detail == reason; });
}

std::uint64_t Connection::place(upstat_place place) const {
    const std::uint32_t key = place;
    const Entry* entry = find_entry(map_named("places"), &key);
    return entry ? value_of(*entry) : 0;
}

int Connection::code() const {
    const program_map& totals = map_named("totals");
    int code = 0;
    for (const Entry& entry : kernel.entries) {
        if (entry.map == &totals && key_of<upstat_total_key>(entry).event == UPSTAT_RESPONSE) {
            code = key_of<upstat_total_key>(entry).detail;
        }
    }
    return code;
}

bool Connection::in_flight() const {
    const Storage* state = find_storage(map_named("sockets"));
    return state && program_in_flight(state->bytes.get());
}

void Connection::check_balance() const {
    const std::uint64_t outstanding = in_flight() ? 1 : 0;
    if (requests() != answers() + unanswered() + outstanding) {
        fail("%lu requests, but %lu answers, %lu unanswered, %lu in flight", requests(), answers(), unanswered(),
             outstanding);
    }
}

}  // namespace upstat::fuzz
