"""Context structures byte by byte, as Linux 6.18 and 7.2 said when they were asked about every access.

The record has, for each section name, version, direction and size, one character for each offset from -8 on: "." is
refused, " " was not asked, "w" is written, and a letter names what a read gives.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.loader.object import Program
from ebpfvm.loader.sections import classify
from ebpfvm.verifier import verify

RECORD = json.loads(gzip.decompress((Path(__file__).parents[2] / "data" / "contexts.json.gz").read_bytes()))
LETTERS = {"scalar": "s", "pkt": "p", "pkt_meta": "m", "pkt_end": "e", "sock_common_or_null": "c", "sock_or_null": "n",
           "sock": "k", "flow_keys": "f", "tp_buffer": "t", "btf": "b"}
# A kernel lets tracepoint programs read eight bytes in front of their context: its comparison is unsigned.
BEFORE_THE_CONTEXT = {"tp/a/b"}
NO_OFFSET = "dereference of modified ctx ptr R1 off=8 disallowed"


@pytest.mark.parametrize("version", [(6, 18), (7, 2)], ids=["6.18", "7.2"])
@pytest.mark.parametrize("section", sorted(RECORD["6.18"]))
def test_every_access(section: str, version: tuple[int, int]) -> None:
    found = classify(section)
    kind = linux(version).prog_type(found.type)
    asked = 0
    for how, letters in RECORD[f"{version[0]}.{version[1]}"][section].items():
        size = int(how[1:])
        for off, letter in enumerate(letters, -8):
            if letter == " " or (off < 0 and section in BEFORE_THE_CONTEXT):
                continue
            item = kind.ctx_access(off, size, how[0] == "w", found.attach)
            if kind.ctx_offsets == "any":  # plain memory, where alignment does not matter
                item = kind.fields[0] if 0 <= off <= kind.ctx_size - size else None
            ours = "." if item is None else "w" if how[0] == "w" else LETTERS[item.access]
            assert (off, ours) == (off, letter), how
            asked += 1
    assert asked > 100


def _judge(type: str, text: str, version: tuple[int, int]) -> str | None:
    program = Program(name="prog", insns=assemble(text + "\nr0 = 1\nexit\n"), type=type, license="GPL",
                      sleepable=type == "syscall")
    verdict = verify(program, linux(version))
    return None if verdict.ok else verdict.message.splitlines()[-1]


@pytest.mark.parametrize(("type", "text", "old", "new"), [
    ("syscall", "r1 += 8\nr0 = *(u64 *)(r1 + 8)", NO_OFFSET, None),
    ("syscall", "r2 = *(u64 *)(r1 + 8)\nr2 &= 8\nr1 += r2\nr0 = *(u64 *)(r1 + 8)",
     "variable ctx access var_off=(0x0; 0x8) disallowed", None),
    ("syscall", "r1 += -8\nr0 = *(u64 *)(r1 + 0)", "negative offset ctx ptr R1 off=-8 disallowed",
     "R1 min value is negative, either use unsigned index or do a if (index >=0) check."),
    ("syscall", "r1 += 65528\nr0 = *(u64 *)(r1 + 0)", "dereference of modified ctx ptr R1 off=65528 disallowed",
     "R1 min value is outside of the allowed memory range"),
    ("syscall", "r1 += 8\nr2 = 8\ncall 6",
     "R1 type=ctx expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_", None),
    ("tracepoint", "r1 += 8\nr0 = *(u64 *)(r1 + 8)", NO_OFFSET, None),
    ("raw_tracepoint", "r1 += 8\nr0 = *(u64 *)(r1 + 8)", NO_OFFSET, None),
    ("kprobe", "r1 += 8\nr0 = *(u64 *)(r1 + 8)", NO_OFFSET, None),
    ("kprobe", "r1 += -8\nr0 = *(u64 *)(r1 + 0)", *["negative offset ctx ptr R1 off=-8 disallowed"] * 2),
    ("kprobe", "r1 += 8\nr2 = 8\ncall 6",
     "R1 type=ctx expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_", NO_OFFSET),
    ("perf_event", "r1 += 8\nr0 = *(u64 *)(r1 + 8)", NO_OFFSET, NO_OFFSET),
    ("sched_cls", "r1 += 8\nr0 = *(u64 *)(r1 + 8)", NO_OFFSET, NO_OFFSET),
    ("raw_tracepoint_writable", "r2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r2 + 16)\n*(u64 *)(r2 + 8) = r3", None, None),
    ("raw_tracepoint_writable", "r2 = *(u64 *)(r1 + 0)\nr3 = *(u64 *)(r2 - 8)",
     "R2 invalid tracepoint buffer access: off=-8, size=8",
     "R2 invalid negative tracepoint buffer offset: off=-8, var_off=0"),
])
def test_pointers_into_contexts(type: str, text: str, old: str | None, new: str | None) -> None:
    assert [_judge(type, text, (6, 18)), _judge(type, text, (7, 2))] == [old, new]
