/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel programs' own code, whole, compiled for the host. */
#include "program.h"

#include "upstat.bpf.c"

#define MAP(name) {#name, &name, sizeof(*name.key), sizeof(*name.value), sizeof(*name.type) / sizeof(int)}

const struct program_map program_maps[] = {
    MAP(totals),        MAP(total_counts), MAP(requests),    MAP(request_counts), MAP(slots),        MAP(overflow),
    MAP(places),        MAP(ports),        MAP(sockets),     MAP(scattered),      MAP(head_buffers), MAP(records),
    MAP(records_epoch), MAP(route_hosts),  MAP(route_paths), MAP(route_keys),
};
const size_t program_map_count = sizeof(program_maps) / sizeof(program_maps[0]);

int program_in_flight(const void* state) {
    const struct socket_state* socket = state;

    return in_flight(socket->stage) && socket->whose != WHOSE_UNDECIDED;
}
