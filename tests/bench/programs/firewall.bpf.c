// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* A stateful packet filter, as large as such programs are: VLAN tags, IPv4 and IPv6 with extension headers, TCP options,
 * rules by prefix and by port, tracked connections, address translation, accounts. Its functions are real calls.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define NOINLINE static __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))
#define htons(x) __builtin_bswap16(x)
#define ntohl(x) __builtin_bswap32(x)

struct __sk_buff {
	u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority, ingress_ifindex;
	u32 ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
};

struct ethhdr { u8 to[6], from[6]; u16 proto; } __attribute__((packed));
struct vlanhdr { u16 tci, proto; };
struct iphdr { u8 ihl_version, tos; u16 total, id, frag; u8 ttl, protocol; u16 check; u32 source, destination; };
struct ip6hdr { u32 flow; u16 length; u8 next, hops; u32 source[4], destination[4]; };
struct ip6ext { u8 next, length; u16 rest; u32 more; };
struct tcphdr { u16 source, dest; u32 seq, ack; u8 off, flags; u16 window, check, urgent; };
struct udphdr { u16 source, dest, length, check; };
struct icmphdr { u8 type, code; u16 check, id, seq; };

struct tuple { u32 source[4], destination[4]; u16 sport, dport; u8 protocol, family; u16 zone; };
struct connection { u64 last, packets[2], bytes[2]; u32 to; u16 port; u8 state, flags; u32 mss; };
struct prefix { u32 length; u32 address[4]; };
struct rule { u32 action, mark; u16 low, high; u32 rate; };
struct bucket { u64 tokens, last; };
struct backend { u32 address; u16 port, weight; };
struct totals { u64 packets, bytes, dropped, errors; };

#define MAP(name, kind, k, v, n) struct { int (*type)[kind]; int (*max_entries)[n]; k *key; v *value; } name SEC(".maps")
MAP(connections, 9, struct tuple, struct connection, 65536);
MAP(backends, 1, u32, struct backend, 256);
MAP(buckets, 1, u32, struct bucket, 1024);
MAP(totals, 6, u32, struct totals, 64);
MAP(ports, 2, u32, struct rule, 64);
struct {
	int (*type)[11];
	int (*max_entries)[1024];
	int (*map_flags)[1];
	struct prefix *key;
	struct rule *value;
} prefixes SEC(".maps");

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static long (*const bpf_skb_store_bytes)(void *skb, u32 off, const void *from, u32 len, u64 flags) = (void *)9;
static long (*const bpf_l3_csum_replace)(void *skb, u32 off, u64 from, u64 to, u64 flags) = (void *)10;
static long (*const bpf_l4_csum_replace)(void *skb, u32 off, u64 from, u64 to, u64 flags) = (void *)11;

enum { PASS = 0, DROP = 2 };
enum { NEW, SYN_SEEN, OPEN, CLOSING };

struct parsed { struct tuple flow; u32 l3, l4, payload, mss; u8 flags, fragment, syn, ttl; };

INLINE void account(u32 slot, u32 bytes, int dropped)
{
	struct totals *sum = bpf_map_lookup_elem(&totals, &slot);

	if (sum) {
		sum->packets++;
		sum->bytes += bytes;
		if (dropped)
			sum->dropped++;
	}
}

NOINLINE int options(struct __sk_buff *skb, struct parsed *found, u32 at, u32 length)
{
	u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;

	if (at > 512 || length > 40)
		return -1;
	u32 left = length;
	u8 *here = data + at;
	for (int i = 0; i < 5; i++) {
		if (!left || here + 1 > end)
			break;
		if (*here == 0)
			break;
		if (*here == 1) {
			here++;
			left--;
			continue;
		}
		if (here + 4 > end)
			break;
		u8 size = here[1];
		if (size < 2 || size > left || size > 40)
			return -1;
		if (*here == 2 && size == 4)
			found->mss = here[2] << 8 | here[3];
		here += size;
		left -= size;
	}
	return 0;
}

NOINLINE int ports_of(struct __sk_buff *skb, struct parsed *found, u32 at, u8 protocol)
{
	u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;

	if (at > 256)
		return -1;
	if (protocol == 6) {
		struct tcphdr *tcp = (void *)(data + at);
		if ((u8 *)(tcp + 1) > end)
			return -1;
		u32 size = (tcp->off >> 4) * 4;
		if (size < sizeof(*tcp))
			return -1;
		found->flow.sport = tcp->source;
		found->flow.dport = tcp->dest;
		found->flags = tcp->flags;
		found->syn = (tcp->flags & 0x12) == 2;
		found->payload = at + size;
		if (found->syn && size > sizeof(*tcp))
			return options(skb, found, at + sizeof(*tcp), size - sizeof(*tcp));
		return 0;
	}
	if (protocol == 17) {
		struct udphdr *udp = (void *)(data + at);
		if ((u8 *)(udp + 1) > end)
			return -1;
		found->flow.sport = udp->source;
		found->flow.dport = udp->dest;
		found->payload = at + sizeof(*udp);
		return htons(udp->length) < sizeof(*udp) ? -1 : 0;
	}
	if (protocol == 1 || protocol == 58) {
		struct icmphdr *icmp = (void *)(data + at);
		if ((u8 *)(icmp + 1) > end)
			return -1;
		found->flow.sport = icmp->type;
		found->flow.dport = icmp->type == 8 || icmp->type == 0 ? icmp->id : icmp->code;
		return 0;
	}
	return 0;
}

NOINLINE int ipv4(struct __sk_buff *skb, struct parsed *found, u32 at)
{
	u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;

	if (at > 64)
		return -1;
	struct iphdr *ip = (void *)(data + at);
	if ((u8 *)(ip + 1) > end || ip->ihl_version >> 4 != 4)
		return -1;
	u32 size = (ip->ihl_version & 15) * 4;
	if (size < sizeof(*ip))
		return -1;
	found->l3 = at;
	found->l4 = at + size;
	found->ttl = ip->ttl;
	found->flow.family = 4;
	found->flow.protocol = ip->protocol;
	found->flow.source[3] = ip->source;
	found->flow.destination[3] = ip->destination;
	found->fragment = !!(ip->frag & htons(0x3fff));
	if (ip->frag & htons(0x1fff))
		return 0;
	return ports_of(skb, found, at + size, ip->protocol);
}

NOINLINE int ipv6(struct __sk_buff *skb, struct parsed *found, u32 at)
{
	u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;

	if (at > 64)
		return -1;
	struct ip6hdr *ip = (void *)(data + at);
	if ((u8 *)(ip + 1) > end)
		return -1;
	found->l3 = at;
	found->flow.family = 6;
	found->ttl = ip->hops;
	for (int i = 0; i < 4; i++) {
		found->flow.source[i] = ip->source[i];
		found->flow.destination[i] = ip->destination[i];
	}
	u8 next = ip->next;
	u32 off = at + sizeof(*ip);
	for (int i = 0; i < 6; i++) {
		struct ip6ext *ext = (void *)(data + off);
		if (next != 0 && next != 43 && next != 60 && next != 51 && next != 44)
			break;
		if ((u8 *)(ext + 1) > end || off > 200)
			return -1;
		if (next == 44) {
			found->fragment = 1;
			off += 8;
		} else if (next == 51) {
			off += (ext->length + 2) * 4 & 0x3c;
		} else {
			off += (ext->length + 1) * 8 & 0x38;
		}
		next = ext->next;
	}
	found->l4 = off;
	found->flow.protocol = next;
	return ports_of(skb, found, off, next);
}

NOINLINE int police(u32 slot, u32 rate, u32 bytes)
{
	struct bucket *bucket = bpf_map_lookup_elem(&buckets, &slot);

	if (!bucket || !rate)
		return 0;
	u64 now = bpf_ktime_get_ns(), passed = now - bucket->last;
	u64 tokens = bucket->tokens + passed * rate / 1000000;
	if (tokens > rate)
		tokens = rate;
	bucket->last = now;
	if (tokens < bytes) {
		bucket->tokens = tokens;
		return 1;
	}
	bucket->tokens = tokens - bytes;
	return 0;
}

INLINE struct rule *matching(struct parsed *found)
{
	struct prefix key = { .length = found->flow.family == 4 ? 128 : 64 };
	struct rule *rule;

	for (int i = 0; i < 4; i++)
		key.address[i] = found->flow.source[i];
	rule = bpf_map_lookup_elem(&prefixes, &key);
	if (rule && rule->action)
		return rule;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 8; i++) {
		u32 slot = i;
		rule = bpf_map_lookup_elem(&ports, &slot);
		if (!rule)
			break;
		u16 port = htons(found->flow.dport);
		if (rule->low <= port && port <= rule->high)
			return rule;
	}
	return 0;
}

NOINLINE int track(struct parsed *found, u32 bytes, int back)
{
	struct connection *c = bpf_map_lookup_elem(&connections, &found->flow);

	back &= 1;
	if (!c)
		return -1;
	c->last = bpf_ktime_get_ns();
	c->packets[back]++;
	c->bytes[back] += bytes;
	if (found->flow.protocol == 6) {
		if (found->flags & 4) {
			bpf_map_delete_elem(&connections, &found->flow);
			return CLOSING;
		}
		if (c->state == SYN_SEEN && (found->flags & 0x10))
			c->state = OPEN;
		else if (c->state == OPEN && (found->flags & 1))
			c->state = CLOSING;
		else if (c->state == CLOSING && found->syn)
			c->state = SYN_SEEN;
	} else if (c->state == NEW) {
		c->state = OPEN;
	}
	return c->state;
}

INLINE void reversed(struct tuple *to, const struct tuple *from)
{
	for (int i = 0; i < 4; i++) {
		to->source[i] = from->destination[i];
		to->destination[i] = from->source[i];
	}
	to->sport = from->dport;
	to->dport = from->sport;
	to->protocol = from->protocol;
	to->family = from->family;
	to->zone = from->zone;
}

NOINLINE int translate(struct __sk_buff *skb, struct parsed *found)
{
	u32 best = 0, score = 0, salt = found->flow.source[3] ^ (u32)found->flow.sport << 16;
	struct backend *backend;

#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 16; i++) {
		u32 slot = i;
		backend = bpf_map_lookup_elem(&backends, &slot);
		if (!backend || !backend->weight)
			break;
		u32 mine = (salt * 2654435761u ^ backend->address) * 40503 >> 8;
		mine *= backend->weight;
		if (mine > score) {
			score = mine;
			best = i;
		}
	}
	backend = bpf_map_lookup_elem(&backends, &best);
	if (!backend || found->flow.family != 4 || found->l3 > 64 || found->l4 > 124)
		return 0;
	u32 to = backend->address, from = found->flow.destination[3];
	u32 sum = found->l4 + (found->flow.protocol == 6 ? 16 : 6);
	if (bpf_l4_csum_replace(skb, sum, from, to, 0x10 | 4) < 0)
		return -1;
	if (bpf_l3_csum_replace(skb, found->l3 + 10, from, to, 4) < 0)
		return -1;
	if (bpf_skb_store_bytes(skb, found->l3 + 16, &to, 4, 0) < 0)
		return -1;
	if (backend->port && found->flow.protocol == 6) {
		u16 port = backend->port;
		if (bpf_l4_csum_replace(skb, sum, found->flow.dport, port, 2) < 0)
			return -1;
		if (bpf_skb_store_bytes(skb, found->l4 + 2, &port, 2, 0) < 0)
			return -1;
	}
	return 0;
}

SEC("tc") int firewall(struct __sk_buff *skb)
{
	u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;
	struct parsed found = {};
	struct ethhdr *eth = (void *)data;
	u32 at = sizeof(*eth), bytes = skb->len;
	int status;

	if (data + sizeof(*eth) > end)
		return DROP;
	u16 proto = eth->proto;
	for (int i = 0; i < 2; i++) {
		if (proto != htons(0x8100) && proto != htons(0x88a8))
			break;
		struct vlanhdr *vlan = (void *)(data + at);
		if ((u8 *)(vlan + 1) > end)
			return DROP;
		found.flow.zone = found.flow.zone << 8 | (htons(vlan->tci) & 0xff);
		proto = vlan->proto;
		at += sizeof(*vlan);
	}
	if (proto == htons(0x0800))
		status = ipv4(skb, &found, at);
	else if (proto == htons(0x86dd))
		status = ipv6(skb, &found, at);
	else
		return proto == htons(0x0806) ? PASS : DROP;
	if (status < 0 || found.ttl < 2) {
		account(1, bytes, 1);
		return DROP;
	}
	status = track(&found, bytes, 0);
	if (status < 0) {
		struct parsed back = found;
		reversed(&back.flow, &found.flow);
		status = track(&back, bytes, 1);
	}
	if (status < 0) {
		struct rule *rule = matching(&found);
		struct connection fresh = {};

		if (!rule || rule->action != 1) {
			account(2, bytes, 1);
			return DROP;
		}
		skb->mark = rule->mark;
		if (rule->rate && police(rule->mark & 1023, rule->rate, bytes)) {
			account(3, bytes, 1);
			return DROP;
		}
		fresh.last = bpf_ktime_get_ns();
		fresh.packets[0] = 1;
		fresh.bytes[0] = bytes;
		fresh.mss = found.mss;
		fresh.state = found.syn ? SYN_SEEN : NEW;
		fresh.flags = found.fragment;
		if (bpf_map_update_elem(&connections, &found.flow, &fresh, 1) < 0) {
			account(4, bytes, 1);
			return DROP;
		}
	} else if (status == CLOSING && found.syn) {
		bpf_map_delete_elem(&connections, &found.flow);
	}
	if (!found.fragment && (found.flow.protocol == 6 || found.flow.protocol == 17) && translate(skb, &found) < 0)
		return DROP;
	account(found.flow.family == 4 ? 5 : 6, bytes, 0);
	skb->priority = found.flow.protocol == 6 ? 1 : found.flow.protocol == 17 ? 2 : 3;
	return PASS;
}

char _license[] SEC("license") = "Dual MIT/GPL";
