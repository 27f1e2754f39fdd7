/* Static and global subprograms, callbacks, several programs in a section. */
#include "defs.h"

struct {
	__uint(type, 2);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} m SEC(".maps");

u64 count;

static __noinline int leaf(int x)
{
	count += x;
	return x * 3;
}

static __noinline int branch(int x)
{
	return leaf(x) + leaf(x + 1);
}

__noinline int global_one(int x)
{
	return branch(x) + 1;
}

__hidden __noinline int hidden_one(int x)
{
	return x + count;
}

__noinline int never_called(int x)
{
	return x;
}

static long visit(void *map, void *key, void *value, void *ctx)
{
	leaf(*(int *)ctx);
	return 0;
}

SEC("tc") int first(void *ctx)
{
	int n = 4;

	bpf_for_each_map_elem(&m, visit, &n, 0);
	return global_one(n) + hidden_one(n);
}

SEC("tc") int second(void *ctx)
{
	return leaf(2);
}

SEC("classifier") int third(void *ctx)
{
	return 1;
}

char _license[] SEC("license") = "GPL";
