// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: reset has to empty the qdisc: the kernel sets the length to 0 after it, whatever is left.
 */
// because: packets stay in the list, and leave when the qdisc is used again.
#define OWN_RESET
#include "base.h"

SEC("struct_ops/reset")
void reset(u64 *ctx)
{
	struct Qdisc *sch = (void *)ctx[0];

	sch->q.qlen = 0; /* <-- the mistake */
}
