/* SPDX-License-Identifier: MIT */
/*
 * Half of a stack slot is not read any more, says the liveness of 7.2, which takes bpf_map_peek_elem() for a write; of a
 * Bloom filter it is a read. Whether the bytes were dropped depends on what the slot contains.
 */
#include "bpf_qdisc.h"

LICENSE("GPL");

struct {
	__uint(type, 30); /* BPF_MAP_TYPE_BLOOM_FILTER */
	__uint(max_entries, 100);
	__type(value, u32);
} bloom SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, u32);
	__type(value, u32);
} table SEC(".maps");

static long (*const bpf_map_push_elem)(void *map, const void *value, __u64 flags) = (void *)87;
static long (*const bpf_map_peek_elem)(void *map, void *value) = (void *)89;

struct slot {
	u32 far;  /* from the frame pointer */
	u32 near;
} __aligned(8);

#define ASK(value, other) ({						\
	bpf_ktime_get_ns();						\
	bpf_map_push_elem(&bloom, &(value), 0);				\
	bpf_ktime_get_ns();						\
	bpf_map_peek_elem(&bloom, &(value));				\
	bpf_map_lookup_elem(&table, &(other)) ? 1 : 0; })

SEC("tc") int near_of_numbers(void *ctx)
{
	struct slot s;

	s.far = bpf_get_prandom_u32();
	s.near = bpf_get_prandom_u32();
	return ASK(s.near, s.far);
}

SEC("tc") int far_of_numbers(void *ctx)
{
	struct slot s;

	s.far = bpf_get_prandom_u32();
	s.near = bpf_get_prandom_u32();
	return ASK(s.far, s.near);
}

SEC("tc") int near_of_constants(void *ctx)
{
	struct slot s;

	s.far = 5;
	s.near = 7;
	asm volatile("" : "+m"(s));
	return ASK(s.near, s.far);
}

SEC("tc") int near_of_spill(void *ctx)
{
	struct slot s;

	*(volatile u64 *)&s = bpf_ktime_get_ns();
	return ASK(s.near, s.far);
}

SEC("tc") int far_of_spill(void *ctx)
{
	struct slot s;

	*(volatile u64 *)&s = bpf_ktime_get_ns();
	return ASK(s.far, s.near);
}

SEC("tc") int near_of_zero(void *ctx)
{
	struct slot s;

	*(volatile u64 *)&s = 0;
	return ASK(s.near, s.far);
}

SEC("tc") int far_of_zero(void *ctx)
{
	struct slot s;

	*(volatile u64 *)&s = 0;
	return ASK(s.far, s.near);
}
