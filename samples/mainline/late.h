/* SPDX-License-Identifier: MIT OR GPL-2.0-only */
/*
 * A PIFO whose ranks are times by which packets have to leave: one that is still there afterwards is of no use to
 * anybody, and is dropped instead of sent.
 */
#ifndef LATE_H
#define LATE_H

#include "pifo.h"

__u64 late; /* packets dropped because their time had passed */

struct step {
	struct Qdisc *sch;
	u64 now;
};

/* Drop the first packet if it is late. */
static long drop_one_late(__unused u32 index, struct step *step)
{
	struct sk_buff *skb;
	u64 rank;

	if (pifo_first_rank() >= step->now)
		return 1;
	skb = pifo_pop(step->sch, &rank);
	if (!skb)
		return 1;
	late++;
	step->sch->qstats.drops++;
	bpf_kfree_skb(skb);
	return 0;
}

#endif
