"""What may move a packet leaves no pointer into it: helpers, kfuncs, and writes through a dynptr."""

from __future__ import annotations

import pytest

from ebpfvm.dialects.linux import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import Insn
from ebpfvm.loader.object import Program
from ebpfvm.verifier import Verdict, verify

CHECKED = "r6 = r1\nr7 = *(u32 *)(r6 + {0})\nr8 = *(u32 *)(r6 + {1})\nr2 = r7\nr2 += 4\nif r2 > r8 goto out\n"
END = "r0 = *(u8 *)(r7 + 1)\nout:\nr0 = 0\nexit\n"
KFUNCS = {1: "bpf_xdp_pull_data", 2: "bpf_dynptr_from_skb"}


def judge(text: str, type: str, version: tuple[int, int]) -> Verdict:
    """A program in which `call -N` stands for kfunc N."""
    insns = tuple(Insn(0x85, 0, 2, 0, -insn.imm) if insn.code == 0x85 and insn.imm < 0 else insn
                  for insn in assemble(text))
    return verify(Program(name="prog", insns=insns, type=type, license="GPL", kfuncs=KFUNCS), linux(version))


@pytest.mark.parametrize("version", [(6, 18), (7, 2)], ids=["6.18", "7.2"])
def test_what_moves_the_packet(version: tuple[int, int]) -> None:
    tc, xdp = CHECKED.format(76, 80), CHECKED.format(0, 4)
    gone = "R7 invalid mem access 'scalar'"
    assert judge(tc + END, "sched_cls", version).ok
    assert judge(tc + "r1 = r6\nr2 = 4\ncall 39\n" + END, "sched_cls", version).message == gone
    assert judge(xdp + "r1 = r6\nr2 = 4\ncall 44\n" + END, "xdp", version).message == gone
    assert judge(xdp + "r1 = r6\nr2 = 4\ncall -1\n" + END, "xdp", version).message == gone
    write = ("r1 = r6\nr2 = 0\nr3 = r10\nr3 += -16\ncall -2\n*(u64 *)(r10 - 24) = 0\n"
             "r1 = r10\nr1 += -16\nr2 = 0\nr3 = r10\nr3 += -24\nr4 = 4\nr5 = 0\ncall 202\n")
    assert judge(tc + write + END, "sched_cls", version).message == gone
