"""Numbers in the log that come from the kernel itself: addresses of maps and variables, BTF ids of kfuncs.

The numbers here replace them: they look alike and are the same in every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.ints import U32_MAX, s32
from ebpfvm.isa import codes as c
from ebpfvm.isa.insn import Insn

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.env import Env

KINDS: Final = frozenset({c.BPF_PSEUDO_MAP_FD, c.BPF_PSEUDO_MAP_VALUE, c.BPF_PSEUDO_BTF_ID})
"""Sources of a 64-bit immediate that become an address."""
_MAPS: Final = 0xFFFF888100000000
_VARIABLES: Final = 0xFFFFFFFF82000000
_APART: Final = 0x10000
_FIRST_KFUNC: Final = 60_000


def resolved(env: Env, pc: int) -> tuple[Insn, Insn]:
    """Return the two slots of a 64-bit immediate as they are after maps and variables were resolved."""
    insn, high = env.program.insns[pc], env.program.insns[pc + 1]
    base = _VARIABLES if insn.src == c.BPF_PSEUDO_BTF_ID else _MAPS
    address = base + (insn.imm & 0xFFFF) * _APART
    if insn.src == c.BPF_PSEUDO_MAP_VALUE:
        address += 0x100 + (high.imm & U32_MAX)
    if not env.caps.perfmon:
        address = 0
    return Insn(insn.code, insn.dst, 0, 0, s32(address)), Insn(0, 0, 0, 0, s32(address >> 32))


def kfunc_id(env: Env, imm: int) -> int:
    """Return a BTF id of five digits, as in current kernels."""
    return _FIRST_KFUNC + sorted(env.kfuncs).index(imm) if imm in env.kfuncs else imm
