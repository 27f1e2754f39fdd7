/* SPDX-License-Identifier: MIT */
/* Functions on the nodes of lists get what is no node of an object (since 7.2). */
#include "bpf_qdisc.h"

LICENSE("GPL");

struct item {
	struct bpf_list_node node;
	u64 value;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} numbers SEC(".maps");

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head items __contains(item, node);

extern struct bpf_list_node *bpf_list_del(struct bpf_list_head *head, struct bpf_list_node *node) __weak __ksym;
extern bool bpf_list_is_first(struct bpf_list_head *head, struct bpf_list_node *node) __weak __ksym;
extern bool bpf_list_is_last(struct bpf_list_head *head, struct bpf_list_node *node) __weak __ksym;
extern int bpf_list_add(struct bpf_list_head *head, struct bpf_list_node *node, struct bpf_list_node *prev)
	__weak __ksym;

SEC("struct_ops/remove_number")
struct sk_buff *remove_number(unsigned long long *ctx)
{
	struct bpf_list_node *node;

	bpf_spin_lock(&lock);
	node = bpf_list_front(&items);
	bpf_spin_unlock(&lock);
	if (!node)
		return NULL;
	bpf_spin_lock(&lock);
	bpf_list_del(&items, node);
	bpf_spin_unlock(&lock);
	return NULL;
}

SEC("struct_ops/is_first_qdisc")
struct sk_buff *is_first_qdisc(unsigned long long *ctx)
{
	struct bpf_list_node *node = (void *)ctx[0];

	bpf_spin_lock(&lock);
	if (bpf_list_is_first(&items, node))
		bpf_list_front(&items);
	bpf_spin_unlock(&lock);
	return NULL;
}

SEC("struct_ops/is_last_value")
struct sk_buff *is_last_value(unsigned long long *ctx)
{
	u32 zero = 0;
	struct bpf_list_node *node = bpf_map_lookup_elem(&numbers, &zero);

	if (!node)
		return NULL;
	bpf_spin_lock(&lock);
	if (bpf_list_is_last(&items, node))
		bpf_list_front(&items);
	bpf_spin_unlock(&lock);
	return NULL;
}

SEC("struct_ops/add_after_stack")
struct sk_buff *add_after_stack(unsigned long long *ctx)
{
	struct bpf_list_node node = {};
	struct item *made = bpf_obj_new(struct item);

	if (!made)
		return NULL;
	bpf_spin_lock(&lock);
	bpf_list_add(&items, &made->node, &node);
	bpf_spin_unlock(&lock);
	return NULL;
}

SEC(".struct_ops.link") struct Qdisc_ops first = { .id = "a", .dequeue = (void *)remove_number };
SEC(".struct_ops.link") struct Qdisc_ops second = { .id = "b", .dequeue = (void *)is_first_qdisc };
SEC(".struct_ops.link") struct Qdisc_ops third = { .id = "c", .dequeue = (void *)is_last_value };
SEC(".struct_ops.link") struct Qdisc_ops fourth = { .id = "d", .dequeue = (void *)add_after_stack };
