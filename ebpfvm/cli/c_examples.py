"""Broken and mended programs in C, for properties that the types of a program decide: lists, kptrs, timers, prototypes.

They include samples/include/bpf_qdisc.h, which says how to build them. The tests have them compiled
(tests/unit/cli/c_examples).
"""

from __future__ import annotations

from typing import Final

from ebpfvm.lazy_tuples import NamedTuple


class CExample(NamedTuple):
    """Two programs of one section that differ in the mistake."""

    broken: str
    mended: str


_INCLUDE: Final = '#include "bpf_qdisc.h"\n\n'
_WITH_ITEM: Final = """\

SEC("tc") int prog(void *ctx)
{
	struct item *item = bpf_obj_new(struct item);

	if (!item)
		return 0;
	USE
	return 0;
}

LICENSE("GPL");
"""
_ITEMS: Final = _INCLUDE + """\
struct item {
	u64 key;
	struct bpf_list_node other;
	struct bpf_list_node node;
};

private(A) struct bpf_spin_lock lock;
private(A) struct bpf_list_head items __contains(item, node);
""" + _WITH_ITEM
_PUT: Final = "bpf_spin_lock(&lock);\n\tbpf_list_push_back(&items, &item->node);\n\tbpf_spin_unlock(&lock);"
_KEPT: Final = _INCLUDE + """\
struct item {
	u64 key;
};

private(A) struct item __kptr *kept;
""" + _WITH_ITEM
_EXCHANGE: Final = "struct item *old = bpf_kptr_xchg(&kept, item);\n\n\tif (old)\n\t\tbpf_obj_drop(old);"
_TIMER: Final = _INCLUDE + """\
struct bpf_timer {
	u64 __opaque[2];
} __aligned(8);

struct value {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct value);
} first SEC(".maps"), second SEC(".maps");

static long (*const bpf_timer_init)(struct bpf_timer *timer, void *map, u64 flags) = (void *)169;

SEC("tc") int prog(void *ctx)
{
	u32 key = 0;
	struct value *value = bpf_map_lookup_elem(&first, &key);

	if (value)
		bpf_timer_init(&value->timer, &OWNER, 1);
	return 0;
}

LICENSE("GPL");
"""
_THROWS: Final = _INCLUDE + """\
#define __exception_cb(name) __attribute__((btf_decl_tag("exception_callback:" #name)))

extern void bpf_throw(u64 cookie) __ksym;

int caught(PARAMETERS)
{
	return 0;
}

SEC("tc") __exception_cb(caught) int prog(void *ctx)
{
	if (bpf_get_prandom_u32() & 1)
		bpf_throw(0);
	return 0;
}

LICENSE("GPL");
"""
_GLOBAL: Final = _INCLUDE + """\
struct pair {
	u32 a, b;
};

__noinline int sum(PARAMETER)
{
	struct pair *both = pair;

	return both ? both->a + both->b : 0;
}

SEC("tc") int prog(void *ctx)
{
	struct pair pair = {1, 2};

	return sum(&pair) & 1;
}

LICENSE("GPL");
"""
_HASHED: Final = _INCLUDE + """\
private(A) struct sk_buff __kptr *kept;
u32 hash;

SEC("struct_ops/enqueue") int prog(u64 *ctx)
{
	struct sk_buff *skb = (void *)ctx[0], *seen = SEEN, *old;
	struct bpf_sk_buff_ptr *to_free = (void *)ctx[2];

	if (seen)
		hash = bpf_skb_get_hash(seen);
	old = bpf_kptr_xchg(&kept, skb);
	if (old)
		bpf_qdisc_skb_drop(old, to_free);
	return NET_XMIT_SUCCESS;
}

SEC(".struct_ops.link") struct Qdisc_ops ops = {.enqueue = (void *)prog, .id = "example"};

LICENSE("GPL");
"""


def _pair(text: str, word: str, broken: str, mended: str) -> CExample:
    return CExample(text.replace(word, broken), text.replace(word, mended))


C_EXAMPLES: Final[dict[str, CExample]] = {
    "exception-callback": _pair(_THROWS, "PARAMETERS", "u64 cookie, u64 more", "u64 cookie"),
    "field-of-map": _pair(_TIMER, "OWNER", "second", "first"),
    "global-function-prototype": _pair(_GLOBAL, "PARAMETER", "void *pair", "struct pair *pair"),
    "graph-argument": _pair(_ITEMS, "USE", _PUT.replace("item->node", "item->other"), _PUT),
    "graph-lock": _pair(_ITEMS, "USE", "bpf_list_push_back(&items, &item->node);", _PUT),
    "kptr-access": _pair(_KEPT, "USE", "kept = item;", _EXCHANGE),
    "untrusted-pointer": _pair(_HASHED, "SEEN", "kept", "skb"),
}
