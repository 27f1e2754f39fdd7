"""What random programs found: each was accepted, and a run of it did what no accepted program may do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ebpfvm.dialects import linux, rfc6
from ebpfvm.engine import Interpreter, Translator
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import Insn
from ebpfvm.loader.object import Program
from ebpfvm.testing.generated_qdiscs import STORE
from ebpfvm.testing.runs import Given, Machine
from ebpfvm.verifier import Verdict, verify
from tests.unit.verifier.build import build

VERSIONS = pytest.mark.parametrize("version", [(6, 18), (7, 2)], ids=["6.18", "7.2"])
GIVEN = Given(bytes(60))
# r7 = the packet of an element of the store, or the program ends.
TAKE = """
*(u64 *)(r10 - 8) = 0
r2 = r10
r2 += -8
r1 = map[id:0]
call 1
if r0 == 0 goto out
r1 = r0
r2 = 0
call 194
if r0 == 0 goto out
r7 = r0
"""
RELEASE = "r1 = r7\ncall @bpf_skb_release\n"
OUT = "\nout:\nr0 = 0\nexit\n"
READ = "r2 = *(u32 *)(r{0} + 76)\nr3 = *(u32 *)(r{1} + 80)\nr4 = r2\nr4 += 14\n"


def judge(text: str, version: tuple[int, int], attach: str = "enqueue") -> Verdict:
    """A qdisc program; r6 is the context, in enqueue r8 the packet."""
    begin = "r6 = r1\n" + ("r8 = *(u64 *)(r6 + 0)\n" if attach == "enqueue" else "")
    program = build(begin + text + OUT, type="qdisc", maps=(STORE,))
    return verify(replace(program, attach=attach), rfc6(version))


@VERSIONS
@pytest.mark.parametrize("helper", [34, 38, 85])
def test_helpers_of_packets_do_not_take_the_context_of_a_qdisc(version: tuple[int, int], helper: int) -> None:
    args = "r2 = 14\nr3 = 0\n" if helper != 85 else "*(u64 *)(r10 - 8) = 0\n*(u64 *)(r10 - 16) = 0\nr2 = r10\n" \
        "r2 += -16\nr3 = 12\nr4 = -1\nr5 = 0\n"
    assert judge(f"r1 = r6\n{args}call {helper}\n", version).message.startswith("R1 type=ctx expected=")
    if helper != 85:
        assert judge(f"r1 = r8\n{args}call {helper}\n", version).ok


@VERSIONS
def test_packet_bytes_end_with_the_packet(version: tuple[int, int]) -> None:
    check = READ.format(7, 7) + "if r4 > r3 goto rel\n"
    inside = judge(TAKE + check + "r5 = *(u8 *)(r2 + 13)\nrel:\n" + RELEASE, version, "dequeue")
    assert inside.ok, inside.message
    keep = READ.format(7, 7) + "if r4 > r3 goto rel\nr9 = r2\n"
    for leave in (RELEASE, "*(u64 *)(r6 + 0) = r7\n"):
        text = TAKE + keep + leave + "r5 = *(u8 *)(r9 + 13)\ngoto out\nrel:\n" + RELEASE
        assert judge(text, version, "dequeue").message == "R9 invalid mem access 'scalar'"


@VERSIONS
def test_a_packet_is_not_measured_by_the_end_of_another(version: tuple[int, int]) -> None:
    access = "if r4 > r3 goto rel\nr5 = *(u8 *)(r2 + 13)\nrel:\n" + RELEASE
    for pair in ((7, 8), (8, 7)):
        assert "invalid access to packet" in judge(TAKE + READ.format(*pair) + access, version).message
    for pair in ((7, 7), (8, 8)):
        verdict = judge(TAKE + READ.format(*pair) + access, version)
        assert verdict.ok, verdict.message


@VERSIONS
def test_packet_of_qdisc_outlives_another(version: tuple[int, int]) -> None:
    text = TAKE + READ.format(8, 8) + "if r4 > r3 goto rel\nr9 = r2\n" + RELEASE + "r5 = *(u8 *)(r9 + 13)\ngoto out\n" \
        "rel:\n" + RELEASE
    verdict = judge(text, version)
    assert verdict.ok, verdict.message


def test_an_exit_with_an_offset_runs() -> None:
    """No kernel looks at it."""
    program = Program("prog", (*assemble("r0 = 3"), Insn(0x95, off=-8)), "xdp")
    assert verify(program, linux()).ok
    assert Machine(program, linux(), Interpreter())(GIVEN).result == 3


@pytest.mark.parametrize("dead", [Insn(0x97, 4, 0, -7, -1), Insn(0xBF, 8, 8, 7), Insn(0xBF, 10, 0), Insn(0xB7, 12)],
                         ids=["mod", "movsx", "frame pointer", "register"])
def test_dead_code_may_be_wrong(dead: Insn) -> None:
    """6.18 looks at an instruction when its walk reaches it; the translator looks at more."""
    known = "r0 = *(u32 *)(r1 + 12)\nr2 = r0\nif r0 > 3 goto +3\nif r2 <= 3 goto +1"  # the walk links r2 to r0
    code = (*assemble(known), dead,
            *assemble("*(u64 *)(r10 - 8) = 7\nr0 = 2\nexit"))
    program = Program("prog", code, "xdp")
    if dead.dst <= 10:
        assert verify(program, linux((6, 18))).ok
    for engine in (Interpreter(), Translator()):
        assert Machine(program, linux((6, 18)), engine)(GIVEN).result == 2


def test_bytes_of_a_known_number_are_swapped() -> None:
    """The translator put a number where a name had been: `0.to_bytes` is no Python."""
    text = "*(u64 *)(r10 - 64) = 0x1234\nr4 = *(s16 *)(r10 - 64)\nr4 = bswap64 r4\nr0 = r4\nr0 >>= 48\nexit"
    program = Program("prog", tuple(assemble(text)), "xdp")
    for engine in (Interpreter(), Translator()):
        assert Machine(program, linux(), engine)(GIVEN).result == 0x3412
