"""The cause of a refusal, on another line than the one where the walk stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpfvm.dialects import linux
from ebpfvm.dialects.rfc6 import rfc6
from ebpfvm.isa.asm import assemble
from ebpfvm.loader import load
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.verifier import verify

BROKEN = Path(__file__).parents[3] / "samples" / "broken"
LOOKUP = """
    *(u64 *)(r10 - 16) = 0
    *(u64 *)(r10 - 8) = 0
    r6 = r1
    r2 = r10
    r2 += -16
    r3 = 12
    r4 = -1
    r5 = 0
    call 84
"""


def explained(text: str, type: str = "sched_cls") -> str:
    verdict = verify(Program(name="prog", insns=assemble(text), type=type, license="GPL"), linux())
    assert not verdict.ok
    return verdict.explanation


def of_sample(name: str) -> str:
    (program,) = load(BROKEN / f"{name}.o").programs.values()
    return verify(program, rfc6()).explanation


@pytest.mark.parametrize("copies", ["", "r8 = r7\nr7 = r8", "*(u64 *)(r10 - 8) = r7\nr7 = 0\nr7 = *(u64 *)(r10 - 8)"])
def test_a_packet_pointer_names_the_call_that_moved_the_packet(copies: str) -> None:
    said = explained(f"""
        r6 = r1
        r7 = *(u32 *)(r6 + 76)
        {copies}
        r2 = 60
        r1 = r6
        call 39
        r0 = *(u8 *)(r7 + 0)
        exit""")
    at = 4 + (len(copies.splitlines()))
    assert f"instruction {at}: bpf_skb_pull_data() may move the packet, which invalidated the pointer" in said
    assert "instruction 1: the pointer is a pointer into the packet from here" in said


def test_a_number_without_limits_is_to_be_compared_and_not_to_be_made_unsigned() -> None:
    said = explained("""
        r2 = *(u32 *)(r1 + 8)
        r2 <<= 40
        r3 = r10
        r3 += r2
        r0 = 0
        exit""")
    assert "Compare the number with the size of what it indexes, as an unsigned number" in said


def test_an_addition_after_the_comparison_is_named() -> None:
    said = explained("""
        r4 = *(u32 *)(r1 + 8)
        if r4 > 32 goto out
        if r4 == 0 goto out
        r4 += 512
        r2 = 0
        r3 = r10
        r3 += -64
        call bpf_skb_load_bytes
        out:
        r0 = 0
        exit""".replace("bpf_skb_load_bytes", "26"))
    assert "instruction 3: changed after it was compared, to 513 to 544" in said
    assert said.endswith("Compare the number after instruction 3, where it gets its last value.")


def test_a_constant_size_from_elsewhere_is_told() -> None:
    said = explained("""
        r6 = 700
        r2 = 0
        r3 = r10
        r3 += -64
        r4 = r6
        r4 += 100
        call 26
        r0 = 0
        exit""")
    assert "instruction 0: the number is 700" in said
    assert "instruction 5: computed here, 800" in said


def test_what_moves_a_pointer_off_its_alignment_is_named() -> None:
    said = explained("*(u64 *)(r10 - 16) = 0\nr2 = r10\nr2 += -13\nr0 = *(u32 *)(r2 + 0)\nexit")
    assert "instruction 2: the pointer is moved by -13 bytes" in said
    assert said.endswith("Let what is added be a multiple of 4, or access single bytes.")


def test_metadata_is_compared_with_the_start_of_the_packet() -> None:
    said = explained("r2 = *(u32 *)(r1 + 140)\nr0 = *(u8 *)(r2 + 0)\nexit")
    assert said.endswith("Nothing compares the pointer with data before this access: leave first if the pointer + "
                         "offset + size > data.")


def test_an_access_before_the_packet_is_no_matter_of_its_end() -> None:
    said = explained("r2 = *(u32 *)(r1 + 76)\nr2 += -14\nr0 = *(u8 *)(r2 + 0)\nexit")
    assert "instruction 1: moved by a constant" in said
    assert "The access begins before the packet" in said and "data_end" not in said


def test_the_null_of_a_call_is_no_number() -> None:
    """The walk of 7.2 takes the NULL of some calls as a path of its own."""
    said = explained(LOOKUP + """
        if r0 == 0 goto out
        r6 = r0
        r1 = r0
        call 96
        r7 = *(u32 *)(r0 + 0)
        r1 = r6
        call 86
        out:
        r0 = 0
        exit""")
    assert "may be NULL since bpf_tcp_sock()" in said
    assert "number" not in said


def test_the_first_of_several_calls_is_named() -> None:
    said = explained("""
        r6 = r1
        r7 = *(u32 *)(r6 + 76)
        r1 = r6
        r2 = 60
        call 39
        r1 = r6
        r2 = 60
        call 39
        r0 = *(u8 *)(r7 + 0)
        exit""")
    assert "instruction 4: bpf_skb_pull_data() may move the packet" in said
    assert "instruction 7" not in said


def test_a_number_that_never_was_a_pointer_blames_no_call() -> None:
    said = explained("""
        r6 = r1
        r7 = *(u32 *)(r6 + 8)
        r1 = r6
        r2 = 60
        call 39
        r0 = *(u8 *)(r7 + 0)
        exit""")
    assert "moved" not in said and "may move" not in said
    assert "instruction 1: it is read from the context, where it is a number" in said


def test_what_was_released_names_who_released_it() -> None:
    said = explained(LOOKUP + """
        if r0 == 0 goto out
        r7 = r0
        r1 = r0
        call 86
        r0 = *(u32 *)(r7 + 4)
    out:
        exit""")
    assert "instruction 8: the pointer is a socket from here" in said
    assert "instruction 12: bpf_sk_release() released the pointer or gave it away" in said
    assert "line 17: bpf_skb_release() released `skb` or gave it away" in of_sample("use_after_release")


def test_a_leak_names_who_acquired_and_the_branches_since() -> None:
    said = explained(LOOKUP + """
        if r0 == 0 goto out
        r7 = *(u32 *)(r0 + 4)
        if r7 != 2 goto out
        r1 = r0
        call 86
    out:
        r0 = 0
        exit""")
    assert "instruction 8: bpf_sk_lookup_tcp() acquires a reference" in said
    assert "instruction 11: the branch" in said
    assert "instruction 9" not in said  # what is NULL is not owned, so the path had to go this way
    assert "line 16: bpf_skb_acquire() acquires `skb`" in of_sample("leak")


@pytest.mark.parametrize(("text", "told"), [
    ("*(u32 *)(r1 + 0) = 100\nr0 = 0\nexit", "__sk_buff->len is read-only"),
    ("r0 = *(u64 *)(r1 + 8)\nexit", "__sk_buff->mark is 4 bytes at offset 8 and is read 4 bytes at a time"),
    ("r0 = *(u32 *)(r1 + 400)\nexit", "struct __sk_buff has no field at offset 400")])
def test_a_field_of_the_context_is_named(text: str, told: str) -> None:
    said = explained(text)
    assert told in said
    assert "dequeue" not in said


def test_an_endless_walk_names_its_loop() -> None:
    said = explained("""
        r6 = r1
        r7 = 0
    again:
        r1 = *(u32 *)(r6 + 0)
        if r7 >= r1 goto out
        r7 += 1
        call 7
        goto again
    out:
        r0 = 0
        exit""")
    assert "instruction 3: the loop ends only here, by a comparison with a value that is not a constant" in said


@pytest.mark.parametrize(("read", "at"), [
    ("r0 = *(u64 *)(r10 - 16)", 7), ("r6 = r10\nr6 += -32\nr0 = *(u8 *)(r6 + 25)", 9),
    ("r1 = r10\nr1 += -24\nr2 = 16\nr3 = 0\nr4 = 0\nr5 = 0\ncall 28", 13)])
def test_a_read_of_an_object_on_the_stack_names_who_keeps_it_there(read: str, at: int) -> None:
    ring = MapSpec(name="ring", type="ringbuf", max_entries=4096)
    text = f"""
        r1 = map[id:0]
        r2 = 8
        r3 = 0
        r4 = r10
        r4 += -16
        call 198
        {read}
        r0 = 0
        exit"""
    verdict = verify(Program(name="prog", insns=assemble(text), type="sched_cls", license="GPL",
                             maps=(ring,)), linux())
    assert (verdict.property, verdict.pc) == ("uninit-stack", at)
    assert "instruction 6: bpf_ringbuf_reserve_dynptr() keeps an object in this memory" in verdict.explanation
    assert "never written" not in verdict.explanation


def test_a_missing_result_is_told_from_a_cleared_register() -> None:
    assert "No instruction on this path sets the result:" in explained("exit")
    assert "instruction 0: bpf_get_prandom_u32() clears R1 to R5" in explained("call 7\nr0 = r2\nexit")
    assert "clears R1" not in explained("r0 = r2\nexit")
    assert "sets the result" not in explained("r0 = r3\nexit")


def test_a_function_that_returned_is_stepped_over() -> None:
    said = explained("""
        r6 = r1
        r7 = *(u32 *)(r6 + 76)
        call sub
        r1 = r6
        r2 = 60
        call 39
        r0 = *(u8 *)(r7 + 0)
        exit
    sub:
        r7 = 5
        r0 = r7
        exit""".replace("call sub", "call pc+5"))
    assert "instruction 5: bpf_skb_pull_data() may move the packet" in said


@pytest.mark.parametrize(("name", "told"), [
    ("leak", "line 18: `if (sch->q.qlen >= sch->limit)` leads to line 28 without releasing it"),
    ("use_after_drop", "line 19: bpf_qdisc_skb_drop() released"),
    ("old_forgotten", "line 23: bpf_kptr_xchg() acquires"),
    ("returns_number", "0 is the only number that may be returned here."),
    ("wrong_member", "that depends on its type, and in struct_ops on its member."),
])
def test_a_packet_that_is_an_argument(name: str, told: str) -> None:
    programs = load(BROKEN.parent / "broken_qdiscs" / f"{name}.o").programs.values()
    assert any(told in verdict.explanation for program in programs
               if not (verdict := verify(program, linux())).ok)
