/* SPDX-License-Identifier: Apache-2.0 */
/* Sees that two CPUs are in the programs between these two for one socket at once. Programs of a cgroup run in the
 * order in which they were attached: observe_begin comes before the agent's program, observe_end behind it. */
/* The helpers need the types: */
/* clang-format off */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
/* clang-format on */

/* Both helpers used here are open to every license; the agent's own programs are not read. */
char LICENSE[] SEC("license") = "GPL";

struct {
    __uint(type, BPF_MAP_TYPE_SK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, __u32);
} inside SEC(".maps");

/* A run for one socket is never interrupted by another one on the same CPU: an overlap is one of two CPUs. */
__u64 overlaps;

static __always_inline __u32* count_of(struct __sk_buff* skb) {
    struct bpf_sock* sk = skb->sk;

    sk = sk ? bpf_sk_fullsock(sk) : 0;
    return sk ? bpf_sk_storage_get(&inside, sk, 0, BPF_SK_STORAGE_GET_F_CREATE) : 0;
}

SEC("cgroup_skb/ingress")
int observe_begin(struct __sk_buff* skb) {
    __u32* count = count_of(skb);

    if (count && __sync_fetch_and_add(count, 1) > 0) __sync_fetch_and_add(&overlaps, 1);
    return 1;
}

SEC("cgroup_skb/ingress")
int observe_end(struct __sk_buff* skb) {
    __u32* count = count_of(skb);

    if (count) __sync_fetch_and_add(count, -1);
    return 1;
}
