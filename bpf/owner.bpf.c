/* SPDX-License-Identifier: GPL-2.0-only */
/* Marks each new socket with the process that makes it: attached to a cgroup that Traefik shares with others. It runs
 * in that process. Every path returns 1: anything else would refuse the socket. */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "owner.h"

char LICENSE[] SEC("license") = "GPL";

/* Of the kernel's own type, which its BTF tells. */
struct task_struct {
    struct task_struct *group_leader;
    __u64 start_boottime; /* ns */
} __attribute__((preserve_access_index));

/* Processes that have made a socket lately, with their starts: the agent has been told of each. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 4096);
    __type(key, __u32);
    __type(value, __u64);
} announced SEC(".maps");

/* Tells the agent of a new process, which may be a Traefik: it decides before the first request is sent. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 4096);
} newcomers SEC(".maps");

/* Where the ring is full it is for the process's next socket, or for the agent's next look at all processes. */
static __always_inline void announce(__u32 tgid, __u64 start)
{
    const __u64 *known = bpf_map_lookup_elem(&announced, &tgid);

    if (known && *known == start)
        return;
    if (!bpf_ringbuf_output(&newcomers, &tgid, sizeof(tgid), 0))
        bpf_map_update_elem(&announced, &tgid, &start, BPF_ANY);
}

static __always_inline int mark(struct bpf_sock *sk, __u64 start)
{
    struct upstat_owner *owner = bpf_sk_storage_get(&owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
    __u32 tgid = bpf_get_current_pid_tgid() >> 32;

    announce(tgid, start);
    if (!owner) {
        count_place(UPSTAT_PLACE_STORAGE_FAILED);
        return 1;
    }
    owner->start = start;
    owner->tgid = tgid;
    return 1;
}

SEC("cgroup/sock_create")
int upstat_owner(struct bpf_sock *sk)
{
    struct task_struct *task = (struct task_struct *)bpf_get_current_task();

    /* In the unit of /proc/PID/stat, of which each architecture has 100 a second. */
    return mark(sk, BPF_CORE_READ(task, group_leader, start_boottime) / UPSTAT_TICK);
}

/* The same where the kernel tells nothing of its types. */
SEC("cgroup/sock_create")
int upstat_owner_plain(struct bpf_sock *sk)
{
    return mark(sk, 0);
}
