/* Maps that hold programs and maps from the start: a look-up through one, then a tail call through the other. */
#include "defs.h"

struct __sk_buff {
	u32 len;
};


int last(struct __sk_buff *skb);

struct {
	__uint(type, 3);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(struct __sk_buff *));
} programs SEC(".maps") = { .values = { [1] = (void *)&last } };

struct inner {
	__uint(type, 2);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} numbers SEC(".maps");

struct {
	__uint(type, 12);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, struct inner);
} maps SEC(".maps") = { .values = { [0] = &numbers } };

SEC("tc")
int first(struct __sk_buff *skb)
{
	u32 key = 0;
	void *map = bpf_map_lookup_elem(&maps, &key);

	if (!map || !bpf_map_lookup_elem(map, &key))
		return 1;
	bpf_tail_call(skb, &programs, 1);
	return 2;
}

SEC("tc")
int last(struct __sk_buff *skb)
{
	return 42;
}

char _license[] SEC("license") = "GPL";
