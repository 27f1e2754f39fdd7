/* SPDX-License-Identifier: MIT */
#include "exp.h"
/* dynptrs: headers, options, clones, adjust, mem, ringbuf */
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } rb SEC(".maps");
char scratch[64];
static __always_inline u32 ports(struct bpf_dynptr *d, u32 off)
{
	struct udphdr buf, *u = bpf_dynptr_slice(d, off, &buf, sizeof(buf));
	return u ? bpf_ntohs(u->source) + bpf_ntohs(u->dest) : 0;
}
static u32 on_enqueue(struct sk_buff *skb, struct Qdisc *sch)
{
	struct bpf_dynptr d, c, m, r; struct iphdr ib, *ip; u32 v = 0; u8 b[8] = {};
	if (bpf_dynptr_from_skb((struct __sk_buff *)skb, 0, &d)) return 1;
	ip = bpf_dynptr_slice(&d, 0, &ib, sizeof(ib));
	if (!ip) return 2;
	v = ip->tos + ip->protocol;
	if (ip->protocol == 17) v += ports(&d, (ip->ihl & 15) * 4);
	bpf_dynptr_clone(&d, &c);
	bpf_dynptr_adjust(&c, 28, 36);
	v += bpf_dynptr_size(&c) * 3;
	bpf_dynptr_read(b, 4, &c, 0, 0);
	v += b[0] + b[3];
	if (!bpf_dynptr_from_mem(scratch, sizeof(scratch), 0, &m)) {
		bpf_dynptr_write(&m, 8, b, 8, 0);
		bpf_dynptr_copy(&m, 20, &d, 0, 16);
		bpf_dynptr_memset(&m, 40, 4, 7);
		v += scratch[11] + scratch[29] + scratch[41];
	}
	if (!bpf_ringbuf_reserve_dynptr(&rb, 16, 0, &r)) {
		u32 *x = bpf_dynptr_data(&r, 4, 4);
		if (x) *x = v;
		bpf_dynptr_write(&r, 8, &v, 4, 0);
		bpf_ringbuf_submit_dynptr(&r, 0);
	} else
		bpf_ringbuf_discard_dynptr(&r, 0);
	return v;
}
static u32 on_dequeue(struct sk_buff *skb, struct Qdisc *sch, u32 a)
{
	u32 *e = bpf_ringbuf_reserve(&rb, 8, 0);
	if (e) { e[0] = a; e[1] = skb->len; if (a & 1) bpf_ringbuf_submit(e, 0); else bpf_ringbuf_discard(e, 0); }
	bpf_ringbuf_output(&rb, &a, 4, 0);
	return bpf_ringbuf_query(&rb, 0);
}
#include "plain.h"
