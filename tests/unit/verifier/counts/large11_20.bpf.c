
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
struct key { __u32 a, b; __u16 c, d; __u32 e; };
struct val { __u64 packets, bytes; __u32 flags, mark; __u8 mac[8]; };
struct meta { __u32 src, dst, sport, dport, proto, len, hash, verdict; struct val *last; };
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, struct key); __type(value, struct val); }
  flows SEC(".maps"), policy SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_LRU_HASH); __uint(max_entries, 64); __type(key, __u32);
  __type(value, struct val); } hosts SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 16); __type(key, __u32); __type(value, struct val); }
  stats SEC(".maps"), limits SEC(".maps");
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 4); __type(key, __u32);
  __type(value, struct meta); } scratch SEC(".maps");

static __noinline int account(struct meta *m, struct key *k)
{
	struct val *v = bpf_map_lookup_elem(&flows, k);
	if (!v) {
		struct val fresh = {};
		fresh.packets = 1;
		fresh.bytes = m->len;
		fresh.mark = m->hash;
		return bpf_map_update_elem(&flows, k, &fresh, BPF_ANY);
	}
	v->packets++;
	v->bytes += m->len;
	if (v->flags & 1)
		m->verdict = v->mark;
	m->hash ^= v->mark;
	return v->flags;
}
static __noinline __u32 mix(__u32 *words, __u32 count)
{
	__u32 sum = 17;
	for (__u32 i = 0; i < count && i < 8; i++)
		sum = sum * 31 + words[i & 7];
	return sum;
}
static __noinline void touch(struct meta *m, __u32 which)
{
	__u32 slot = which & 15;
	struct val *v = bpf_map_lookup_elem(&stats, &slot);
	if (v)
		v->packets += m->proto;
	m->sport += slot;
}
__noinline int judge(__u32 a, __u32 b)
{
	struct key k = { .a = a, .b = b };
	struct val *v = bpf_map_lookup_elem(&policy, &k);
	if (!v)
		return a > b ? 1 : 0;
	return v->flags ? v->mark & 7 : 2;
}
__noinline int fill(struct key *k, __u32 x)
{
	if (!k)
		return 0;
	k->a = x;
	k->b = x >> 3;
	k->c = x & 0xff;
	return 1;
}
struct walk { __u32 sum, limit; struct meta *m; };
static long each(__u32 index, void *ctx)
{
	struct walk *w = ctx;
	w->sum += index;
	if (w->sum > w->limit)
		return 1;
	w->m->hash += index;
	return 0;
}

SEC("tc") int prog(struct __sk_buff *skb)
{
	struct meta m = {};
	struct key k = {};
	__u32 words[8] = {};
	__u8 buf[32] = {};
	m.len = skb->len;
	m.proto = skb->protocol;
	m.hash = bpf_get_prandom_u32();
	for (int i1 = 0; i1 < 7; i1++) {
		if (words[i1 & 7] == m.len)
			break;
		words[i1 & 7] ^= m.len + i1;
	}
	touch(&m, m.proto);
	k.a = m.hash; k.b = m.proto; k.c = 23;
	struct val *v2 = bpf_map_lookup_elem(&policy, &k);
	if (v2) {
	v2->packets += m.len;
		m.last = v2;
		m.hash += v2->mark;
		k.a = m.proto; k.b = m.dport; k.c = 57;
		struct val *v3 = bpf_map_lookup_elem(&flows, &k);
		if (v3) {
		v3->packets += m.len;
			m.last = v3;
			m.hash += v3->mark;
		}
		if (m.dst > 3406) {
			void *p4 = (void *)(long)skb->data + 16;
			if (p4 + 8 <= (void *)(long)skb->data_end)
				m.dst = *(__u8 *)p4;
			if (m.len != 1336) {
				if (m.dst < 2622) {
					if (account(&m, &k) < 0)
						m.verdict = 3;
					m.hash = mix(words, m.proto & 7);
				m.proto += 10;
				}
				words[m.dst & 7] = m.proto;
				words[4] = m.src;
				__u32 a5 = words[m.src & 7];
				if (a5 > 576)
					m.len += a5;
			m.src += 51;
			} else {
			m.sport ^= m.dport;
			}
			void *p6 = (void *)(long)skb->data + 15;
			if (p6 + 8 <= (void *)(long)skb->data_end)
				m.src = *(__u32 *)p6;
		m.dst += 26;
		}
	}
	void *p7 = (void *)(long)skb->data + 38;
	if (p7 + 8 <= (void *)(long)skb->data_end)
		m.dport = *(__u32 *)p7;
	for (int i8 = 0; i8 < 7; i8++) {
		if (words[i8 & 7] == m.hash)
			break;
		words[i8 & 7] ^= m.dst + i8;
	}
	if (!bpf_skb_load_bytes(skb, 26, words, 12))
		m.src ^= words[0];
	__u32 o9 = m.sport & 31;
	if (o9 && !bpf_skb_load_bytes(skb, 26, buf, o9))
		m.dst += buf[21];
	void *p10 = (void *)(long)skb->data + 40;
	if (p10 + 8 <= (void *)(long)skb->data_end)
		m.dst = *(__u8 *)p10;
	void *mapi12 = m.src & 2 ? (void *)&stats : (void *)&limits;
	__u32 i12 = m.src & 15;
	struct val *v11 = bpf_map_lookup_elem(mapi12, &i12);
	if (v11)
		v11->bytes += m.dport;
	if (!bpf_skb_load_bytes(skb, 20, words, 6))
		m.src ^= words[3];
	__u32 o13 = m.proto & 31;
	if (o13 && !bpf_skb_load_bytes(skb, 20, buf, o13))
		m.dst += buf[12];
	if (m.last) {
		m.last->bytes += m.len;
		m.hash ^= m.last->mark;
	}
	__u32 zv14 = 1;
	struct meta *v14 = bpf_map_lookup_elem(&scratch, &zv14);
	if (v14)
		v14->dport = m.hash;
	words[m.dport & 7] = m.dport;
	words[3] = m.src;
	__u32 a15 = words[m.sport & 7];
	if (a15 > 885)
		m.len += a15;
	if (m.src < 767) {
		if (m.last) {
			m.last->bytes += m.proto;
			m.hash ^= m.last->mark;
		}
		__u32 zv16 = 0;
		struct meta *v16 = bpf_map_lookup_elem(&scratch, &zv16);
		if (v16)
			v16->src = m.dst;
		k.a = m.src; k.b = m.len; k.c = 78;
		struct val *v17 = bpf_map_lookup_elem(&policy, &k);
		if (v17) {
		v17->packets += m.len;
			m.last = v17;
			m.hash += v17->mark;
			words[m.src & 7] = m.src;
			words[3] = m.proto;
			__u32 a18 = words[m.hash & 7];
			if (a18 > 248)
				m.src += a18;
			if (m.sport != 521) {
				if (account(&m, &k) < 0)
					m.verdict = 3;
				__u32 h20 = m.dst;
				struct val *v19 = bpf_map_lookup_elem(&hosts, &h20);
				if (!v19) {
					struct val fresh = { .mark = m.hash, .flags = 2 };
					bpf_map_update_elem(&hosts, &h20, &fresh, BPF_ANY);
				} else {
					v19->flags |= h20 & 3;
					m.last = v19;
				}
				void *mapi22 = m.len & 8 ? (void *)&stats : (void *)&limits;
				__u32 i22 = m.proto & 15;
				struct val *v21 = bpf_map_lookup_elem(mapi22, &i22);
				if (v21)
					v21->bytes += m.dst;
			m.hash += 24;
			} else {
			m.hash ^= m.proto;
			}
		}
	m.dst += 87;
	}
	__u32 h24 = m.proto;
	struct val *v23 = bpf_map_lookup_elem(&hosts, &h24);
	if (!v23) {
		struct val fresh = { .mark = m.src, .flags = 6 };
		bpf_map_update_elem(&hosts, &h24, &fresh, BPF_ANY);
	} else {
		v23->flags |= h24 & 3;
		m.last = v23;
	}
	void *p25 = (void *)(long)skb->data + 20;
	if (p25 + 8 <= (void *)(long)skb->data_end)
		m.proto = *(__u8 *)p25;
	if (m.last) {
		m.last->bytes += m.dst;
		m.hash ^= m.last->mark;
	}
	__u32 zv26 = 3;
	struct meta *v26 = bpf_map_lookup_elem(&scratch, &zv26);
	if (v26)
		v26->sport = m.dport;
	if (!bpf_skb_load_bytes(skb, 30, words, 12))
		m.src ^= words[1];
	__u32 o27 = m.hash & 31;
	if (o27 && !bpf_skb_load_bytes(skb, 30, buf, o27))
		m.dst += buf[4];
	k.a = m.proto; k.b = m.hash; k.c = 78;
	struct val *v28 = bpf_map_lookup_elem(&policy, &k);
	if (v28) {
	v28->packets += m.len;
		m.last = v28;
		m.hash += v28->mark;
	}
	void *mapi30 = m.hash & 8 ? (void *)&stats : (void *)&limits;
	__u32 i30 = m.src & 15;
	struct val *v29 = bpf_map_lookup_elem(mapi30, &i30);
	if (v29)
		v29->bytes += m.src;
	void *mapi32 = m.dst & 128 ? (void *)&stats : (void *)&limits;
	__u32 i32 = m.src & 15;
	struct val *v31 = bpf_map_lookup_elem(mapi32, &i32);
	if (v31)
		v31->bytes += m.src;
	k.a = m.proto; k.b = m.proto; k.c = 16;
	struct val *v33 = bpf_map_lookup_elem(&policy, &k);
	if (v33) {
	v33->packets += m.len;
		m.last = v33;
		m.hash += v33->mark;
		__u32 h35 = m.sport;
		struct val *v34 = bpf_map_lookup_elem(&hosts, &h35);
		if (!v34) {
			struct val fresh = { .mark = m.hash, .flags = 2 };
			bpf_map_update_elem(&hosts, &h35, &fresh, BPF_ANY);
		} else {
			v34->flags |= h35 & 3;
			m.last = v34;
		}
	}
	return m.verdict ? TC_ACT_SHOT : TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
