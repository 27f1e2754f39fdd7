"""Where a program throws, and its function that gets what is thrown (decl tag `exception_callback:NAME`).

Source: bpf_find_exception_callback_insn_off and do_check_common of kernel/bpf/verifier.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Func, Linkage
from ebpfvm.errnos import EEXIST, EINVAL, ENOENT
from ebpfvm.verifier.machine.signal import Refuse
from ebpfvm.verifier.passes.subprogs import is_call, is_kfunc_call

if TYPE_CHECKING:
    from ebpfvm.loader.object import Program
    from ebpfvm.verifier.machine.env import Env, Subprog

_TAG = "exception_callback:"


def callback_slot(program: Program) -> int:
    """Where the exception callback of a program starts, 0 if it has none.

    Raises:
        Refuse: the tag names no global function of the program.
    """
    btf = program.btf
    if btf is None or not program.func_info:
        return 0
    main = program.func_info[0].type_id
    if not 0 < main < len(btf):
        raise Refuse(EINVAL, "invalid btf id for main subprog in func_info")
    names = [tag.removeprefix(_TAG) for tag in btf.decl_tags(main, -1) if tag.startswith(_TAG)]
    if not names:
        return 0
    if len(names) > 1:
        raise Refuse(EEXIST, "multiple exception callback tags for main subprog")
    name = names[0]
    found = next((number for number in range(1, len(btf))
                  if isinstance(btf[number], Func) and btf[number].name == name), None)
    if found is None:
        raise Refuse(ENOENT, f"exception callback '{name}' could not be found in BTF")
    func = btf[found]
    if not isinstance(func, Func) or func.linkage != Linkage.GLOBAL:
        raise Refuse(EINVAL, f"exception callback '{name}' must have global linkage")
    slots = [info.insn_off for info in program.func_info if info.type_id == found]
    if not slots:
        raise Refuse(EINVAL, "exception callback type id not found in func_info")
    if not slots[-1]:
        raise Refuse(EINVAL, "invalid exception callback insn_off in func_info: 0")
    return slots[-1]


def is_throw(env: Env, pc: int) -> bool:
    """Is this a call of bpf_throw?"""
    insn = env.program.insns[pc]
    kfunc = env.kfuncs.get(insn.imm) if is_kfunc_call(insn) else None
    return kfunc is not None and kfunc.role == "throw"


def might_throw(env: Env, subprog: Subprog, seen: frozenset[int] = frozenset()) -> bool:
    """Does a function, or one that it calls, contain bpf_throw?"""
    if subprog.index in seen:
        return False
    for pc in range(subprog.start, subprog.end):
        if is_throw(env, pc):
            return True
        if is_call(env.program.insns[pc]):
            callee = env.subprog_at(pc + env.program.insns[pc].imm + 1)
            if callee is not None and might_throw(env, callee, seen | {subprog.index}):
                return True
    return False
