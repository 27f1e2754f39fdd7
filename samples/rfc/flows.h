/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * Flows that take turns. Each has a queue (fifos.h), and one rbtree map has the turns: its first element is the number of
 * the flow whose turn it is. There are two lists, and all flows in FRESH go before those in OLD.
 *
 * Include it after FLOWS, the number of flows, and the discipline's `struct flow`, which has a member `struct fifo fifo`.
 */
#ifndef FLOWS_H
#define FLOWS_H

#include "fifos.h"

#define MAX_ROUNDS 65536

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FLOWS);
	__type(key, __u32);
	__type(value, struct flow);
} flows SEC(".maps");

enum { FRESH, OLD };

/* A flow's place: its list, and the number of the turn. */
struct turn {
	__be64 list;
	__be64 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_RBTREE);
	__uint(max_entries, FLOWS);
	__type(key, struct turn);
	__type(value, __u32);
} turns SEC(".maps");

__u64 turn_number;

static __always_inline void turn_last(__u32 list, __u32 index)
{
	struct turn turn = { .list = bpf_cpu_to_be64(list), .number = bpf_cpu_to_be64(turn_number++) };

	bpf_map_update_elem(&turns, &turn, &index, BPF_ANY);
}

static __always_inline void turn_over(const struct turn *turn)
{
	bpf_map_delete_elem(&turns, turn);
}

static long copy_turn(__unused void *map, const struct turn *key, __unused __u32 *index, struct turn *first)
{
	*first = *key;
	return 1;
}

/* The number of the flow whose turn it is, and its place in *first; NULL if no flow has one. */
static __always_inline __u32 *turn_first(struct turn *first)
{
	if (bpf_for_each_map_elem(&turns, copy_turn, first, 0) <= 0)
		return NULL;
	return bpf_map_lookup_elem(&turns, first);
}

#endif
