// SPDX-License-Identifier: MIT OR GPL-2.0-only
/*
 * Teaches: a program keeps its state in maps and variables; the memory behind a Qdisc is the kernel's.
 */
// because: `priv_size` is not 0.
#define OWN_OPS

/* All of `Qdisc_ops` that matters here, instead of the part that the header declares. */
#define Qdisc_ops Qdisc_ops_of_programs
#include "base.h"
#undef Qdisc_ops

struct Qdisc_ops {
	char id[16];
	int (*enqueue)(struct sk_buff *skb, struct Qdisc *sch, struct sk_buff **to_free);
	struct sk_buff *(*dequeue)(struct Qdisc *sch);
	int priv_size;
	int (*init)(struct Qdisc *sch, struct nlattr *opt, struct netlink_ext_ack *extack);
	void (*reset)(struct Qdisc *sch);
	void (*destroy)(struct Qdisc *sch);
};

SEC(".struct_ops")
struct Qdisc_ops broken = {
	.enqueue = (void *)enqueue,
	.dequeue = (void *)dequeue,
	.init = (void *)init,
	.reset = (void *)reset,
	.destroy = (void *)destroy,
	.id = "bpf_broken",
	.priv_size = 64, /* <-- the mistake */
};
