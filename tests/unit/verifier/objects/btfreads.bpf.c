// Structs of the kernel read through pointers of all kinds, and program types that are judged or said to be unsupported.
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#define PA __attribute__((preserve_access_index))
struct list_head { struct list_head *next; } PA;
struct in6_addr { __u8 b[16]; };
struct sock_common { __be32 skc_daddr, skc_rcv_saddr; __u16 skc_family; volatile unsigned char skc_state; __u16 skc_num; } PA;
struct socket;
struct sock { struct sock_common __sk_common; int sk_rcvbuf; __u32 sk_priority, sk_mark; struct socket *sk_socket; } PA;
struct inet_sock { struct sock sk; __be32 inet_saddr; __be16 inet_sport; } PA;
struct inet_connection_sock { struct inet_sock icsk_inet; __u8 icsk_ca_state:5; __u8 icsk_retransmits; } PA;
struct tcp_sock { struct inet_connection_sock inet_conn; __u32 snd_cwnd, srtt_us, total_retrans; __u64 bytes_acked; } PA;
struct net_device { int ifindex; unsigned int mtu; char name[16]; } PA;
struct sk_buff { unsigned int len; struct sock *sk; struct net_device *dev; __u32 mark; unsigned char *head, *data; } PA;
struct nf_hook_state { __u8 hook; __u8 pf; struct net_device *in, *out; } PA;
struct bpf_nf_ctx { const struct nf_hook_state *state; struct sk_buff *skb; } PA;
struct task_struct { int pid, tgid; char comm[16]; struct task_struct *real_parent, *group_leader; } PA;
struct bpf_sock_ops_kern { struct sock *sk; } PA;
extern void *bpf_cast_to_kern_ctx(void *) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, __u32); __type(value, __u64); } seen SEC(".maps");
#define T(name) SEC("tc") int name(struct __sk_buff *skb)
#define TS struct bpf_sock *s = skb->sk; if (!s) return 0; struct tcp_sock *t = (void *)bpf_skc_to_tcp_sock(s); if (!t) return 0
T(tcp_window) { TS; return t->snd_cwnd; }
T(tcp_address) { TS; return t->inet_conn.icsk_inet.sk.__sk_common.skc_daddr == 1; }
T(tcp_family) { TS; return t->inet_conn.icsk_inet.sk.__sk_common.skc_family; }
T(tcp_bitfield) { TS; return BPF_CORE_READ_BITFIELD(&t->inet_conn, icsk_ca_state); }
T(tcp_written) { TS; t->snd_cwnd = 1; return 0; }
T(tcp_beyond) { TS; return *((volatile int *)((char *)t + 100000)); }
T(tcp_negative) { TS; return *((volatile int *)((char *)t - 4)); }
T(tcp_variable) { TS; return *((volatile char *)t + (skb->len & 7)); }
T(tcp_as_helper) { TS; struct bpf_tcp_sock *b = bpf_tcp_sock((void *)t); return b ? b->snd_cwnd : 0; }
T(skb_kernel) { struct sk_buff *k = bpf_cast_to_kern_ctx(skb); return k->len; }
T(skb_device) { struct sk_buff *k = bpf_cast_to_kern_ctx(skb); return k->dev->ifindex; }
T(skb_device_name) { struct sk_buff *k = bpf_cast_to_kern_ctx(skb); return k->dev->name[0]; }
T(skb_data) { struct sk_buff *k = bpf_cast_to_kern_ctx(skb); return k->data[0]; }
T(skb_written) { struct sk_buff *k = bpf_cast_to_kern_ctx(skb); k->mark = 1; return 0; }
T(skb_sock) { struct sk_buff *k = bpf_cast_to_kern_ctx(skb); struct sock *sk = k->sk; return sk ? sk->__sk_common.skc_family : 0; }
T(skb_sock_unchecked) { struct sk_buff *k = bpf_cast_to_kern_ctx(skb); return k->sk->__sk_common.skc_family; }
SEC("sockops") int ops_kernel(struct bpf_sock_ops *ctx) { struct bpf_sock_ops_kern *k = bpf_cast_to_kern_ctx(ctx); struct sock *sk = k->sk; return sk ? sk->__sk_common.skc_family == 2 : 1; }
SEC("xdp") int xdp_kernel(struct xdp_md *ctx) { struct { void *data, *end; } *k = bpf_cast_to_kern_ctx(ctx); return k->data != 0; }
SEC("tp/a/b") int task_pid(void *c) { struct task_struct *t = (void *)bpf_get_current_task_btf(); return t->pid; }
SEC("tp/a/b") int task_parent(void *c) { struct task_struct *t = (void *)bpf_get_current_task_btf(); return t->real_parent->pid; }
SEC("tp/a/b") int task_parent_locked(void *c) { struct task_struct *t = (void *)bpf_get_current_task_btf(); bpf_rcu_read_lock(); int p = t->real_parent->tgid; bpf_rcu_read_unlock(); return p; }
SEC("tp/a/b") int task_comm(void *c) { struct task_struct *t = (void *)bpf_get_current_task_btf(); return t->comm[3]; }
SEC("tp/a/b") int task_number(void *c) { struct task_struct *t = (void *)bpf_get_current_task(); return t->pid; }
SEC("tp/a/b") int task_core(void *c) { struct task_struct *t = (void *)bpf_get_current_task(); return BPF_CORE_READ(t, real_parent, tgid); }
SEC("kprobe/tcp_connect") int k_connect(struct pt_regs *ctx) { struct sock *sk = (void *)((__u64 *)ctx)[14]; __u16 f = BPF_CORE_READ(sk, __sk_common.skc_family); __u32 d = BPF_CORE_READ(sk, __sk_common.skc_daddr); __u64 one = 1, *v = bpf_map_lookup_elem(&seen, &d); if (v) __sync_fetch_and_add(v, 1); else bpf_map_update_elem(&seen, &d, &one, BPF_ANY); return f == 2; }
SEC("netfilter") int nf_hook(struct bpf_nf_ctx *ctx) { return ctx->state->hook == 3 ? 0 : 1; }
SEC("netfilter") int nf_out(struct bpf_nf_ctx *ctx) { const struct nf_hook_state *s = ctx->state; struct net_device *d = s->out; return d && d->ifindex == 1 ? 0 : 1; }
SEC("netfilter") int nf_len(struct bpf_nf_ctx *ctx) { return ctx->skb->len > 1500 ? 0 : 1; }
SEC("netfilter") int nf_mark(struct bpf_nf_ctx *ctx) { ctx->skb->mark = 1; return 1; }
char _license[] SEC("license") = "GPL";
