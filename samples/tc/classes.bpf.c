// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * classes: a qdisc with classes, which asks the qdisc's own `tc` filters for the class of a packet.
 *
 * Enqueue runs the filters and passes the packet to the class they name, or to X:3; dequeue serves X:1 before X:2
 * before X:3. The packets are kept by the qdiscs that hang at the classes, whatever they are: change filters and
 * children with `tc` while this runs, the program stays.
 *
 * Teaches: bpf_skb_tc_classify, PASS in both hooks, and counting what children hold.
 */
#include "sch_bpf_rfc6.h"

#define CLASSES 3
#define DEFAULT_CLASS 3
#define TC_H_MAJ_MASK 0xffff0000U

/* Packets passed to each class and not taken back yet. A child may drop one that is counted here: then dequeue asks
 * that class once too often, gets nothing, and is right again the next time. */
__u32 held[CLASSES + 1];
__u64 unclassified;

SEC("sch_bpf/enqueue")
int classes_enqueue(struct sch_bpf_ctx *ctx)
{
	__u32 handle = ctx->classid; /* on entry: the qdisc's own handle */
	__u32 minor = bpf_skb_tc_classify(ctx->skb, ctx->skb->ifindex, handle) & ~TC_H_MAJ_MASK;

	if (minor < 1 || minor > CLASSES) {
		unclassified++;
		minor = DEFAULT_CLASS;
	}
	held[minor]++;
	ctx->classid = handle | minor;
	return SCH_BPF_PASS;
}

SEC("sch_bpf/dequeue")
int classes_dequeue(struct sch_bpf_ctx *ctx)
{
	for (__u32 minor = 1; minor <= CLASSES; minor++) {
		if (!held[minor])
			continue;
		held[minor]--;
		ctx->classid |= minor;
		return SCH_BPF_PASS;
	}
	return SCH_BPF_DROP; /* nothing to send */
}

LICENSE("Dual MIT/GPL");
