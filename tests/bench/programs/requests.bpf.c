// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* Requests of HTTP and DNS looked into byte by byte: loops over text with states, a scratch buffer in a map, hashes of
 * names, suffixes in a table, a histogram, a ring buffer for what was found.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define NOINLINE static __attribute__((noinline))
#define htons(x) __builtin_bswap16(x)

struct __sk_buff {
	u32 len, before[18];
	u32 data;
	u32 data_end;
};

#define TEXT 256
struct scratch { u8 text[TEXT]; u8 name[64]; u32 hashes[16]; u32 labels, length, method, status; };
struct event { u64 when, hash; u32 source, kind; u8 name[64]; };
struct policy { u32 verdict, hits; u64 last; };

#define MAP(name, kind, k, v, n) struct { int (*type)[kind]; int (*max_entries)[n]; k *key; v *value; } name SEC(".maps")
MAP(scratches, 6, u32, struct scratch, 1);
MAP(policies, 1, u64, struct policy, 4096);
MAP(histogram, 6, u32, u64, 64);
struct { int (*type)[27]; int (*max_entries)[65536]; } events SEC(".maps");

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static long (*const bpf_skb_load_bytes)(const void *skb, u32 off, void *to, u32 len) = (void *)26;
static void *(*const bpf_ringbuf_reserve)(void *map, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static void (*const bpf_ringbuf_discard)(void *data, u64 flags) = (void *)133;
static long (*const bpf_loop)(u32 n, void *callback, void *ctx, u64 flags) = (void *)181;

enum { METHOD, PATH, VERSION, LINE, KEY, VALUE, DONE };
struct search { struct scratch *s; u32 best; u32 at; };

struct reading { struct scratch *s; u32 state, hash, host, filled, length, failed; };

static long http_byte(u32 at, struct reading *r)
{
	if (at >= r->length || !r->s)
		return 1;
	u8 c = r->s->text[at & (TEXT - 1)];
	switch (r->state) {
	case METHOD:
		if (c == ' ')
			r->state = PATH;
		else if (c < 'A' || c > 'Z')
			r->failed = 1;
		r->s->method = r->s->method << 4 ^ c;
		break;
	case PATH:
		if (c == ' ')
			r->state = VERSION;
		else if (c == '\r' || c == '\n')
			r->failed = 2;
		r->hash = r->hash * 33 ^ c;
		break;
	case VERSION:
		if (c == '\n')
			r->state = LINE;
		break;
	case LINE:
		if (c == '\r')
			return 1;
		r->state = KEY;
		r->host = c == 'H' || c == 'h';
		break;
	case KEY:
		if (c == ':')
			r->state = VALUE;
		else if (c == '\n')
			r->failed = 3;
		break;
	case VALUE:
		if (c == '\n') {
			r->state = LINE;
		} else if (r->host && c != ' ') {
			r->s->name[r->filled & 63] = c >= 'A' && c <= 'Z' ? c + 32 : c;
			r->filled++;
		}
		break;
	}
	return !!r->failed;
}

NOINLINE int http(struct scratch *s, u32 length)
{
	struct reading r = { .s = s, .state = METHOD, .hash = 5381, .length = length };

	if (!s)
		return -1;
	bpf_loop(TEXT, http_byte, &r, 0);
	s->length = r.filled;
	return r.failed ? -1 : (int)(r.hash & 0x7fffffff);
}

NOINLINE int dns(struct scratch *s, u32 length)
{
	u32 left = 0, hash = 2166136261u, labels = 0;

	if (!s || length < 17)
		return -1;
	if (s->text[2] & 0x80)
		return -1;
#pragma clang loop unroll(disable)
	for (u32 i = 12; i < 30; i++) {
		u8 c = s->text[i];
		if (i >= length)
			return -1;
		if (!left) {
			if (!c)
				break;
			if (c > 63)
				return -1;
			if (labels < 16)
				s->hashes[labels & 15] = hash;
			labels++;
			left = c;
			continue;
		}
		left--;
		if (c >= 'A' && c <= 'Z')
			c |= 32;
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			s->status |= 1;
		s->name[(i - 12) & 63] = c;
		hash = (hash ^ c) * 16777619;
	}
	s->labels = labels;
	return hash & 0x7fffffff;
}

static long suffix(u32 at, struct search *search)
{
	struct policy *policy;
	u64 key;

	if (!search->s)
		return 1;
	key = search->s->hashes[at & 15];
	policy = bpf_map_lookup_elem(&policies, &key);
	if (!policy)
		return 0;
	policy->hits++;
	policy->last = bpf_ktime_get_ns();
	if (policy->verdict > search->best) {
		search->best = policy->verdict;
		search->at = at;
	}
	return policy->verdict == 3;
}

NOINLINE int report(struct scratch *s, u64 hash, u32 kind)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 0;
	if (!s || !s->length) {
		bpf_ringbuf_discard(event, 0);
		return 0;
	}
	event->when = bpf_ktime_get_ns();
	event->hash = hash;
	event->kind = kind;
	event->source = s->status;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 64; i++)
		event->name[i] = s->name[i];
	bpf_ringbuf_submit(event, 0);
	return 1;
}

NOINLINE int bits(u64 value)
{
	int n = 0;

#pragma clang loop unroll(disable)
	for (int shift = 32; shift; shift >>= 1)
		if (value >> shift) {
			value >>= shift;
			n += shift;
		}
	return n;
}

SEC("tc") int requests(struct __sk_buff *skb)
{
	u8 *data = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;
	u32 zero = 0, off = 14, payload, length, slot;
	struct search search = {};
	struct scratch *s;
	int found, verdict = 0;
	u64 *count, begin = bpf_ktime_get_ns(), key;

	if (data + 34 > end || *(u16 *)(data + 12) != htons(0x0800))
		return 0;
	off += (data[14] & 15) * 4;
	u8 protocol = data[23];
	if (off < 34 || off > 74 || data + off + 20 > end)
		return 0;
	u16 port = htons(*(u16 *)(data + off + 2));
	payload = off + (protocol == 6 ? (data[off + 12] >> 4) * 4 : 8);
	if (payload >= skb->len)
		return 0;
	s = bpf_map_lookup_elem(&scratches, &zero);
	if (!s)
		return 0;
	length = skb->len - payload;
	if (length > TEXT)
		length = TEXT;
	asm volatile("%0 -= 1; %0 &= 0xff; %0 += 1" : "+r"(length));
	if (bpf_skb_load_bytes(skb, payload, s->text, length) < 0)
		return 0;
	s->labels = s->length = s->method = s->status = 0;
	if (protocol == 6 && (port == 80 || port == 8080)) {
		found = http(s, length);
	} else if (protocol == 17 && port == 53) {
		found = dns(s, length);
		search.s = s;
		if (found >= 0)
			bpf_loop(16, suffix, &search, 0);
		verdict = search.best;
	} else {
		return 0;
	}
	if (found < 0)
		return 2;
	key = found;
	struct policy *policy = bpf_map_lookup_elem(&policies, &key);
	if (policy) {
		policy->hits++;
		verdict = policy->verdict;
	} else {
		struct policy fresh = { .hits = 1, .last = begin };
		bpf_map_update_elem(&policies, &key, &fresh, 1);
	}
	slot = bits(bpf_ktime_get_ns() - begin);
	count = bpf_map_lookup_elem(&histogram, &slot);
	if (count)
		*count += 1;
	if (verdict && !report(s, key, verdict))
		return 0;
	return verdict > 2 ? 2 : 0;
}

char _license[] SEC("license") = "Dual MIT/GPL";
