// One or more programs of the other types: lookups, redirects of messages, encapsulation, netfilter, tracing.
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/in.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
struct { __uint(type, BPF_MAP_TYPE_SOCKMAP); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); } listeners SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_SOCKHASH); __uint(max_entries, 8); __type(key, __u64); __type(value, __u64); } peers SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY); __uint(max_entries, 8); __type(key, __u32); __type(value, __u64); } group SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } ring SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_STACK_TRACE); __uint(max_entries, 64); __uint(key_size, 4); __uint(value_size, 127 * 8); } stacks SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, __u64); } start SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 4); __type(key, __u32); __type(value, __u32); } jumps SEC(".maps");

// sk_lookup
SEC("sk_lookup") int echo_ports(struct bpf_sk_lookup *ctx)
{
	if (ctx->family != 2 || ctx->protocol != IPPROTO_TCP || ctx->local_port < 7 || ctx->local_port > 9)
		return SK_PASS;
	__u32 k = 0;
	struct bpf_sock *sk = bpf_map_lookup_elem(&listeners, &k);
	if (!sk)
		return SK_DROP;
	long err = bpf_sk_assign(ctx, sk, 0);
	bpf_sk_release(sk);
	return err ? SK_DROP : SK_PASS;
}
SEC("sk_lookup") int clears(struct bpf_sk_lookup *ctx) { bpf_sk_assign(ctx, 0, BPF_SK_LOOKUP_F_REPLACE); return SK_PASS; }
SEC("sk_lookup") int has_socket(struct bpf_sk_lookup *ctx) { struct bpf_sock *sk = ctx->sk; if (!sk) return SK_PASS; return sk->state == BPF_TCP_LISTEN && sk->src_port == ctx->local_port; }
SEC("sk_lookup") int remote(struct bpf_sk_lookup *ctx) { return ctx->remote_port == bpf_htons(53) || ctx->remote_ip6[1] == 2 || ctx->ingress_ifindex == 1; }
SEC("sk_lookup") int cookie(struct bpf_sk_lookup *ctx) { return *(volatile __u64 *)ctx == 1; }
SEC("sk_lookup") int lookup_leaks(struct bpf_sk_lookup *ctx) { __u32 k = 0; struct bpf_sock *sk = bpf_map_lookup_elem(&listeners, &k); if (sk) bpf_sk_assign(ctx, sk, 0); return SK_PASS; }
SEC("sk_lookup") int lookup_writes(struct bpf_sk_lookup *ctx) { ctx->local_port = 1; return SK_PASS; }
SEC("sk_lookup") int lookup_two(struct bpf_sk_lookup *ctx) { return 2; }
SEC("sk_lookup") int lookup_no_helper(struct bpf_sk_lookup *ctx) { struct bpf_sock_tuple t = {}; struct bpf_sock *sk = bpf_sk_lookup_tcp((void *)ctx, &t, 12, 0, 0); if (sk) bpf_sk_release(sk); return SK_PASS; }
// sk_msg
SEC("sk_msg") int msg_proxy(struct sk_msg_md *msg)
{
	void *d = msg->data, *e = msg->data_end;
	if (d + 4 > e) { bpf_msg_pull_data(msg, 0, 4, 0); d = msg->data; e = msg->data_end; if (d + 4 > e) return SK_DROP; }
	*(__u8 *)d = 'x';
	__u64 k = msg->remote_port;
	if (msg->size > 100) bpf_msg_apply_bytes(msg, 100);
	if (bpf_msg_push_data(msg, 0, 8, 0)) return SK_DROP;
	return bpf_msg_redirect_hash(msg, &peers, &k, BPF_F_INGRESS);
}
SEC("sk_msg") int msg_moved(struct sk_msg_md *msg) { __u8 *d = msg->data; if ((void *)(d + 4) > msg->data_end) return 0; bpf_msg_pop_data(msg, 0, 1, 0); return d[0] & 1; }
SEC("sk_msg") int msg_sk(struct sk_msg_md *msg) { struct bpf_sock *sk = msg->sk; return sk ? sk->family == 2 : 1; }
SEC("sk_msg") int msg_any(struct sk_msg_md *msg) { return msg->size; }
SEC("sk_msg") int msg_writes(struct sk_msg_md *msg) { msg->size = 1; return 1; }
SEC("sk_msg") int msg_map(struct sk_msg_md *msg) { return bpf_msg_redirect_map(msg, &listeners, 0, 0); }
SEC("sk_msg") int msg_wrong_map(struct sk_msg_md *msg) { return bpf_msg_redirect_map(msg, &peers, 0, 0); }
SEC("sk_msg") int msg_cork(struct sk_msg_md *msg) { bpf_msg_cork_bytes(msg, 512); return SK_PASS; }
// sk_skb
SEC("sk_skb/stream_parser") int parser(struct __sk_buff *skb) { __u32 n; if (bpf_skb_load_bytes(skb, 0, &n, 4)) return 0; n = bpf_ntohl(n); return n > 4096 ? skb->len : n + 4; }
SEC("sk_skb/stream_verdict") int verdict(struct __sk_buff *skb) { __u8 *d = (void *)(long)skb->data; if ((void *)(d + 1) > (void *)(long)skb->data_end) return SK_DROP; d[0] ^= 0x5a; return bpf_sk_redirect_map(skb, &listeners, d[0] & 7, 0); }
SEC("sk_skb/stream_verdict") int verdict_hash(struct __sk_buff *skb) { __u64 k = skb->remote_port; bpf_skb_adjust_room(skb, 4, 0, 0); return bpf_sk_redirect_hash(skb, &peers, &k, 0); }
SEC("sk_skb/stream_verdict") int verdict_mark(struct __sk_buff *skb) { skb->mark = 1; return 1; }
SEC("sk_skb/stream_verdict") int verdict_priority(struct __sk_buff *skb) { skb->priority = 1; skb->tc_index = 2; return 1; }
SEC("sk_skb/stream_verdict") int verdict_local_ip(struct __sk_buff *skb) { return skb->local_ip4 == 1 && skb->family == 2; }
// sk_reuseport
SEC("sk_reuseport") int by_cpu(struct sk_reuseport_md *ctx) { __u32 k = bpf_get_smp_processor_id() & 7; if (bpf_sk_select_reuseport(ctx, &group, &k, 0) == 0) return SK_PASS; return SK_DROP; }
SEC("sk_reuseport") int by_payload(struct sk_reuseport_md *ctx) { __u8 *d = ctx->data; if ((void *)(d + 9) > ctx->data_end) return SK_DROP; __u32 k = d[8] & 7; bpf_sk_select_reuseport(ctx, &group, &k, 0); return SK_PASS; }
SEC("sk_reuseport/migrate") int migrate(struct sk_reuseport_md *ctx) { struct bpf_sock *sk = ctx->migrating_sk; __u32 k = 1; if (sk && sk->state == 10) bpf_sk_select_reuseport(ctx, &group, &k, 0); return ctx->sk->family == 2; }
SEC("sk_reuseport") int reuse_writes(struct sk_reuseport_md *ctx) { __u8 *d = ctx->data; if ((void *)(d + 1) > ctx->data_end) return 0; d[0] = 1; return 1; }
SEC("sk_reuseport") int reuse_hash_half(struct sk_reuseport_md *ctx) { return *(volatile __u16 *)&ctx->hash; }
SEC("sk_reuseport") int reuse_load(struct sk_reuseport_md *ctx) { __u32 v; bpf_skb_load_bytes_relative(ctx, 0, &v, 4, BPF_HDR_START_NET); return v & 1; }
// flow_dissector
SEC("flow_dissector") int dissect(struct __sk_buff *skb)
{
	struct bpf_flow_keys *k = skb->flow_keys;
	void *d = (void *)(long)skb->data, *e = (void *)(long)skb->data_end;
	struct iphdr *ip = d + k->nhoff;
	if (k->nhoff > 128) return BPF_DROP;
	if ((void *)(ip + 1) > e) return BPF_DROP;
	k->addr_proto = ETH_P_IP; k->ipv4_src = ip->saddr; k->ipv4_dst = ip->daddr; k->ip_proto = ip->protocol;
	k->thoff = k->nhoff + sizeof(*ip); k->is_frag = !!(ip->frag_off & bpf_htons(0x3fff));
	return BPF_OK;
}
SEC("flow_dissector") int dissect_loads(struct __sk_buff *skb) { struct bpf_flow_keys *k = skb->flow_keys; struct iphdr ip; if (bpf_skb_load_bytes(skb, k->nhoff, &ip, sizeof(ip))) return BPF_DROP; k->ip_proto = ip.protocol; return BPF_OK; }
SEC("flow_dissector") int dissect_beyond(struct __sk_buff *skb) { struct bpf_flow_keys *k = skb->flow_keys; return ((__u8 *)k)[56]; }
SEC("flow_dissector") int dissect_reads_len(struct __sk_buff *skb) { return skb->len; }
SEC("flow_dissector") int dissect_writes_packet(struct __sk_buff *skb) { __u8 *d = (void *)(long)skb->data; if ((void *)(d + 1) > (void *)(long)skb->data_end) return BPF_DROP; d[0] = 1; return BPF_OK; }
// lwt
struct enc { struct iphdr ip; struct { __be16 flags, proto; } gre; } __attribute__((packed));
SEC("lwt_xmit") int encap(struct __sk_buff *skb)
{
	struct enc h = { .ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = 47 }, .gre.proto = bpf_htons(ETH_P_IP) };
	h.ip.tot_len = bpf_htons(skb->len + sizeof(h));
	if (bpf_lwt_push_encap(skb, BPF_LWT_ENCAP_IP, &h, sizeof(h))) return BPF_DROP;
	return BPF_LWT_REROUTE;
}
SEC("lwt_in") int encap_in(struct __sk_buff *skb) { char h[40] = { 6 }; return bpf_lwt_push_encap(skb, BPF_LWT_ENCAP_SEG6_INLINE, h, sizeof(h)) ? BPF_DROP : BPF_OK; }
SEC("lwt_out") int encap_out(struct __sk_buff *skb) { char h[40] = { 6 }; return bpf_lwt_push_encap(skb, BPF_LWT_ENCAP_IP, h, sizeof(h)); }
SEC("lwt_xmit") int xmit_redirect(struct __sk_buff *skb) { __u8 mac[14] = {}; if (bpf_skb_change_head(skb, 14, 0)) return BPF_DROP; bpf_skb_store_bytes(skb, 0, mac, 14, 0); return bpf_redirect(2, 0); }
SEC("lwt_in") int in_writes_packet(struct __sk_buff *skb) { __u8 *d = (void *)(long)skb->data; if ((void *)(d + 1) > (void *)(long)skb->data_end) return BPF_DROP; d[0] = 1; return BPF_OK; }
SEC("lwt_in") int in_writes_mark(struct __sk_buff *skb) { skb->mark = 1; skb->cb[0] = 2; skb->priority = 3; return BPF_OK; }
SEC("lwt_out") int out_reads_class(struct __sk_buff *skb) { return skb->tc_classid; }
SEC("lwt_seg6local") int seg6(struct __sk_buff *skb) { __u8 v = 1; if (bpf_lwt_seg6_store_bytes(skb, 46, &v, 1)) return BPF_DROP; return bpf_lwt_seg6_adjust_srh(skb, 48, 8) ? BPF_DROP : BPF_OK; }
// netfilter
struct sk_buff; struct nf_hook_state;
struct bpf_nf_ctx___own { const struct nf_hook_state *state; struct sk_buff *skb; };
SEC("netfilter") int nf_accept(struct bpf_nf_ctx___own *ctx) { return ctx->skb ? 1 : 0; }
SEC("netfilter") int nf_two(struct bpf_nf_ctx___own *ctx) { return 2; }
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, __u32 offset, void *buffer, __u32 buffer__szk) __ksym;
SEC("netfilter") int nf_blocks(struct bpf_nf_ctx___own *ctx) { struct bpf_dynptr p; struct iphdr buf, *ip; if (bpf_dynptr_from_skb((void *)ctx->skb, 0, &p)) return 1; ip = bpf_dynptr_slice(&p, 0, &buf, sizeof(buf)); if (!ip) return 1; return ip->protocol != 17; }
// tracing kinds that need no types of the kernel
struct tp_args { __u64 pad; __u32 prev; __u32 next; };
SEC("tracepoint/sched/sched_switch") int tp_switch(struct tp_args *ctx) { __u32 pid = bpf_get_current_pid_tgid() >> 32; __u64 now = bpf_ktime_get_ns(); bpf_map_update_elem(&start, &pid, &now, BPF_ANY); return ctx->prev == 1; }
SEC("tp/net/net_dev_xmit") int tp_emit(void *ctx) { struct ev { __u32 pid; char comm[16]; } *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0); if (!e) return 0; e->pid = bpf_get_current_pid_tgid(); bpf_get_current_comm(e->comm, sizeof(e->comm)); bpf_ringbuf_submit(e, 0); return 0; }
SEC("tp/net/net_dev_xmit") int tp_common(__u64 *ctx) { return ctx[0]; }
SEC("tp/net/net_dev_xmit") int tp_writes(__u64 *ctx) { ctx[1] = 1; return 0; }
SEC("tp/net/net_dev_xmit") int tp_stack(void *ctx) { __u64 ips[8]; long n = bpf_get_stack(ctx, ips, sizeof(ips), 0); int id = bpf_get_stackid(ctx, &stacks, 0); return n > 8 && id >= 0 ? ips[0] & 1 : 0; }
SEC("raw_tp/sys_enter") int raw_enter(struct bpf_raw_tracepoint_args *ctx) { unsigned long nr = ctx->args[1]; __u32 k = nr & 3; __u64 *c = bpf_map_lookup_elem(&counts, &k); if (c) *c += 1; return 0; }
SEC("raw_tp/sys_enter") int raw_reads(struct bpf_raw_tracepoint_args *ctx) { void *regs = (void *)ctx->args[0]; long di = 0; bpf_probe_read_kernel(&di, sizeof(di), regs + 112); return di > 0; }
SEC("raw_tp/sys_enter") int raw_dereferences(struct bpf_raw_tracepoint_args *ctx) { long *regs = (void *)ctx->args[0]; return *regs; }
SEC("perf_event") int sampled(struct bpf_perf_event_data *ctx) { struct bpf_perf_event_value v; if (bpf_perf_prog_read_value(ctx, &v, sizeof(v))) return 0; int id = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK); return ctx->sample_period > 1000 && ctx->regs.rip && ctx->addr && id > 0; }
SEC("perf_event") int sampled_half(struct bpf_perf_event_data *ctx) { return *(volatile __u32 *)&ctx->regs.rip; }
SEC("perf_event") int sampled_branches(struct bpf_perf_event_data *ctx) { struct perf_branch_entry { __u64 a, b, c; } e[4]; return bpf_read_branch_records(ctx, e, sizeof(e), 0); }
SEC("kprobe/tcp_sendmsg") int kprobed(struct pt_regs *ctx) { __u64 sk = ((__u64 *)ctx)[14]; __u16 port = 0; bpf_probe_read_kernel(&port, 2, (void *)sk + 14); char comm[16]; bpf_get_current_comm(comm, sizeof(comm)); return port == 80 && comm[0] == 'c'; }
SEC("kretprobe/tcp_sendmsg") int kretprobed(struct pt_regs *ctx) { __u32 pid = bpf_get_current_pid_tgid(); __u64 *t = bpf_map_lookup_elem(&start, &pid); if (!t) return 0; __u64 d = bpf_ktime_get_ns() - *t; bpf_printk("%d took %llu", pid, d); bpf_map_delete_elem(&start, &pid); return 0; }
SEC("uprobe") int uprobed(struct pt_regs *ctx) { char buf[32]; long n = bpf_probe_read_user_str(buf, sizeof(buf), (void *)((__u64 *)ctx)[14]); return n > 0 && n < 32 ? buf[n - 1] : 0; }
SEC("kprobe/tcp_sendmsg") int kprobe_overrides(struct pt_regs *ctx) { bpf_override_return(ctx, -1); return 0; }
SEC("kprobe/tcp_sendmsg") int kprobe_signal(struct pt_regs *ctx) { return bpf_send_signal(9); }
SEC("kprobe/tcp_sendmsg") int kprobe_misaligned(struct pt_regs *ctx) { return *(volatile __u32 *)((char *)ctx + 2); }
SEC("syscall") int sys_args(__u64 *ctx) { if (ctx[0] > 10) return -22; ctx[1] = ctx[0] * 2; return 0; }
SEC("syscall") int sys_sleeps(__u64 *ctx) { char b[16]; return bpf_copy_from_user(b, sizeof(b), (void *)ctx[0]) ? 0 : b[0]; }
SEC("tc") int tail(struct __sk_buff *skb) { bpf_tail_call(skb, &jumps, skb->mark & 3); return 0; }
char _license[] SEC("license") = "GPL";
