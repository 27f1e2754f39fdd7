"""A broken and a mended program for properties of the verifier, as `ebpfvm explain` shows them.

They are written in the assembler's language, because a property is about instructions; the manual's page on mistakes
has the same in C. Maps: 0 is an array of two values of 16 bytes, 1 a hash with keys of 8 and values of 24 bytes, 2 a
program array, and 3 a ring buffer. Tests verify each program.
"""

from __future__ import annotations

from typing import Final

from ebpfvm.lazy_tuples import NamedTuple


class Example(NamedTuple):
    """Two programs of one type: one that violates the property, and the same without the mistake."""

    type: str
    broken: str
    mended: str


_LOOKUP: Final = """\
*(u32 *)(r10 - 4) = 1
r2 = r10
r2 += -4
r1 = map[id:0]
call bpf_map_lookup_elem
"""
_SOCKET: Final = """\
*(u64 *)(r10 - 16) = 0
*(u64 *)(r10 - 8) = 0
r2 = r10
r2 += -16
r3 = 12
r4 = -1
r5 = 0
call bpf_sk_lookup_tcp
"""
_RECORD: Final = """\
r1 = map[id:3]
r2 = 8
r3 = 0
call bpf_ringbuf_reserve
if r0 == 0 goto out
"""
_OUT: Final = "out:\nr0 = 0\nexit"
_END: Final = "r0 = 0\nexit"

EXAMPLES: Final[dict[str, Example]] = {
    "unreachable-insn": Example("sched_cls", "r0 = 0\nexit\nr0 = 1\nexit", "r0 = 0\nexit"),
    "jump-target": Example("sched_cls", "r0 = 0\ngoto +5\nexit", "r0 = 0\ngoto +0\nexit"),
    "missing-exit": Example("sched_cls", "r0 = 0", "r0 = 0\nexit"),
    "infinite-loop": Example("sched_cls", "r0 = 0\nagain:\nif r0 != 8 goto again\nexit",
                             "r0 = 0\nagain:\nr0 += 1\nif r0 != 8 goto again\nexit"),
    "constant-operand": Example("sched_cls", "r0 = 8\nr0 /= 0\nexit", "r0 = 8\nr0 /= 2\nexit"),
    "frame-pointer": Example("sched_cls", "r10 += -8\nr0 = 0\nexit", "r2 = r10\nr2 += -8\nr0 = 0\nexit"),
    "uninit-register": Example("sched_cls", "call bpf_get_prandom_u32\nr0 = r2\nexit",
                               "r6 = r1\ncall bpf_get_prandom_u32\nr0 = *(u32 *)(r6 + 0)\nexit"),
    "pointer-arithmetic": Example("sched_cls", "r1 *= 2\nr0 = 0\nexit", "r2 = 4\nr2 *= 2\nr0 = r2\nexit"),
    "pointer-offset": Example(
        "sched_cls", "r6 = *(u32 *)(r1 + 8)\nr6 <<= 32\n" + _LOOKUP + "if r0 == 0 goto out\nr0 += r6\n" + _OUT,
        "r6 = *(u32 *)(r1 + 8)\nr6 &= 15\n" + _LOOKUP + "if r0 == 0 goto out\nr0 += r6\n" + _OUT),
    "not-a-pointer": Example(
        "sched_cls", "r6 = r1\nr7 = *(u32 *)(r6 + 76)\nr8 = *(u32 *)(r6 + 80)\nr2 = r7\nr2 += 14\n"
        "if r2 > r8 goto out\nr1 = r6\nr2 = 14\ncall bpf_skb_pull_data\nr0 = *(u8 *)(r7 + 0)\n" + _OUT,
        "r6 = r1\nr2 = 14\ncall bpf_skb_pull_data\nr7 = *(u32 *)(r6 + 76)\nr8 = *(u32 *)(r6 + 80)\nr2 = r7\n"
        "r2 += 14\nif r2 > r8 goto out\nr0 = *(u8 *)(r7 + 0)\n" + _OUT),
    "null-dereference": Example("sched_cls", _LOOKUP.replace("= 1", "= 7") + "r0 = *(u64 *)(r0 + 0)\nexit",
                                _LOOKUP.replace("= 1", "= 7") + "if r0 == 0 goto out\nr0 = *(u64 *)(r0 + 0)\n" + _OUT),
    "stack-bounds": Example("sched_cls", "*(u64 *)(r10 - 520) = 0\n" + _END, "*(u64 *)(r10 - 512) = 0\n" + _END),
    "spill-size": Example("sched_cls", "*(u32 *)(r10 - 8) = r1\n" + _END, "*(u64 *)(r10 - 8) = r1\n" + _END),
    "packet-bounds": Example(
        "xdp", "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 14\nif r4 > r3 goto out\n"
        "r0 = *(u8 *)(r2 + 14)\n" + _OUT,
        "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 15\nif r4 > r3 goto out\n"
        "r0 = *(u8 *)(r2 + 14)\n" + _OUT),
    "map-value-bounds": Example(
        "sched_cls", _LOOKUP + "if r0 == 0 goto out\nr0 = *(u64 *)(r0 + 16)\n" + _OUT,
        _LOOKUP + "if r0 == 0 goto out\nr0 = *(u64 *)(r0 + 8)\n" + _OUT),
    "memory-bounds": Example(
        "sched_cls", _RECORD + "*(u64 *)(r0 + 8) = 1\nr1 = r0\nr2 = 0\ncall bpf_ringbuf_submit\n" + _OUT,
        _RECORD + "*(u64 *)(r0 + 0) = 1\nr1 = r0\nr2 = 0\ncall bpf_ringbuf_submit\n" + _OUT),
    "context-access": Example("sched_cls", "*(u32 *)(r1 + 0) = 100\n" + _END, "*(u32 *)(r1 + 8) = 100\n" + _END),
    "modified-pointer": Example("sched_cls", "r1 += 8\ncall bpf_get_cgroup_classid\n" + _END,
                                "call bpf_get_cgroup_classid\n" + _END),
    "packet-write": Example(
        "lwt_in", "r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr4 = r2\nr4 += 1\nif r4 > r3 goto out\n"
        "*(u8 *)(r2 + 0) = 1\n" + _OUT,
        "r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr4 = r2\nr4 += 1\nif r4 > r3 goto out\n"
        "r0 = *(u8 *)(r2 + 0)\n" + _OUT),
    "unknown-helper": Example("sched_cls", "call 9999\nexit", "call bpf_get_prandom_u32\nexit"),
    "helper-not-allowed": Example("socket_filter", "r2 = 60\ncall bpf_skb_pull_data\n" + _END,
                                  "r2 = 0\n*(u64 *)(r10 - 8) = 0\nr3 = r10\nr3 += -8\nr4 = 8\n"
                                  "call bpf_skb_load_bytes\n" + _END),
    "helper-map-type": Example("sched_cls", "r2 = map[id:0]\nr3 = 0\ncall bpf_tail_call\n" + _END,
                               "r2 = map[id:2]\nr3 = 0\ncall bpf_tail_call\n" + _END),
    "argument-type": Example("sched_cls", "r1 = 5\nr2 = 14\ncall bpf_skb_pull_data\n" + _END,
                             "r2 = 14\ncall bpf_skb_pull_data\n" + _END),
    "size-argument": Example(
        "sched_cls", "r6 = *(u32 *)(r1 + 0)\nr2 = 0\nr3 = r10\nr3 += -64\nr4 = r6\nr4 <<= 32\nr4 s>>= 32\n"
        "call bpf_skb_load_bytes\n" + _END,
        "r6 = *(u32 *)(r1 + 0)\nif r6 == 0 goto out\nif r6 > 64 goto out\nr2 = 0\nr3 = r10\nr3 += -64\nr4 = r6\n"
        "call bpf_skb_load_bytes\n" + _OUT),
    "zero-size": Example(
        "sched_cls", "r4 = *(u32 *)(r1 + 0)\nif r4 > 64 goto out\nr2 = 0\nr3 = r10\nr3 += -64\n"
        "call bpf_skb_load_bytes\n" + _OUT,
        "r4 = *(u32 *)(r1 + 0)\nif r4 == 0 goto out\nif r4 > 64 goto out\nr2 = 0\nr3 = r10\nr3 += -64\n"
        "call bpf_skb_load_bytes\n" + _OUT),
    "constant-argument": Example(
        "sched_cls", "r2 = *(u32 *)(r1 + 0)\nr1 = map[id:3]\nr3 = 0\ncall bpf_ringbuf_reserve\n" + _END,
        _RECORD + "r1 = r0\nr2 = 0\ncall bpf_ringbuf_discard\n" + _OUT),
    "legacy-packet-load": Example("sched_cls", "r6 = 0\nr0 = *(u8 *)skb[0]\nexit", "r6 = r1\nr0 = *(u8 *)skb[0]\nexit"),
    "return-range": Example("cgroup_skb", "r0 = 9\nexit", "r0 = 1\nexit"),
    "reference-leak": Example(
        "sched_cls", _SOCKET + "r0 = 0\nexit", _SOCKET + "if r0 == 0 goto out\nr1 = r0\ncall bpf_sk_release\n" + _OUT),
    "release-unowned": Example(
        "sched_cls", "r1 = *(u64 *)(r1 + 168)\nif r1 == 0 goto out\ncall bpf_sk_fullsock\nif r0 == 0 goto out\n"
        "r1 = r0\ncall bpf_sk_release\n" + _OUT,
        _SOCKET + "if r0 == 0 goto out\nr1 = r0\ncall bpf_sk_release\n" + _OUT),
    "stack-depth": Example("sched_cls", "*(u64 *)(r10 - 304) = 0\ncall f\nexit\nf:\n*(u64 *)(r10 - 304) = 0\n" + _END,
                           "*(u64 *)(r10 - 200) = 0\ncall f\nexit\nf:\n*(u64 *)(r10 - 200) = 0\n" + _END),
    "recursion": Example("sched_cls", "call f\nexit\nf:\ncall f\nexit", "call f\nexit\nf:\nr0 = 0\nexit"),
    "atomic-operand": Example("sched_cls", "r2 = 1\nlock *(u32 *)(r1 + 8) += r2\n" + _END,
                              "*(u64 *)(r10 - 8) = 0\nr2 = 1\nlock *(u64 *)(r10 - 8) += r2\n" + _END),
    "alignment": Example("sched_cls", "r0 = *(u32 *)(r10 - 7)\nexit",
                         "*(u64 *)(r10 - 8) = 0\nr0 = *(u32 *)(r10 - 8)\nexit"),
    "read-only-memory": Example(
        "sched_cls", "r1 = map[id:3]\n*(u64 *)(r1 + 0) = 1\n" + _END,
        _LOOKUP + "if r0 == 0 goto out\n*(u64 *)(r0 + 0) = 1\n" + _OUT),
    "call-target": Example("sched_cls", "call pc+9\nexit", "call f\nexit\nf:\nr0 = 0\nexit"),
    "stack-pointer-escape": Example("sched_cls", "call f\nr0 = 0\nexit\nf:\nr0 = r10\nexit",
                                    "call f\nr0 = 0\nexit\nf:\nr0 = 0\nexit"),
    "opaque-pointer": Example("sched_cls", "r2 = *(u32 *)(r1 + 80)\nr0 = *(u8 *)(r2 + 0)\nexit",
                              "r2 = *(u32 *)(r1 + 80)\nr3 = *(u32 *)(r1 + 76)\nr0 = 0\nif r3 > r2 goto +0\nexit"),
}
