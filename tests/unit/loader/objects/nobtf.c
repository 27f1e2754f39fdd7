/* Subprograms and data, built without -g: no BTF at all. */
#include "defs.h"

static volatile u32 count = 3;

static __noinline int leaf(int x)
{
	return count * x;
}

__noinline int global_one(int x)
{
	return leaf(x) + 1;
}

SEC("xdp") int first(void *ctx)
{
	return global_one(leaf(2));
}

char _license[] SEC("license") = "GPL";
