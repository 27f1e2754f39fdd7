"""C programs of the size that network policy engines have, written by a random source: what the counts of processed
instructions are compared on.

Each has several maps, static and global functions, structs on the stack that are passed by pointer, arrays on the stack
with an index that is not known, bounded loops, callbacks with a context on the stack, and maps chosen at run time.
`source(seed, steps)` writes one; `compiled` has clang make objects of them.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from random import Random

CLANG = next((name for name in ("clang-19", "clang") if shutil.which(name)), "")
HEADER = """
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
"""
FUNCTIONS = """
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
"""


class _Writer:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.lines: list[str] = []
        self.depth = 1
        self.number = 0

    def put(self, text: str) -> None:
        self.lines += ["\t" * self.depth + line for line in text.strip().split("\n")]

    def name(self, stem: str) -> str:
        self.number += 1
        return f"{stem}{self.number}"

    def field(self) -> str:
        return self.random.choice(("m.src", "m.dst", "m.sport", "m.dport", "m.proto", "m.hash", "m.len"))

    def step(self) -> None:
        makers = (self.parse, self.lookup, self.choose, self.array, self.loop, self.call, self.branch, self.global_call,
                  self.callback, self.store, self.host, self.table)
        self.random.choices(makers, (3, 5, 3, 3, 2, 4, 4, 2, 1, 3, 3, 2))[0]()

    def block(self, count: int) -> None:
        self.depth += 1
        for _ in range(count):
            self.step()
        self.depth -= 1

    def parse(self) -> None:
        off, size = self.random.randrange(14, 60), self.random.choice(("__u8", "__u16", "__u32"))
        at = self.name("p")
        self.put(f"void *{at} = (void *)(long)skb->data + {off};\n"
                 f"if ({at} + 8 <= (void *)(long)skb->data_end)\n\t{self.field()} = *({size} *){at};")

    def lookup(self) -> None:
        v, which = self.name("v"), self.random.choice(("flows", "policy"))
        self.put(f"k.a = {self.field()}; k.b = {self.field()}; k.c = {self.random.randrange(100)};\n"
                 f"struct val *{v} = bpf_map_lookup_elem(&{which}, &k);\nif ({v}) {{")
        self.put(f"\t{v}->packets += m.len;\n\tm.last = {v};\n\tm.hash += {v}->mark;")
        if self.random.random() < 0.4 and self.depth < 4:
            self.block(self.random.randrange(1, 3))
        self.put("}")

    def choose(self) -> None:
        v, i = self.name("v"), self.name("i")
        bit = 1 << self.random.randrange(8)
        self.put(f"void *map{i} = {self.field()} & {bit} ? (void *)&stats : (void *)&limits;\n"
                 f"__u32 {i} = {self.field()} & 15;\nstruct val *{v} = bpf_map_lookup_elem(map{i}, &{i});\n"
                 f"if ({v})\n\t{v}->bytes += {self.field()};")

    def array(self) -> None:
        a = self.name("a")
        self.put(f"words[{self.field()} & 7] = {self.field()};\nwords[{self.random.randrange(8)}] = {self.field()};\n"
                 f"__u32 {a} = words[{self.field()} & 7];\nif ({a} > {self.random.randrange(1000)})\n"
                 f"\t{self.field()} += {a};")

    def loop(self) -> None:
        i = self.name("i")
        self.put(f"for (int {i} = 0; {i} < {self.random.randrange(3, 9)}; {i}++) {{\n"
                 f"\tif (words[{i} & 7] == {self.field()})\n\t\tbreak;\n\twords[{i} & 7] ^= {self.field()} + {i};\n}}")

    def call(self) -> None:
        self.put(self.random.choice((
            "if (account(&m, &k) < 0)\n\tm.verdict = 3;", "m.hash = mix(words, m.proto & 7);",
            f"touch(&m, {self.field()});")))

    def branch(self) -> None:
        self.put(f"if ({self.field()} {self.random.choice(('>', '<', '==', '!='))} {self.random.randrange(4000)}) {{")
        if self.depth < 5:
            self.block(self.random.randrange(1, 4))
        self.put(f"\t{self.field()} += {self.random.randrange(100)};")
        if self.random.random() < 0.5:
            self.put("} else {")
            self.put(f"\t{self.field()} ^= {self.field()};")
        self.put("}")

    def global_call(self) -> None:
        self.put(self.random.choice((
            f"if (judge({self.field()}, {self.field()}) == 2)\n\tm.verdict = 2;",
            f"if (fill(&k, {self.field()}))\n\tm.dport ^= k.b;")))

    def callback(self) -> None:
        w = self.name("w")
        self.put(f"struct walk {w} = {{ .limit = {self.random.randrange(100)}, .m = &m }};\n"
                 f"bpf_loop(m.proto & 31, each, &{w}, 0);\nm.hash += {w}.sum;")

    def store(self) -> None:
        o = self.name("o")
        off, size = self.random.choice((16, 20, 26, 30)), self.random.choice((4, 6, 12, 16))
        self.put(f"if (!bpf_skb_load_bytes(skb, {off}, words, {size}))\n\tm.src ^= words[{self.random.randrange(4)}];\n"
                 f"__u32 {o} = {self.field()} & 31;\nif ({o} && !bpf_skb_load_bytes(skb, {off}, buf, {o}))\n"
                 f"\tm.dst += buf[{self.random.randrange(32)}];")

    def host(self) -> None:
        v, h = self.name("v"), self.name("h")
        self.put(f"__u32 {h} = {self.field()};\nstruct val *{v} = bpf_map_lookup_elem(&hosts, &{h});\nif (!{v}) {{\n"
                 f"\tstruct val fresh = {{ .mark = {self.field()}, .flags = {self.random.randrange(8)} }};\n"
                 f"\tbpf_map_update_elem(&hosts, &{h}, &fresh, BPF_ANY);\n}} else {{\n\t{v}->flags |= {h} & 3;\n"
                 f"\tm.last = {v};\n}}")

    def table(self) -> None:
        v = self.name("v")
        self.put(f"if (m.last) {{\n\tm.last->bytes += {self.field()};\n\tm.hash ^= m.last->mark;\n}}\n"
                 f"__u32 z{v} = {self.random.randrange(4)};\nstruct meta *{v} = bpf_map_lookup_elem(&scratch, &z{v});\n"
                 f"if ({v})\n\t{v}->{self.field()[2:]} = {self.field()};")


def source(seed: int, steps: int) -> str:
    """A tc program of about that many steps."""
    writer = _Writer(Random(seed))
    for _ in range(steps):
        writer.step()
    body = "\n".join(writer.lines)
    return (f"{HEADER}{FUNCTIONS}\nSEC(\"tc\") int prog(struct __sk_buff *skb)\n{{\n\tstruct meta m = {{}};\n"
            "\tstruct key k = {};\n\t__u32 words[8] = {};\n\t__u8 buf[32] = {};\n\tm.len = skb->len;\n"
            f"\tm.proto = skb->protocol;\n\tm.hash = bpf_get_prandom_u32();\n{body}\n"
            "\treturn m.verdict ? TC_ACT_SHOT : TC_ACT_OK;\n}\nchar _license[] SEC(\"license\") = \"GPL\";\n")


def compiled(seed: int, steps: int, folder: Path, cpu: str = "v3") -> Path:
    """The object of a program.

    Raises:
        subprocess.CalledProcessError: clang refuses it; its message is printed.
    """
    path = folder / f"large{seed}_{steps}.bpf.c"
    path.write_text(source(seed, steps))
    out = path.with_suffix(".o")
    subprocess.run([CLANG, "-target", "bpf", f"-mcpu={cpu}", "-O2", "-g", "-I/usr/include/x86_64-linux-gnu", "-c",
                    str(path), "-o", str(out)], check=True)
    return out
