// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: a lookup may find nothing, and the verifier wants to see that you thought of it, even where you know
 * better (here the array has an element 0).
 */
// expect: R0 invalid mem access 'map_value_or_null'
// because: bpf_map_lookup_elem() returns NULL when there is no such element, and this path never asked.
#include "sch_bpf_rfc6.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

SEC("sch_bpf/enqueue")
int null_check(__unused struct sch_bpf_ctx *ctx)
{
	__u32 zero = 0;
	__u64 *count = bpf_map_lookup_elem(&packets, &zero);

	*count += 1; // <-- refused here
	return SCH_BPF_DROP;
}

LICENSE("Dual MIT/GPL");
