// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: a qdisc needs a name, by which tc finds it.
 */
// because: `id` is empty.
#define OWN_OPS
#include "base.h"

SEC(".struct_ops")
struct Qdisc_ops broken = {
	.enqueue = (void *)enqueue,
	.dequeue = (void *)dequeue,
	.init = (void *)init,
	.reset = (void *)reset,
	.destroy = (void *)destroy,
	/* no .id: <-- the mistake */
};
