
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
	if (!bpf_skb_load_bytes(skb, 30, words, 4))
		m.src ^= words[2];
	__u32 o1 = m.proto & 31;
	if (o1 && !bpf_skb_load_bytes(skb, 30, buf, o1))
		m.dst += buf[31];
	for (int i2 = 0; i2 < 5; i2++) {
		if (words[i2 & 7] == m.dport)
			break;
		words[i2 & 7] ^= m.sport + i2;
	}
	if (m.dst < 1154) {
		struct walk w3 = { .limit = 79, .m = &m };
		bpf_loop(m.proto & 31, each, &w3, 0);
		m.hash += w3.sum;
	m.len += 32;
	}
	touch(&m, m.hash);
	__u32 h5 = m.sport;
	struct val *v4 = bpf_map_lookup_elem(&hosts, &h5);
	if (!v4) {
		struct val fresh = { .mark = m.src, .flags = 1 };
		bpf_map_update_elem(&hosts, &h5, &fresh, BPF_ANY);
	} else {
		v4->flags |= h5 & 3;
		m.last = v4;
	}
	__u32 h7 = m.hash;
	struct val *v6 = bpf_map_lookup_elem(&hosts, &h7);
	if (!v6) {
		struct val fresh = { .mark = m.sport, .flags = 7 };
		bpf_map_update_elem(&hosts, &h7, &fresh, BPF_ANY);
	} else {
		v6->flags |= h7 & 3;
		m.last = v6;
	}
	m.hash = mix(words, m.proto & 7);
	words[m.hash & 7] = m.dst;
	words[7] = m.dport;
	__u32 a8 = words[m.len & 7];
	if (a8 > 533)
		m.sport += a8;
	void *p9 = (void *)(long)skb->data + 49;
	if (p9 + 8 <= (void *)(long)skb->data_end)
		m.src = *(__u8 *)p9;
	if (judge(m.dport, m.hash) == 2)
		m.verdict = 2;
	return m.verdict ? TC_ACT_SHOT : TC_ACT_OK;
}
char _license[] SEC("license") = "GPL";
