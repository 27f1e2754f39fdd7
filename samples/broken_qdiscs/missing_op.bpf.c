// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: all five members have to be there, even if a qdisc has nothing to do in one of them.
 */
// because: `reset` is missing.
#define OWN_RESET
#define OWN_OPS
#include "base.h"

SEC(".struct_ops")
struct Qdisc_ops broken = {
	.enqueue = (void *)enqueue,
	.dequeue = (void *)dequeue,
	.init = (void *)init,
	/* no .reset: <-- the mistake */
	.destroy = (void *)destroy,
	.id = "bpf_broken",
};
