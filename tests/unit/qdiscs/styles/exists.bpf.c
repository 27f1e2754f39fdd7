#include "base.h"
struct sk_buff___new { __u32 no_such_field; } __attribute__((preserve_access_index));
struct Qdisc___v2 { struct { __u32 qlen; } q; } __attribute__((preserve_access_index));
enum qdisc_state_t___x { __QDISC_STATE_SCHED___x = 0 };
static __u32 on_enq(struct sk_buff *skb, struct Qdisc *sch)
{
	__u32 v = 0;
	if (bpf_core_field_exists(((struct sk_buff___new *)skb)->no_such_field))
		v = ((struct sk_buff___new *)skb)->no_such_field;
	else
		v = 3;
	v += bpf_core_type_size(struct sk_buff) + bpf_core_field_offset(struct sk_buff, len) + bpf_core_field_size(struct sk_buff, cb);
	v += ((struct Qdisc___v2 *)sch)->q.qlen;
	v += bpf_core_type_exists(struct bpf_refcount) ? 16 : 0;
	v += bpf_core_enum_value(enum tcx_action_base, TCX_DROP);
	return v + BPF_CORE_READ_BITFIELD(skb, pkt_type) + BPF_CORE_READ_BITFIELD(skb, l4_hash);
}
static __u32 on_deq(struct sk_buff *skb, struct Qdisc *sch) { return BPF_CORE_READ(sch, dev_queue, dev, mtu) + BPF_CORE_READ(sch, dev_queue, dev, tx_queue_len); }
