/* SPDX-License-Identifier: MIT */
/*
 * The longest of many flows, which is the one to lose a packet when there is no room. Independent of the interface:
 * include it after FLOWS, the map `flows`, and the discipline's flow_length().
 */
#ifndef LONGEST_H
#define LONGEST_H

struct longest {
	__u32 flow;
	__u32 length; /* as flow_length() measures it */
};

static long longest_of_two(__u32 index, struct longest *longest)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &index);
	__u32 length = flow ? flow_length(flow) : 0;

	if (length > longest->length) {
		longest->flow = index;
		longest->length = length;
	}
	return 0;
}

/* The longest flow, the first one of several; its number and length are in *longest. */
static __always_inline struct flow *longest_flow(struct longest *longest)
{
	longest->flow = 0;
	longest->length = 0;
	bpf_loop(FLOWS, longest_of_two, longest, 0);
	return bpf_map_lookup_elem(&flows, &longest->flow);
}

#endif
