/* SPDX-License-Identifier: MIT */
#include "vm.h"
#include "queue.h"
/* callbacks: nested bpf_loop, for_each in loop, closures with pointers on the stack, snprintf, strtol */
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, u32); __type(value, u64); } tab SEC(".maps");
struct cx { u64 sum; u32 rounds; u32 stop; };
static long add_up(struct bpf_map *m, u32 *k, u64 *v, struct cx *c) { c->sum += *v * *k; return c->sum > 100000; }
static int inner(u32 i, struct cx *c) { c->sum += i; return i >= c->stop; }
static int outerf(u32 i, struct cx *c) { c->rounds++; bpf_loop(4, inner, c, 0); if (c->sum & 1) bpf_for_each_map_elem(&tab, add_up, c, 0);
	return 0;
}
char text[32]; 
ENQ(e) {
	struct cx c = { .stop = skb->priority }; u32 k = skb->mark & 7; u64 v = skb->len, args[2]; long val = 0;
	bpf_map_update_elem(&tab, &k, &v, BPF_ANY);
	bpf_loop(3, outerf, &c, 0);
	args[0] = c.sum; args[1] = c.rounds;
	bpf_snprintf(text, sizeof(text), "%llu/%llu", args, sizeof(args));
	bpf_strtol(text, 8, 10, &val);
	sch->qstats.overlimits = c.sum; sch->qstats.requeues = val + bpf_strncmp(text, 4, "1234");
	return q_in(skb, sch, to_free);
}
DEQ(d) { return q_out(sch); }
NOINIT(i, 10)
OPS(o, "v_loops", e, d, i, q_reset, q_destroy);
