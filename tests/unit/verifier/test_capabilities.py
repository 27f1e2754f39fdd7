"""Helpers that a kernel's base set offers only to the capable, against what Linux 6.18 said of each."""

from __future__ import annotations

import json

import pytest

from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import encode
from ebpfvm.loader.object import Program
from ebpfvm.verifier import verify
from ebpfvm.verifier.machine.env import Caps
from tests.house.tree import ROOT

RECORD: dict[str, list[str]] = json.loads(
    (ROOT / "tests" / "data" / "refused_without_perfmon_6_18.json").read_text(encoding="utf-8"))
KERNEL = linux((6, 18))


def refused(kind: str, caps: Caps) -> list[str]:
    """The helpers that are not offered to a process with these capabilities, of those that programs of a type have."""
    found = []
    for number, helper in KERNEL.helpers.items():
        if KERNEL.helper(number, KERNEL.prog_type(kind)) is not None:
            program = Program.from_bytes(encode(assemble(f"call {number}; r0 = 0; exit")), kind)
            if verify(program, KERNEL, caps=caps).message == (
                    f"program of this type cannot use helper {helper.name}#{number}"):
                found.append(helper.name)
    return found


@pytest.mark.parametrize("kind", RECORD)
def test_without_perfmon(kind: str) -> None:
    assert len(RECORD[kind]) > 20
    assert refused(kind, Caps(perfmon=False)) == RECORD[kind]


@pytest.mark.parametrize("kind", RECORD)
def test_root_may_call_them(kind: str) -> None:
    assert refused(kind, Caps()) == []


def test_without_any_capability_the_base_set_is_short() -> None:
    """What needs CAP_PERFMON needs CAP_BPF first (bpf_base_func_proto)."""
    without = refused("socket_filter", Caps(bpf=False, perfmon=True, net_admin=False))
    assert {"bpf_spin_lock", "bpf_loop", "bpf_trace_printk"} < set(without)
    assert not {"bpf_map_lookup_elem", "bpf_tail_call", "bpf_get_prandom_u32"} & set(without)


@pytest.mark.parametrize("access", ["r0 = *(u64 *)(r1 + 152)", "*(u64 *)(r1 + 152) = r1", "r0 = *(u32 *)(r1 + 76)"])
def test_fields_of_a_packet_that_need_cap_bpf(access: str) -> None:
    """skb->tstamp, and the packet itself (cg_skb_is_valid_access, net/core/filter.c)."""
    text = f"r2 = 0; {access.replace('= r1', '= r2')}; r0 = 1; exit"
    program = Program.from_bytes(encode(assemble(text)), "cgroup_skb")
    assert verify(program, KERNEL).ok
    off, size = (152, 8) if "152" in access else (76, 4)
    refusal = verify(program, KERNEL, caps=Caps(bpf=False, perfmon=False, net_admin=False))
    assert refusal.message == f"invalid bpf_context access off={off} size={size}"
