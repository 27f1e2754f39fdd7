// Kernel functions that a kernel may lack, and the one that only marks what must not happen.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#ifndef bpf_ksym_exists
#define bpf_ksym_exists(sym) (!!(sym))
#endif

extern void vendor_only_call(struct __sk_buff *) __ksym __weak;
extern void __bpf_trap(void) __ksym;
extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;

SEC("tc") int absent_in_dead_branch(struct __sk_buff *skb)
{
	if (bpf_ksym_exists(vendor_only_call)) {
		vendor_only_call(skb);
		return 1;
	}
	return 2;
}

SEC("tc") int absent_but_reached(struct __sk_buff *skb)
{
	if (skb->mark) {
		vendor_only_call(skb);
		return 1;
	}
	return 2;
}

SEC("tc") int present(struct __sk_buff *skb)
{
	if (bpf_ksym_exists(bpf_rcu_read_lock)) {
		bpf_rcu_read_lock();
		bpf_rcu_read_unlock();
		return 1;
	}
	return 2;
}

SEC("tc") int present_left_locked(struct __sk_buff *skb)
{
	if (bpf_ksym_exists(bpf_rcu_read_lock))
		bpf_rcu_read_lock();
	return 2;
}

SEC("tc") int trap_in_dead_branch(struct __sk_buff *skb)
{
	if (bpf_ksym_exists(vendor_only_call))
		__bpf_trap();
	return 2;
}

SEC("tc") int trap_reached(struct __sk_buff *skb)
{
	if (skb->mark)
		__bpf_trap();
	return 2;
}

char _license[] SEC("license") = "GPL";
