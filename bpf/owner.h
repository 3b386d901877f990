/* SPDX-License-Identifier: GPL-2.0-only */
/* Whose sockets they are, where several processes share a cgroup. A socket is marked with the process that makes it
 * (owner.bpf.c); one that was there before is marked by the agent. The agent also says which processes count. */
#ifndef UPSTAT_OWNER_H
#define UPSTAT_OWNER_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "layout.h"
#include "places.h"

/* A connection that is accepted has the mark of the socket that listened for it. */
struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
    __type(key, int);
    __type(value, struct upstat_owner);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} owners SEC(".maps");

/* The processes whose sockets count. Only the agent writes here: no neighbour can fill it. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, UPSTAT_MEMBERS);
    __type(key, __u32);
    __type(value, struct upstat_member);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} members SEC(".maps");

/* Another number whenever the members change, and never 0: a socket of nobody's is looked at again then. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u32);
    __uint(pinning, LIBBPF_PIN_BY_NAME);
} members_epoch SEC(".maps");

/* Its process is not known: it is older than the programs. The mark spares its next packets this. */
COLD struct upstat_owner *mark_unknown(struct bpf_sock *sk)
{
    struct upstat_owner *owner = bpf_sk_storage_get(&owners, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

    if (!owner)
        owner = bpf_sk_storage_get(&owners, sk, 0, 0); /* another CPU may have been faster: as good */
    if (!owner)
        count_place(UPSTAT_PLACE_STORAGE_FAILED);
    return owner;
}

/* The process's number is not enough: a later process may have the same. */
COLD void decide_owner(struct upstat_owner *owner, __u32 epoch)
{
    const __u32 tgid = owner->tgid;
    const struct upstat_member *member = bpf_map_lookup_elem(&members, &tgid);

    if (member && (owner->start == member->start || !owner->start))
        owner->member_of = member->zone + 1U;
    else if (!owner->epoch)
        count_place(UPSTAT_PLACE_OTHERS_SOCKET);
    owner->epoch = epoch;
}

/* Whether a socket in a shared cgroup is none of the Traefiks' that are counted as `zone`. Once a Traefik's, always a
 * Traefik's: what becomes of its last requests is counted when the process is gone. */
static __always_inline int is_others(struct bpf_sock *sk, __u32 zone)
{
    const __u32 only = 0;
    struct upstat_owner *owner = bpf_sk_storage_get(&owners, sk, 0, 0);
    const __u32 *epoch = bpf_map_lookup_elem(&members_epoch, &only);

    if (unlikely(!owner))
        owner = mark_unknown(sk);
    if (!owner || !epoch)
        return 1;
    if (!owner->member_of && owner->epoch != *epoch)
        decide_owner(owner, *epoch);
    return owner->member_of != zone + 1;
}

#endif
