// SPDX-License-Identifier: Apache-2.0
/// Anything at all, in both directions: segments near the ones expected, whole packets of any bytes, changes of TCP's
/// state, connections that are older than the programs. Whatever comes, a program returns 1, reads no byte that is not
/// there, and requests = answers + unanswered + in flight.
#include <linux/bpf.h>

#include <string>

#include "input.hpp"

namespace upstat::fuzz {

namespace {

/// Where both streams stand.
struct Streams {
    std::size_t sent = 0;
    std::size_t received = 0;
};

/// A place near where a stream stands, mostly that very place.
std::size_t take_place(FuzzedDataProvider& input, std::size_t at) {
    const auto away = input.ConsumeIntegral<std::uint8_t>();
    return at + (away < 192 ? 0 : away - 224);  // the sequence number may go below the first
}

void step(FuzzedDataProvider& input, Connection& connection, Streams& streams) {
    const auto kind = input.ConsumeIntegral<std::uint8_t>() % 8;
    const std::string bytes = input.ConsumeRandomLengthString();
    const std::size_t at = take_place(input, kind % 2 == 0 ? streams.sent : streams.received);
    switch (kind) {
        case 0:
        case 2:
            connection.send({.at = at, .bytes = bytes}, take_place(input, streams.received));
            streams.sent = at + bytes.size();
            return;
        case 1:
        case 3:
            connection.receive({.at = at, .bytes = bytes});
            streams.received = at + bytes.size();
            return;
        case 4:
            connection.send_packet(bytes);
            return;
        case 5:
            connection.receive_packet(bytes);
            return;
        case 6:
            connection.change_state(input.ConsumeIntegralInRange<unsigned>(1, 12),
                                    input.ConsumeIntegralInRange<unsigned>(1, 12));
            return;
        default: {
            const std::string other = input.ConsumeRandomLengthString();
            connection.receive({.at = at, .bytes = bytes}, {.at = take_place(input, at), .bytes = other},
                               input.ConsumeIntegral<std::uint8_t>() % 64);
            streams.received = at + bytes.size();
        }
    }
}

void test(FuzzedDataProvider& input) {
    const Wire wire = take_wire(input);
    Connection connection(wire, input.ConsumeBool() ? Connection::Age::old : Connection::Age::fresh);
    Streams streams;
    for (int steps = 0; input.remaining_bytes() && steps < 64; steps++) {
        step(input, connection, streams);
        connection.check_balance();
    }
    if (connection.unread() > 1) {
        fail("one connection was counted as unread %lu times", connection.unread());
    }
}

}  // namespace

}  // namespace upstat::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    FuzzedDataProvider input(data, size);
    upstat::fuzz::test(input);
    return 0;
}
