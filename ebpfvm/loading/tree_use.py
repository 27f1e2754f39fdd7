"""Whether the programs of an object can tell which shape their trees have.

A tree's order alone decides what most programs see. Its shape shows in bpf_rbtree_root, left and right, and in which
nodes a function that orders a tree is called with, if that function does more than compare.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.btf import types as t
from ebpfvm.isa import codes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ebpfvm.contract import Dialect
    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import Program

_CALLS: Final = codes.BPF_JMP | codes.BPF_CALL
_FP: Final = 10
_NODES: Final = ["bpf_rb_node", "bpf_rb_node"]


def shows_trees(program: Program, dialect: Dialect) -> bool:
    """Return whether a program, or another one of its object, can tell which shape trees have."""
    found = program.home.object
    programs: Iterable[Program] = found.programs.values() if found is not None else ()
    return any(_shows(item, dialect) for item in (program, *programs))


def _shows(program: Program, dialect: Dialect) -> bool:
    kfuncs = [dialect.kfuncs[name] for name in program.kfuncs.values() if name in dialect.kfuncs]
    if any(kfunc.shows_shape for kfunc in kfuncs):
        return True
    return any(kfunc.expands == "insert_sorted" for kfunc in kfuncs) and \
        any(_acts(code) for code in _orders(program))


def _orders(program: Program) -> Iterator[tuple[Insn, ...]]:
    """Yield the instructions of the functions that order trees: those that take two nodes."""
    btf, infos = program.btf, program.func_info
    if btf is None:
        return
    ends = [info.insn_off for info in infos[1:]] + [len(program.insns)]
    for info, end in zip(infos, ends, strict=True):
        func = btf[info.type_id] if 0 < info.type_id < len(btf) else None
        proto = btf[func.type] if isinstance(func, t.Func) else None
        if isinstance(proto, t.FuncProto) and [_struct(btf, param.type) for param in proto.params] == _NODES:
            yield program.insns[info.insn_off:end]


def _struct(btf: t.Btf, type_id: int) -> str:
    """Return the name of the struct that a pointer points to, "" for other types."""
    found = btf.resolved(type_id)
    pointee = btf.resolved(found.type) if isinstance(found, t.Ptr) and found.type else None
    return pointee.name if isinstance(pointee, t.Struct | t.Fwd) else ""


def _acts(code: tuple[Insn, ...]) -> bool:
    """Return whether a function calls another one or stores anything outside of its stack."""
    return any(insn.code == _CALLS or (insn.code & 7 in (codes.BPF_ST, codes.BPF_STX) and insn.dst != _FP)
               for insn in code)
