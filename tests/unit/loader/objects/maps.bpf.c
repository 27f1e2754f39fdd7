/* BTF-defined maps: every field, maps of maps, arrays of programs. */
#include "defs.h"

struct sk_buff {
	u32 len;
};

struct value {
	u64 count;
	struct sk_buff __kptr *skb;
};

struct {
	__uint(type, 1);
	__uint(max_entries, 16);
	__uint(map_flags, 1);
	__uint(pinning, 1);
	__uint(numa_node, 2);
	__type(key, u32);
	__type(value, struct value);
} typed SEC(".maps");

struct {
	__uint(type, 30);
	__uint(max_entries, 3);
	__uint(key_size, 0);
	__uint(value_size, 8);
	__ulong(map_extra, 0x100000005);
} sized SEC(".maps");

struct inner {
	__uint(type, 2);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, 12);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [0] = &first, [2] = &second } };

int two(void *ctx);

struct {
	__uint(type, 3);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int(void *));
} jumps SEC(".maps") = { .values = { [1] = (void *)&two } };

SEC("tc") int one(void *ctx)
{
	u32 key = 0;
	struct value *value = bpf_map_lookup_elem(&typed, &key);

	if (value)
		value->count++;
	bpf_tail_call(ctx, &jumps, 1);
	return bpf_map_lookup_elem(&sized, &key) != 0;
}

SEC("tc") int three(struct sk_buff *skb)
{
	return skb->len; /* without any use, the compiler would only declare the struct in BTF */
}

SEC("tc") int two(void *ctx)
{
	u32 key = 2;
	void *inner = bpf_map_lookup_elem(&outer, &key);

	return inner ? bpf_map_lookup_elem(inner, &key) != 0 : 0;
}

char _license[] SEC("license") = "GPL";
