/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in front of libbpf's header of this name, so that bpf/ compiles for the host: what the kernel does for the
 * programs, connection.cpp does. */
#ifndef UPSTAT_SHIM_BPF_HELPERS_H
#define UPSTAT_SHIM_BPF_HELPERS_H

#include <linux/bpf.h>

#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value)* name
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif

enum libbpf_pin_type { LIBBPF_PIN_NONE, LIBBPF_PIN_BY_NAME };

void* bpf_map_lookup_elem(void* map, const void* key);
long bpf_map_update_elem(void* map, const void* key, const void* value, __u64 flags);
__u32 bpf_get_smp_processor_id(void);
__u64 bpf_jiffies64(void);
void* bpf_sk_storage_get(void* map, void* sk, void* value, __u64 flags);
long bpf_sk_storage_delete(void* map, void* sk);
struct bpf_tcp_sock* bpf_tcp_sock(struct bpf_sock* sk);
long bpf_skb_load_bytes(const void* skb, __u32 offset, void* to, __u32 size);
void bpf_spin_lock(struct bpf_spin_lock* lock);
void bpf_spin_unlock(struct bpf_spin_lock* lock);
long bpf_sock_ops_cb_flags_set(struct bpf_sock_ops* ops, int flags);

#endif
