/* Programs that throw. SPDX-License-Identifier: MIT
 *   clang -O2 -g -target bpf -mcpu=v3 -fdebug-compilation-dir=. -I/usr/include/x86_64-linux-gnu -c throws.bpf.c -o throws.o
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define CATCH(name) __attribute__((btf_decl_tag("exception_callback:" #name)))

extern void bpf_throw(__u64 cookie) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

static void note(__u32 slot, __u64 value)
{
	bpf_map_update_elem(&seen, &slot, &value, 0);
}

static __noinline int deeper(int x)
{
	if (x > 5)
		bpf_throw(x);
	return x + 1;
}

static __noinline int deep(int x)
{
	note(0, x);
	return deeper(x) + deeper(x - 1);
}

SEC("tc") int plain(struct __sk_buff *skb)
{
	return deep(skb->mark) + 100;
}

__noinline int caught(__u64 cookie)
{
	note(1, cookie);
	return cookie * 2;
}

SEC("tc") CATCH(caught) int tagged(struct __sk_buff *skb)
{
	return deep(skb->mark) + 100;
}

static int each(__u32 i, void *ctx)
{
	return 0;
}

SEC("tc") int behind_a_loop(struct __sk_buff *skb)
{
	return deep(skb->mark + bpf_loop(3, each, 0, 0));
}

int target(struct __sk_buff *skb);
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(void *));
} jumps SEC(".maps") = { .values = { [1] = (void *)&target } };

SEC("tc") CATCH(caught) int target(struct __sk_buff *skb)
{
	return deeper(skb->mark);
}

/* What the target throws ends in the target: its result goes to the caller of the function that made the tail call. */
static __noinline int jumping(struct __sk_buff *skb)
{
	int none = -1;

	bpf_tail_call(skb, &jumps, 1);
	asm volatile("" : "+r"(none));
	return none;
}

SEC("tc") int jumps_in(struct __sk_buff *skb)
{
	int got = jumping(skb);

	return got + 1000;
}
char LICENSE[] SEC("license") = "GPL";
