#include "base.h"
/* one object in a tree and a list at once, found through either */
struct both { struct bpf_rb_node rb; struct bpf_list_node ln; struct bpf_refcount r; __u32 key; };
private(T) struct bpf_spin_lock tl;
private(T) struct bpf_rb_root tr __contains(both, rb);
private(T) struct bpf_list_head th __contains(both, ln);
static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b) { return container_of(a, struct both, rb)->key < container_of(b, struct both, rb)->key; }
static __u32 on_enq(struct sk_buff *skb, struct Qdisc *sch)
{
	struct both *b = obj_new(struct both), *c;
	if (!b)
		return 0;
	b->key = skb->len;
	c = bpf_refcount_acquire(b);
	bpf_spin_lock(&tl);
	bpf_rbtree_add(&tr, &b->rb, less);
	bpf_list_push_back(&th, &c->ln);
	bpf_spin_unlock(&tl);
	return 1;
}
static __u32 on_deq(struct sk_buff *skb, struct Qdisc *sch)
{
	struct bpf_rb_node *n;
	struct bpf_list_node *l;
	__u32 v = 0;
	bpf_spin_lock(&tl);
	if (skb->priority & 1) {
		n = bpf_rbtree_first(&tr);
		if (n)
			n = bpf_rbtree_remove(&tr, n);
		bpf_spin_unlock(&tl);
		if (n) {
			v = container_of(n, struct both, rb)->key;
			bpf_obj_drop(container_of(n, struct both, rb));
		}
		return v;
	}
	l = bpf_list_pop_front(&th);
	if (l) {
		v = container_of(l, struct both, ln)->key * 10;
		n = bpf_rbtree_remove(&tr, &container_of(l, struct both, ln)->rb);
		bpf_spin_unlock(&tl);
		if (n) {
			v++;
			bpf_obj_drop(container_of(n, struct both, rb));
		}
		bpf_obj_drop(container_of(l, struct both, ln));
		return v;
	}
	bpf_spin_unlock(&tl);
	return v;
}
