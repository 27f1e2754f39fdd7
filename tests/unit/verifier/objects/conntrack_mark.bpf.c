#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct nf_conn { unsigned long status; __u32 mark; } __attribute__((preserve_access_index));
struct nf_conn___init { struct nf_conn ct; } __attribute__((preserve_access_index));
struct bpf_ct_opts { __s32 netns_id; __s32 error; __u8 l4proto; __u8 dir; __u16 ct_zone_id; __u8 ct_zone_dir; __u8 reserved[3]; };
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *, struct bpf_sock_tuple *, __u32, struct bpf_ct_opts *, __u32) __ksym;
extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *, struct bpf_sock_tuple *, __u32, struct bpf_ct_opts *, __u32) __ksym;
extern struct nf_conn___init *bpf_skb_ct_alloc(struct __sk_buff *, struct bpf_sock_tuple *, __u32, struct bpf_ct_opts *, __u32) __ksym;
extern struct nf_conn *bpf_ct_insert_entry(struct nf_conn___init *) __ksym;
extern void bpf_ct_release(struct nf_conn *) __ksym;
#define P struct bpf_ct_opts o = { .netns_id = -1, .l4proto = 6 }; struct bpf_sock_tuple t = {}
SEC("tc") int mark(struct __sk_buff *skb) { P; struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 12, &o, sizeof(o)); if (ct) { ct->mark = 7; bpf_ct_release(ct); } return 0; }
SEC("xdp") int xmark(struct xdp_md *ctx) { P; struct nf_conn *ct = bpf_xdp_ct_lookup(ctx, &t, 12, &o, sizeof(o)); if (ct) { ct->mark = 7; bpf_ct_release(ct); } return 0; }
SEC("action") int amark(struct __sk_buff *skb) { struct bpf_sock *sk = skb->sk; if (!sk) return 0; void *ts = bpf_skc_to_tcp_sock(sk); if (ts) *(volatile int *)ts = 1; return 0; }
SEC("tc") int wide(struct __sk_buff *skb) { P; struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 12, &o, sizeof(o)); if (ct) { *(volatile __u64 *)&ct->mark = 7; bpf_ct_release(ct); } return 0; }
SEC("tc") int half(struct __sk_buff *skb) { P; struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 12, &o, sizeof(o)); if (ct) { *(volatile __u16 *)&ct->mark = 7; bpf_ct_release(ct); } return 0; }
SEC("tc") int second(struct __sk_buff *skb) { P; struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 12, &o, sizeof(o)); if (ct) { ((volatile __u16 *)&ct->mark)[1] = 7; bpf_ct_release(ct); } return 0; }
SEC("tc") int init(struct __sk_buff *skb) { P; struct nf_conn___init *n = bpf_skb_ct_alloc(skb, &t, 12, &o, sizeof(o)); if (!n) return 0; n->ct.mark = 9; struct nf_conn *ct = bpf_ct_insert_entry(n); if (ct) bpf_ct_release(ct); return 0; }
SEC("tc") int atomic(struct __sk_buff *skb) { P; struct nf_conn *ct = bpf_skb_ct_lookup(skb, &t, 12, &o, sizeof(o)); if (ct) { __sync_fetch_and_add(&ct->mark, 1); bpf_ct_release(ct); } return 0; }
SEC("tc") int tcp(struct __sk_buff *skb) { struct bpf_sock *sk = skb->sk; if (!sk) return 0; void *ts = bpf_skc_to_tcp_sock(sk); if (ts) *(volatile int *)ts = 1; return 0; }
char _license[] SEC("license") = "GPL";
