#include "base.h"
/* kptrs of own types in a map, read under RCU; percpu objects; refcounts */
struct own { __u32 a; __u64 b; };
struct myrc { struct bpf_refcount r; __u32 c; };
struct hold { struct own __kptr *o; struct myrc __kptr *r; };
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 2); __type(key, __u32); __type(value, struct hold); } m SEC(".maps");
static __u32 on_enq(struct sk_buff *skb, struct Qdisc *sch)
{
	__u32 k = skb->mark & 1, v = 0;
	struct hold *h = bpf_map_lookup_elem(&m, &k);
	struct own *o;
	struct myrc *r, *r2;

	if (!h)
		return 0;
	o = obj_new(struct own);
	if (!o)
		return 0;
	o->a = skb->len;
	o->b = skb->priority;
	o = bpf_kptr_xchg(&h->o, o);
	if (o) {
		v = o->a + o->b;
		bpf_obj_drop(o);
	}
	r = obj_new(struct myrc);
	if (!r)
		return v;
	r->c = v;
	r2 = bpf_refcount_acquire(r);
	r2->c++;
	v += r->c;
	bpf_obj_drop(r);
	r = bpf_kptr_xchg(&h->r, r2);
	if (r)
		bpf_obj_drop(r);
	return v;
}
static __u32 on_deq(struct sk_buff *skb, struct Qdisc *sch)
{
	__u32 k = skb->mark & 1, v = 0;
	struct hold *h = bpf_map_lookup_elem(&m, &k);
	struct own *o;
	struct myrc *r;

	if (!h)
		return 0;
	bpf_rcu_read_lock();
	o = h->o;
	if (o)
		v = o->a * 2;
	r = h->r;
	if (r) {
		r = bpf_refcount_acquire(r);
		if (r) {
			v += r->c++;
			bpf_obj_drop(r);
		}
	}
	bpf_rcu_read_unlock();
	return v;
}
