// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: the compiler writes down only types that the code uses; `__contains` names one, and does not count.
 */
// because: nothing uses `struct packet` itself any more, so the kernel finds no such list, and then no lock either.
#define OWN_ENQUEUE
#include "base.h"

SEC("struct_ops/enqueue")
int enqueue(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0];
	struct Qdisc *sch = (void *)ctx[1];
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];

	return drop(sch, skb, to_free); /* <-- the mistake */
}
