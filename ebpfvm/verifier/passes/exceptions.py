"""Where a program throws, and its exception callback (decl tag `exception_callback:NAME`).

Source: bpf_find_exception_callback_insn_off and do_check_common of kernel/bpf/verifier.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Func, Linkage
from ebpfvm.errnos import EEXIST, EINVAL, ENOENT
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.passes.subprogs import is_call, is_kfunc_call

if TYPE_CHECKING:
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.loader.object import Program
    from ebpfvm.verifier.machine.env import Env, Subprog

_TAG = "exception_callback:"


def callback_slot(program: Program) -> int:
    """Return where the exception callback of a program starts, 0 if it has none.

    Raises:
        Refuse: the tag names no global function of the program.
    """
    btf = program.btf
    if btf is None or not program.func_info:
        return 0
    main = program.func_info[0].type_id
    if not 0 < main < len(btf):
        raise Refuse(p.EXCEPTION_CALLBACK, EINVAL, "invalid btf id for main subprog in func_info")
    names = [tag.removeprefix(_TAG) for tag in btf.decl_tags(main, -1) if tag.startswith(_TAG)]
    if not names:
        return 0
    if len(names) > 1:
        raise Refuse(p.EXCEPTION_CALLBACK, EEXIST, "multiple exception callback tags for main subprog")
    name = names[0]
    found = next((number for number in range(1, len(btf))
                  if isinstance(btf[number], Func) and btf[number].name == name), None)
    if found is None:
        raise Refuse(p.EXCEPTION_CALLBACK, ENOENT, f"exception callback '{name}' could not be found in BTF")
    func = btf[found]
    if not isinstance(func, Func) or func.linkage != Linkage.GLOBAL:
        raise Refuse(p.EXCEPTION_CALLBACK, EINVAL, f"exception callback '{name}' must have global linkage")
    slots = [info.insn_off for info in program.func_info if info.type_id == found]
    if not slots:
        raise Refuse(p.EXCEPTION_CALLBACK, EINVAL, "exception callback type id not found in func_info")
    if not slots[-1]:
        raise Refuse(p.EXCEPTION_CALLBACK, EINVAL, "invalid exception callback insn_off in func_info: 0")
    return slots[-1]


def throw_at(env: Env, pc: int) -> Kfunc | None:
    """Return the kernel function called at `pc` if it throws (bpf_throw)."""
    insn = env.program.insns[pc]
    kfunc = env.kfuncs.get(insn.imm) if is_kfunc_call(insn) else None
    return kfunc if kfunc is not None and kfunc.role == "throw" else None


def throws(env: Env, subprog: Subprog, seen: frozenset[int] = frozenset()) -> Kfunc | None:
    """Return the first kernel function that throws in a function or in one that it calls."""
    if subprog.index in seen:
        return None
    for pc in range(subprog.start, subprog.end):
        found = throw_at(env, pc)
        if found is None and is_call(env.program.insns[pc]):
            callee = env.subprog_at(pc + env.program.insns[pc].imm + 1)
            found = throws(env, callee, seen | {subprog.index}) if callee is not None else None
        if found is not None:
            return found
    return None
