// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: the kernel fills `peek`, by means of dequeue.
 */
// because: programs may not fill `peek`.
#define OWN_OPS

/* All of `Qdisc_ops` that matters here, instead of the part that the header declares. */
#define Qdisc_ops Qdisc_ops_of_programs
#include "base.h"
#undef Qdisc_ops

struct Qdisc_ops {
	char id[16];
	int (*enqueue)(struct sk_buff *skb, struct Qdisc *sch, struct sk_buff **to_free);
	struct sk_buff *(*dequeue)(struct Qdisc *sch);
	struct sk_buff *(*peek)(struct Qdisc *sch);
	int (*init)(struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack);
	void (*reset)(struct Qdisc *sch);
	void (*destroy)(struct Qdisc *sch);
};

SEC("struct_ops/peek")
struct sk_buff *peek(__unused u64 *ctx)
{
	return NULL;
}

SEC(".struct_ops")
struct Qdisc_ops broken = {
	.enqueue = (void *)enqueue,
	.dequeue = (void *)dequeue,
	.init = (void *)init,
	.reset = (void *)reset,
	.destroy = (void *)destroy,
	.id = "bpf_broken",
	.peek = (void *)peek, /* <-- the mistake */
};
