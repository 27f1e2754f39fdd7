"""The functions and kfuncs of a program, and whether jumps stay inside their function.

Source: add_subprog_and_kfunc() and check_subprogs(), kernel/bpf/verifier.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Func, Linkage
from ebpfvm.errnos import E2BIG, EINVAL, EPERM, EPROTO, ESRCH
from ebpfvm.ints import U32_MAX
from ebpfvm.isa import codes as c
from ebpfvm.loading.prototypes import mismatch
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine.env import Subprog, is_gpl
from ebpfvm.verifier.machine.signal import Refuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.contract.dialect import Dialect
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.isa.insn import Insn
    from ebpfvm.loader.object import Program
    from ebpfvm.verifier.machine.env import Caps

MAX_SUBPROGS = 256
CALL = c.BPF_JMP | c.BPF_CALL


def is_call(insn: Insn) -> bool:
    """Return whether an instruction calls a function of the program."""
    return insn.code == CALL and insn.src == c.BPF_PSEUDO_CALL


def is_kfunc_call(insn: Insn) -> bool:
    """Return whether an instruction calls a kfunc."""
    return insn.code == CALL and insn.src == c.BPF_PSEUDO_KFUNC_CALL


def is_func_ref(insn: Insn) -> bool:
    """Return whether an instruction loads a function's address."""
    return insn.code == 0x18 and insn.src == c.BPF_PSEUDO_FUNC


def find(program: Program, dialect: Dialect, caps: Caps,
         exception_cb: int = 0) -> tuple[tuple[Subprog, ...], dict[int, Kfunc | None]]:
    """Return the functions by start, and imm -> kfunc for the calls (None: a weak one that the kernel lacks).

    Args:
        exception_cb: where the exception callback starts, which nothing calls; 0 for none.
    """
    starts, kfuncs = {0, exception_cb}, dict[int, "Kfunc | None"]()
    size = len(program.insns)
    for pc, insn in enumerate(program.insns):
        if not (is_call(insn) or is_kfunc_call(insn) or is_func_ref(insn)):
            continue
        if not caps.bpf:
            raise Refuse(p.MISSING_CAPABILITY, EPERM,
                         "loading/calling other bpf or kernel functions are allowed for CAP_BPF and "
                         "CAP_SYS_ADMIN", pc=pc)
        if is_kfunc_call(insn):
            if insn.off or insn.imm not in kfuncs:  # each is looked up once
                kfuncs[insn.imm] = _kfunc(program, dialect, insn, pc)
            continue
        target = pc + insn.imm + 1
        if not 0 <= target < size:
            raise Refuse(p.CALL_TARGET, EINVAL, "call to invalid destination", pc=pc)
        starts.add(target)
        if len(starts) > MAX_SUBPROGS:
            raise Refuse(p.TOO_MANY_FUNCTIONS, E2BIG, "too many subprograms", pc=pc)
    return _with_names(program, sorted(starts)), kfuncs


def _kfunc(program: Program, dialect: Dialect, insn: Insn, pc: int) -> Kfunc | None:
    if not is_gpl(program.license):
        raise Refuse(p.GPL_ONLY, EINVAL, "cannot call kernel function from non-GPL compatible program", pc=pc)
    if insn.imm == 0 and insn.off == 0:
        return None
    name = program.kfuncs.get(insn.imm)
    if name is None:
        if insn.off > 0:
            raise Refuse(p.KFUNC_REFERENCE, EPROTO, "kfunc offset > 0 without fd_array is invalid",
                         "failed to find BTF for kernel function", pc=pc)
        if insn.off < 0:
            raise Refuse(p.KFUNC_REFERENCE, EINVAL, "negative offset disallowed for kernel module function call",
                         "failed to find BTF for kernel function", pc=pc)
        if insn.imm <= 0 and dialect.rules.invalid_kfunc_ids_named:
            raise Refuse(p.KFUNC_REFERENCE, EINVAL, f"invalid kernel function btf_id {insn.imm}", pc=pc)
        raise Refuse(p.KFUNC_REFERENCE, EINVAL, f"kernel btf_id {insn.imm & U32_MAX} is not a function", pc=pc)
    if insn.off:  # names the BTF of a module, and there are no modules
        first = ("negative offset disallowed for kernel module function call" if insn.off < 0 else
                 "kfunc offset > 0 without fd_array is invalid")
        raise Refuse(p.KFUNC_REFERENCE, EINVAL if insn.off < 0 else EPROTO,
                     first, "failed to find BTF for kernel function", pc=pc)
    kfunc = dialect.kfuncs.get(name)
    if kfunc is None and name in program.weak and dialect.lacks_kfunc(name):
        return None
    if kfunc is None and name in dialect.absent_kfuncs:  # libbpf says so, before any program reaches the kernel
        raise Refuse(p.UNRESOLVED_KFUNC, EINVAL, f"extern (func ksym) '{name}': not found in kernel or module BTFs",
                     pc=pc)
    if kfunc is None:
        raise Refuse(p.UNSUPPORTED, EINVAL, f"kernel function {name} not supported by ebpfvm{_near(dialect, name)}",
                     pc=pc)
    problem = mismatch(program, kfunc)
    if problem and name in program.weak:
        return None
    if problem:
        raise Refuse(p.UNRESOLVED_KFUNC, ESRCH, f"extern (func ksym) '{name}': func_proto incompatible with the "
                                                f"kernel's: {problem}", pc=pc)
    if "device_bound" in kfunc.flags:
        raise Refuse(p.KFUNC_NOT_ALLOWED, EINVAL, "metadata kfuncs require device-bound program", pc=pc)
    if "without_code" in kfunc.flags:
        raise Refuse(p.KFUNC_REFERENCE, EINVAL, f"cannot find address for kernel function {name}", pc=pc)
    return kfunc


def _near(dialect: Dialect, name: str) -> str:
    """Return a hint at a function of a similar name, if this kernel has none of that name."""
    near = dialect.similar_kfunc(name) if dialect.lacks_kfunc(name) else ""
    return f"; did you mean {near}?" if near else ""


def _with_names(program: Program, starts: list[int]) -> tuple[Subprog, ...]:
    types: Mapping[int, int] = {record.insn_off: record.type_id for record in program.func_info}
    found = []
    for index, start in enumerate(starts):
        end = starts[index + 1] if index + 1 < len(starts) else len(program.insns)
        type_id = types.get(start, 0)
        func = program.btf[type_id] if program.btf and 0 < type_id < len(program.btf) else None
        if isinstance(func, Func):
            name, is_global = func.name, func.linkage == Linkage.GLOBAL
        else:
            name, is_global, type_id = program.func_names.get(start, program.name if not start else ""), False, 0
        found.append(Subprog(index, start, end, name, is_global and index > 0, type_id))
    return tuple(found)


def jump_target(pc: int, insn: Insn) -> int | None:
    """Return the target of a jump, None for any other instruction (including calls and exits)."""
    cls = insn.code & 7
    if cls not in (c.BPF_JMP, c.BPF_JMP32) or insn.code & 0xF0 in (c.BPF_CALL, c.BPF_EXIT):
        return None
    if insn.code == c.BPF_JMP32 | c.BPF_JA:
        return pc + insn.imm + 1
    return pc + insn.off + 1


def check(program: Program, subprogs: tuple[Subprog, ...]) -> None:
    """Check that jumps stay inside their function, and that a function ends with exit or a jump."""
    insns = program.insns
    for subprog in subprogs:
        for pc in range(subprog.start, subprog.end):
            insn = insns[pc]
            target = None if insn.code == c.BPF_JMP | c.BPF_JA | c.BPF_X else jump_target(pc, insn)
            if target is not None and not subprog.start <= target < subprog.end:
                raise Refuse(p.JUMP_TARGET, EINVAL, f"jump out of range from insn {pc} to {target}", pc=pc)
        last = insns[subprog.end - 1].code
        if last not in (c.BPF_JMP | c.BPF_EXIT, c.BPF_JMP | c.BPF_JA, c.BPF_JMP32 | c.BPF_JA,
                        c.BPF_JMP | c.BPF_JA | c.BPF_X):
            raise Refuse(p.MISSING_EXIT, EINVAL, "last insn is not an exit or jmp", pc=subprog.end - 1)
