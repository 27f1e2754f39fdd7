// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: an index from a packet needs a bound, and the bound has to be the right one: 16 counters end at 15.
 */
// expect: invalid access to map value, value_size=128 off=128 size=8
// expect: max value is outside of the allowed memory range
// because: a priority of 16 passes the check and reads the eight bytes behind the last of the 16 counters.
#include "sch_bpf_rfc6.h"

#define PRIORITIES 16

struct counts {
	__u64 of[PRIORITIES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} counts SEC(".maps");

SEC("sch_bpf/enqueue")
int map_bounds(struct sch_bpf_ctx *ctx)
{
	__u32 zero = 0;
	struct counts *count = bpf_map_lookup_elem(&counts, &zero);
	__u32 priority = ctx->skb->priority;

	if (!count || priority > PRIORITIES) /* should be >= */
		return SCH_BPF_DROP;
	count->of[priority]++; // <-- refused here
	return SCH_BPF_DROP;
}

LICENSE("Dual MIT/GPL");
