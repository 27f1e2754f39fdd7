#include "base.h"
static __u32 on_enq(struct sk_buff *skb, struct Qdisc *sch)
{
	char b[48];
	__u64 args[3] = { skb->len, skb->mark, skb->priority };
	static const char fmt[] = "len=%d mark=%x prio %04u";
	int n = bpf_snprintf(b, sizeof(b), fmt, args, sizeof(args));
	char name[16] = {};

	bpf_probe_read_kernel_str(name, sizeof(name), sch->ops->id);
	bpf_printk("%s qlen %u backlog %d", name, sch->q.qlen, sch->qstats.backlog);
	return n + b[4] + name[0] + bpf_strncmp(name, 8, "bpf_base") + bpf_strncmp(b, 3, "lem");
}
static __u32 on_deq(struct sk_buff *skb, struct Qdisc *sch)
{
	long l = 0;
	char t[8] = "12x";

	t[0] += skb->priority & 7;
	int r = bpf_strtol(t, 8, 10, &l);
	bpf_trace_printk("%d %d %llu\n", 12, r, l, (__u64)skb->len);
	return r + l;
}
