/* SPDX-License-Identifier: MIT */
#include "vm.h"
#include "queue.h"
/* maps of many kinds: queue, stack, bloom, lpm, hash of maps, percpu hash, lru; atomics */
struct lk { u32 bits; u32 ip; };
struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 4); __type(value, u32); } fifo_map SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_STACK); __uint(max_entries, 4); __type(value, u32); } stack_map SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_BLOOM_FILTER); __uint(max_entries, 100); __type(value, u32); __uint(map_extra, 3); } bloom SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 10); __type(key, struct lk); __type(value, u32); __uint(map_flags, BPF_F_NO_PREALLOC); } lpm SEC(".maps");
struct inner { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 4); __type(key, u32); __type(value, u64); } in1 SEC(".maps"), in2 SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 2); __type(key, u32); __array(values, struct inner); } outer SEC(".maps") = { .values = { [0] = &in1, [1] = &in2 } };
u64 hits, xs, flags_word;
ENQ(e) {
	u32 v = skb->len, k = skb->mark & 1, z = skb->priority & 3, got = 0; struct lk lk = { 32, 0x0200090a }; u32 *lv; void *m; u64 *c, old;
	bpf_map_push_elem(&fifo_map, &v, BPF_EXIST);
	bpf_map_push_elem(&stack_map, &v, 0);
	if (!bpf_map_peek_elem(&bloom, &v)) hits++;
	bpf_map_push_elem(&bloom, &v, 0);
	lv = bpf_map_lookup_elem(&lpm, &lk);
	if (!lv) { struct lk add = { 16, 0x090a }; u32 one = 1; bpf_map_update_elem(&lpm, &add, &one, 0); } else __sync_fetch_and_add(lv, 1);
	m = bpf_map_lookup_elem(&outer, &k);
	if (m) { c = bpf_map_lookup_elem(m, &z); if (c) { __sync_fetch_and_add(c, skb->len); xs ^= *c; } }
	old = __sync_fetch_and_or(&flags_word, 1ULL << (skb->len & 63));
	old ^= __sync_val_compare_and_swap(&xs, old, 7);
	__sync_lock_test_and_set(&flags_word, old + 1);
	if (!bpf_map_pop_elem(&stack_map, &got)) hits += got;
	sch->qstats.overlimits = hits + (lv ? *lv : 0) + (u32)flags_word + (u32)xs;
	return q_in(skb, sch, to_free);
}
DEQ(d) { u32 v = 0; if (!bpf_map_pop_elem(&fifo_map, &v)) sch->qstats.requeues = v; return q_out(sch); }
NOINIT(i, 10)
OPS(o, "v_maps", e, d, i, q_reset, q_destroy);
