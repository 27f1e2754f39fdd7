/* SPDX-License-Identifier: MIT */
#include "vm.h"
#include "queue.h"
/* tail calls in dequeue and init */
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __type(key, u32); __type(value, u32); } progs SEC(".maps");
ENQ(e) {
	return q_in(skb, sch, to_free); }
DEQ(d) { 
	bpf_tail_call(ctx, &progs, 0);
	return q_out(sch); }
INIT(i) { sch->limit = 4;
	return 0; }
OPS(o, "v_tail", e, d, i, q_reset, q_destroy);
