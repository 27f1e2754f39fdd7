"""Find the functions that a program may call and that ebpfvm cannot run, before the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.contract.helper import Helper
from ebpfvm.engine.translate import flow_graph
from ebpfvm.isa import codes as c

if TYPE_CHECKING:
    from ebpfvm.kernel.program import LoadedProgram


def without_body(prog: LoadedProgram) -> tuple[int, str, str] | None:
    """Return slot, kind ("helper" or "kfunc") and name of the first function without a body that a program may call.

    Return None if there is none. Functions that this kernel lacks do not count: a program that names a weak one checks
    its address before it calls it.
    """
    insns = prog.program.insns
    table = flow_graph.rows(insns)
    starts, _ = flow_graph.entries(insns, table)
    reached = {pc for start in starts for pc in flow_graph.flow_of(insns, table, start)}
    for pc in sorted(reached):
        insn, row = insns[pc], table[pc]
        if row is None or row.kind != "call" or row.op == "call_local":
            continue
        kfunc = insn.src == c.BPF_PSEUDO_KFUNC_CALL
        found = prog.kfuncs.get(insn.imm) if kfunc else prog.helpers.get(insn.imm)
        in_engine = isinstance(found, Helper) and found.in_engine
        if found is not None and found.body is None and not in_engine:
            return pc, "kfunc" if kfunc else "helper", found.name
    return None
