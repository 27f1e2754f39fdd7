/* Ranges: compared before the last change, on another copy, as a signed number, or off by one. */
#include "causes.h"

SEC("tc")
int changed_after_check(struct __sk_buff *skb)
{
	__u32 key = 0, index = skb->mark;
	struct value *found = bpf_map_lookup_elem(&array, &key);

	if (!found || index > 15)
		return TC_ACT_OK;
	index += skb->priority; // cause: changed_after_check
	found->slots[index]++; // fails: changed_after_check
	return TC_ACT_OK;
}

SEC("tc")
int read_twice(struct __sk_buff *skb)
{
	__u32 key = 0;
	volatile struct __sk_buff *again = skb;
	struct value *found = bpf_map_lookup_elem(&array, &key);

	if (!found)
		return TC_ACT_OK;
	if (again->mark < 16) // cause: read_twice
		found->slots[again->mark]++; // fails: read_twice
	return TC_ACT_OK;
}

SEC("tc")
int compared_as_signed(struct __sk_buff *skb)
{
	__u32 key = 0;
	long index = (int)skb->mark;
	struct value *found = bpf_map_lookup_elem(&array, &key);

	if (!found)
		return TC_ACT_OK;
	if (index > 15) // cause: compared_as_signed
		return TC_ACT_OK;
	found->slots[index]++; // fails: compared_as_signed
	return TC_ACT_OK;
}

SEC("tc")
int one_too_many(struct __sk_buff *skb)
{
	__u32 key = 0, index = skb->mark;
	struct value *found = bpf_map_lookup_elem(&array, &key);

	if (!found)
		return TC_ACT_OK;
	if (index > 16) // cause: one_too_many
		return TC_ACT_OK;
	barrier_var(index);
	found->slots[index]++; // fails: one_too_many
	return TC_ACT_OK;
}

SEC("tc")
int size_not_limited(struct __sk_buff *skb)
{
	char buffer[64];
	__u32 size = skb->len; // cause: size_not_limited

	if (bpf_skb_load_bytes(skb, 0, buffer, size)) // fails: size_not_limited
		return TC_ACT_SHOT;
	return buffer[0];
}

SEC("tc")
int limit_too_large(struct __sk_buff *skb)
{
	char buffer[64];
	__u32 size = skb->len;

	if (size < 1 || size > 128) // cause: limit_too_large
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, 0, buffer, size)) // fails: limit_too_large
		return TC_ACT_SHOT;
	return buffer[0];
}

SEC("tc")
int zero_is_possible(struct __sk_buff *skb)
{
	char buffer[64];
	__u32 size = skb->len;

	if (size > 64) // cause: zero_is_possible
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, 0, buffer, size)) // fails: zero_is_possible
		return TC_ACT_SHOT;
	return buffer[0];
}

SEC("tc")
int kept_in_map(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct value *found = bpf_map_lookup_elem(&array, &key);
	volatile __u64 *slot;

	if (!found)
		return TC_ACT_OK;
	slot = &found->packets;
	if (*slot >= 16) // cause: kept_in_map
		return TC_ACT_OK;
	found->slots[*slot] = skb->len; // fails: kept_in_map
	return TC_ACT_OK;
}

SEC("tc")
int stack_index(struct __sk_buff *skb)
{
	__u64 counts[8] = {};
	__u32 index = skb->queue_mapping; // cause: stack_index

	counts[index & 15]++; // fails: stack_index
	barrier_var(index);
	return counts[skb->mark & 7];
}

SEC("tc")
int returns_pointer_part(struct __sk_buff *skb)
{
	__u32 key = 0, index;
	struct value *found = bpf_map_lookup_elem(&array, &key);

	if (!found)
		return TC_ACT_OK;
	index = found->packets; // cause: returns_pointer_part
	index = index * 8 + 16; // cause: returns_pointer_part
	*(__u64 *)((void *)found + index) = 1; // fails: returns_pointer_part
	return TC_ACT_OK;
}
