/* One of two objects that bpftool links (linked.o). */
#include "defs.h"
struct __sk_buff { u32 len; };
int shared = 3;
struct { __uint(type, 2); __uint(max_entries, 4); __type(key, int); __type(value, long); } m SEC(".maps");
__noinline int help(int x) { return x * 3 + shared; }
static int mine = 4;
static __noinline int st(int x) { return x + mine; }
SEC("tc") int one(struct __sk_buff *skb)
{
	int key = 1;
	long *value = bpf_map_lookup_elem(&m, &key);
	if (value)
		*value += 2;
	return help(skb->len) + st(skb->len) + (value ? *value : 0);
}
char LICENSE[] SEC("license") = "GPL";
