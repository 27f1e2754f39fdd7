/* The other one: a variable, a function and a map are in linked1.bpf.c. */
#include "defs.h"
struct __sk_buff { u32 len; };
extern int shared;
extern int help(int);
extern struct { __uint(type, 2); __uint(max_entries, 4); __type(key, int); __type(value, long); } m SEC(".maps");
static int mine = 8;
static const volatile int ro = 6;
static __noinline int st(int x) { return x + mine + ro; }
SEC("tc") int two(struct __sk_buff *skb)
{
	int key = 1;
	long *value;
	shared += 2;
	value = bpf_map_lookup_elem(&m, &key);
	if (value)
		*value += 5;
	return help(3) + st(2) + (value ? *value : 0);
}
char LICENSE[] SEC("license") = "GPL";
