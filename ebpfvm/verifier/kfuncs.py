"""Calls of kernel functions (check_kfunc_call, kernel/bpf/verifier.c): arguments by prototype and suffix, then effects.

The families with rules of their own are in `kfunc_objects` (allocated objects, lists, trees), `kfunc_iters`
(open-coded iterators), `kfunc_dynptrs` and `kfunc_regions` (RCU, preemption, interrupts).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ebpfvm.verifier import args as args_
from ebpfvm.verifier import btf_access, families, frames, packets, refs, regions
from ebpfvm.verifier import regs as r
from ebpfvm.verifier.args import is_null
from ebpfvm.verifier.cfg import SYNC_KFUNCS
from ebpfvm.verifier.env import StructType
from ebpfvm.verifier.regs import SCALAR, UNKNOWN_SCALAR, Reg, pointer
from ebpfvm.verifier.signal import EACCES, EINVAL, Refuse, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.contract.kfunc import Kfunc, Param
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.env import Env, Special
    from ebpfvm.verifier.explore import Walk

    Step = Callable[[Walk], int]

_INTS = {"s8": 1, "u8": 1, "bool": 1, "char": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "int": 4, "unsigned int": 4,
         "s64": 8, "u64": 8, "long": 8, "unsigned long": 8, "size_t": 8, "__u8": 1, "__u16": 2, "__u32": 4,
         "__u64": 8, "__s8": 1, "__s16": 2, "__s32": 4, "__s64": 8, "__be16": 2, "__be32": 4, "__be64": 8,
         "unsigned char": 1, "long long": 8, "unsigned long long": 8}
_SPECIAL = frozenset({"map", "iter", "irq_flag", "alloc", "str", "prog", "refcounted_kptr", "nonown_allowed",
                      "const_str", "impl"})
# They change what may follow, which needs rules of their own: refused until a family has them.
_STATEFUL = frozenset({"bpf_rcu_read_lock", "bpf_rcu_read_unlock", "bpf_preempt_disable", "bpf_preempt_enable",
                       "bpf_throw"})
_UNSET = Reg(0, UNKNOWN_SCALAR.num)  # a register without a value, which only its type tells
MOVE_PACKET = frozenset({"bpf_xdp_pull_data"})  # packet pointers are numbers afterwards
# Structs of plain numbers that a kfunc takes as memory.
_PLAIN_STRUCTS: dict[str, int] = {}


@dataclass(slots=True)
class KfuncCall:
    """What one call has shown so far (bpf_kfunc_call_arg_meta)."""

    kfunc: Kfunc
    number: int
    ref: int = 0
    release_at: int = 0
    subprog: int = -1
    constant: int | None = None
    mem_size: int | None = None
    rdonly: bool = False
    slot: Special | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def name_of(w: Walk, at: int) -> str:
    """How a message names argument `at` (from 1)."""
    return f"R{at}" if w.env.new else f"arg#{at - 1}"


def is_tree_add(env: Env, pc: int) -> bool:
    """Is this the call that runs a tree's comparison function?"""
    if not 0 <= pc < len(env.program.insns):
        return False
    insn = env.program.insns[pc]
    kfunc = env.kfuncs.get(insn.imm) if insn.src == 2 else None
    return kfunc is not None and kfunc.name in SYNC_KFUNCS


def build(w: Walk, pc: int, insn: Insn) -> Step:
    """A call of a kfunc."""
    env = w.env
    kfunc = env.kfuncs.get(insn.imm)
    missing = env.program.kfuncs.get(insn.imm)  # libbpf makes such a call invalid and says so in the log
    after = pc + 1
    allowed = kfunc is not None and kfunc.name in env.prog_type.kfuncs

    def step(w: Walk) -> int:
        if w.state.locks and (kfunc is None or kfunc.name not in families.IN_LOCK):
            raise Refuse(EINVAL, "function calls are not allowed while holding a lock")
        if kfunc is None and missing is not None:
            raise Refuse(EINVAL, f"kfunc '{missing}' is referenced but wasn't resolved")
        if kfunc is None:  # number 0: it does nothing here, and is refused after the walk
            w.reached_weak = True
            return after
        if not allowed:
            raise Refuse(EACCES, f"calling kernel function {kfunc.name} is not allowed")
        if "sleepable" in kfunc.flags and not w.in_sleepable():
            raise Refuse(EACCES, f"program must be sleepable to call sleepable kfunc {kfunc.name}")
        return call(w, kfunc, insn.imm, after)
    return step


def call(w: Walk, kfunc: Kfunc, number: int, after: int) -> int:
    """Arguments, effects, result."""
    made = KfuncCall(kfunc, number)
    family = families.BY_NAME.get(kfunc.name)
    if kfunc.name.startswith("bpf_xdp_metadata_rx_"):
        raise Refuse(EINVAL, "metadata kfuncs require device-bound program")
    if family is None and (kfunc.flags & families.ITER_FLAGS or kfunc.name in _STATEFUL or not _plain(kfunc)):
        raise unsupported(f"kernel function {kfunc.name}")
    if family is not None and family.before is not None:
        family.before(w, made, after)
    if family is not None and family.instead is not None:
        return family.instead(w, made, after)
    check_arguments(w, made)
    if kfunc.name in SYNC_KFUNCS:
        frames.push_callback(w, made.subprog, families.less_callback(w, made))
    if "release" in kfunc.flags:
        _release(w, made)
    if family is not None and family.effect is not None:
        family.effect(w, made)
    if kfunc.name in MOVE_PACKET:
        packets.forget(w.state)
    w.clobber(w.frame)
    w.regs[0] = family.result(w, made) if family is not None and family.result is not None else result(w, made)
    return after


def _plain(kfunc: Kfunc) -> bool:
    """Only kinds of parameters that the general rules cover?"""
    for param in kfunc.params:
        if param.type == "func" or param.suffixes & _SPECIAL:
            return False
        if param.struct.startswith(("bpf_iter_", "bpf_dynptr", "bpf_list_", "bpf_rb_", "bpf_res_spin")):
            return False
    return True


# -- arguments ------------------------------------------------------------------------------------------------------


def check_arguments(w: Walk, made: KfuncCall) -> None:
    """All arguments in order (check_kfunc_args)."""
    params = made.kfunc.params
    for at, param in enumerate(params, 1):
        if param.suffixes & {"ign", "prog"}:
            continue
        if at > 5:
            raise unsupported("stack arguments of kernel functions")
        reg = w.regs[at] or _UNSET
        if not param.pointers:
            _scalar(w, made, at, param, reg)
        else:
            _pointer(w, made, at, param, reg, params)
    if "release" in made.kfunc.flags and not made.release_at and not w.env.new:
        raise Refuse(EINVAL, f"release kernel function {made.kfunc.name} expects refcounted PTR_TO_BTF_ID")


def _scalar(w: Walk, made: KfuncCall, at: int, param: Param, reg: Reg) -> None:
    if reg.type != SCALAR:
        raise Refuse(EINVAL, f"R{at} is not a scalar")
    if param.suffixes & {"k", "szk"} and param.suffixes & {"k"}:
        if reg.num.mask:
            raise Refuse(EINVAL, f"R{at} must be a known constant")
        w.precise(at)
        made.constant = reg.num.value


def _pointer(w: Walk, made: KfuncCall, at: int, param: Param, reg: Reg, params: tuple[Param, ...]) -> None:
    kfunc = made.kfunc
    nullable = "nullable" in param.suffixes
    strict = bool(kfunc.flags & {"trusted_args", "rcu", "release"}) or (w.env.new and not w.packet_is_context)
    if strict and (is_null(reg) or reg.type & r.MAYBE_NULL) and not nullable and not _optional(params, at):
        word = "R" if w.env.new else "arg"
        index = at if w.env.new else at - 1
        raise Refuse(EACCES, f"Possibly NULL pointer passed to trusted {word}{index}")
    if nullable and is_null(reg):
        return
    _note_reference(w, made, at, reg)
    special = families.special_argument(param)
    plain_object = special is None and bool(param.struct) and not _is_memory(param) and not _is_slot(made, at, param)
    if (plain_object and not _is_context(param, reg)) or "alloc" in param.suffixes:
        _trusted(w, made, at, reg, strict)
    _offset(w, made, at, reg)
    if special is not None:
        special(w, made, at, param, reg)
    elif _is_slot(made, at, param):
        _slot(w, made, at, reg)
    elif plain_object:
        _object(w, made, at, param, reg)
    else:
        _memory(w, made, at, param, reg, params)


def _is_slot(made: KfuncCall, at: int, param: Param) -> bool:
    return "kptr_get" in made.kfunc.flags and at == 1 and param.pointers == 2


def _is_context(param: Param, reg: Reg) -> bool:
    """Is the parameter the program's context?"""
    return param.struct in ("__sk_buff", "xdp_md") or (reg.type == r.CTX and param.struct in ("sk_buff", "xdp_buff"))


def _trusted(w: Walk, made: KfuncCall, at: int, reg: Reg, strict: bool) -> None:
    """Kernel functions rely on pointers only if they were given by the kernel or are referenced."""
    if not strict:
        if reg.type & r.UNTRUSTED:
            raise Refuse(EINVAL, f"R{at} must be referenced or trusted")
        return
    if r.is_trusted(reg):
        return
    if "rcu" not in made.kfunc.flags:
        raise Refuse(EINVAL, f"R{at} must be referenced or trusted")
    if not reg.type & r.RCU:
        raise Refuse(EINVAL, f"R{at} must be a rcu pointer")


def _offset(w: Walk, made: KfuncCall, at: int, reg: Reg) -> None:
    """check_func_arg_reg_off."""
    if "release" in made.kfunc.flags and reg.ref:
        if reg.off or (w.env.new and (reg.num.mask or reg.num.value)):
            raise Refuse(EINVAL, f"R{at} must have zero offset when passed to release func or trusted arg to kfunc")
        regions.unmodified(w, reg, at)
    elif reg.type not in args_.ANY_OFFSET:
        regions.unmodified(w, reg, at, fixed_ok=reg.type & r.BASE == r.BTF_ID)


def _not_a_pointer(w: Walk, made: KfuncCall, at: int, param: Param, reg: Reg) -> str:
    if param.struct in ("__sk_buff", "xdp_md"):
        return f"{name_of(w, at)} expected pointer to ctx, but got {r.type_name(reg.type)}"
    tail = f"expected {'STRUCT'} {param.struct} or socket"
    if w.env.new:
        return f"R{at} is {r.type_name(reg.type)} {tail}"
    return f"arg#{at - 1} is {r.type_name(reg.type)} {tail}"


def _optional(params: tuple[Param, ...], at: int) -> bool:
    # A buffer whose size may be zero: `buffer__opt, buffer__szk`.
    return "opt" in params[at - 1].suffixes


def _note_reference(w: Walk, made: KfuncCall, at: int, reg: Reg) -> None:
    kfunc = made.kfunc
    if "release" in kfunc.flags and not made.release_at and made.kfunc.params[at - 1].pointers:
        if not reg.ref and w.env.new and _releases(made, at):
            raise Refuse(EINVAL, f"release kfunc {kfunc.name} expects referenced PTR_TO_BTF_ID passed to R{at}")
        if reg.ref:
            made.release_at = at
    if reg.ref:
        made.ref = reg.ref


def _releases(made: KfuncCall, at: int) -> bool:
    """Is R`at` the argument that a release kfunc takes away? The first pointer, unless it takes several."""
    return at == next(i for i, param in enumerate(made.kfunc.params, 1) if param.pointers)


def _is_memory(param: Param) -> bool:
    if param.pointers != 1:
        return False
    return param.type in _INTS or param.type == "void" or param.struct in _PLAIN_STRUCTS


def _slot(w: Walk, made: KfuncCall, at: int, reg: Reg) -> None:
    """A kptr slot of a map value (KF_KPTR_GET, Linux 6.1)."""
    if reg.type & r.BASE != r.MAP_VALUE or reg.type & r.MAYBE_NULL:
        raise Refuse(EINVAL, f"arg#{at - 1} expected pointer to map value")
    if reg.num.mask:
        raise Refuse(EINVAL, f"arg#{at - 1} must have constant offset")
    off = reg.off + reg.num.smin
    found = next((item for item in reg.what.fields if item.is_kptr and item.off == off), None)
    if found is None or found.kind != "kptr_ref":
        raise Refuse(EINVAL, f"arg#{at - 1} no referenced kptr at map value offset={off}")
    made.slot = found
    wanted, has = made.kfunc.params[at - 1].struct, btf_access.struct_of(w, found)
    if has.name != wanted:
        raise Refuse(EINVAL, f"kernel function {made.kfunc.name} args#{at - 1} expected pointer to STRUCT {wanted} but "
                             f"R{at} has a pointer to STRUCT {has.name}")


def _object(w: Walk, made: KfuncCall, at: int, param: Param, reg: Reg) -> None:
    """A pointer to a struct of the kernel."""
    kfunc, name = made.kfunc, name_of(w, at)
    wanted = param.struct
    if _is_context(param, reg):
        if reg.type != r.CTX:
            raise Refuse(EINVAL, f"{name} expected pointer to ctx, but got {r.type_name(reg.type)}")
        return
    if reg.type & r.BASE != r.BTF_ID:
        if reg.type & r.BASE in _SOCKETS and wanted in _SOCKETS[reg.type & r.BASE]:
            return
        raise Refuse(EINVAL, _not_a_pointer(w, made, at, param, reg))
    if reg.what.btf is not None or reg.what.name != wanted or reg.off:
        who = f"R{at}" if w.env.new else f"args#{at - 1}"
        raise Refuse(EINVAL, f"kernel function {kfunc.name} {who} expected pointer to STRUCT {wanted} but R{at} has a "
                             f"pointer to STRUCT {reg.what.name}")


_SOCKETS = {r.SOCKET: ("sock", "sock_common"), r.SOCK_COMMON: ("sock_common", "sock"),
            r.TCP_SOCK: ("sock", "sock_common", "tcp_sock"), r.MAP_PTR: ("bpf_map",)}


def _memory(w: Walk, made: KfuncCall, at: int, param: Param, reg: Reg, params: tuple[Param, ...]) -> None:
    """Memory of the size of what is pointed to, or of the size argument behind it."""
    after = params[at] if at < len(params) else None
    if after is not None and after.suffixes & {"sz", "szk"} and not after.pointers:
        size = w.regs[at + 1] or _UNSET
        if size.type != SCALAR:
            raise Refuse(EINVAL, f"{name_of(w, at)} pointer type UNKNOWN  must point to scalar, or struct with scalar")
        if not is_null(reg) or "opt" not in param.suffixes:
            _sized(w, at, param, size)
        if "szk" in after.suffixes:
            if size.num.mask:
                raise Refuse(EINVAL, f"R{at + 1} must be a known constant")
            made.constant = size.num.value
        return
    length = _INTS.get(param.type) or _PLAIN_STRUCTS.get(param.struct, 0)
    if not length:
        raise unsupported(f"argument {at} of kernel function {made.kfunc.name}")
    plain = r.with_type(reg, reg.type & ~r.MAYBE_NULL)
    args_.memory(w, plain, at, length, False, True, None)
    if not param.const:
        args_.memory(w, plain, at, length, True, True, None)


def _sized(w: Walk, at: int, param: Param, size: Reg) -> None:
    try:
        args_.sized(w, size, at + 1, False, True, False, None)
        if not param.const:
            args_.sized(w, size, at + 1, True, True, False, None)
    except Refuse as refused:
        raise Refuse(refused.errno, *refused.lines, f"{name_of(w, at)} {name_of(w, at + 1)} memory, len pair leads "
                                                    "to invalid memory access") from refused


# -- effects --------------------------------------------------------------------------------------------------------


def release_reference(w: Walk, ref: int) -> None:
    """Give a reference back."""
    refs.release(w, ref)


def _release(w: Walk, made: KfuncCall) -> None:
    if not made.release_at or not made.ref:
        name = made.kfunc.name
        raise Refuse(EINVAL, f"kfunc {name}#{made.number} reference has not been acquired before")
    if w.env.new:
        child = next((ref for ref in w.state.refs if ref.parent == made.ref), None)
        if child is not None:
            raise Refuse(EINVAL, f"Leaking reference id={child.id} alloc_insn={child.pc}. Release it first.")
    if not refs.release(w, made.ref):
        raise Refuse(EINVAL, f"kfunc {made.kfunc.name}#{made.number} reference has not been acquired before")


def result(w: Walk, made: KfuncCall) -> Reg | None:
    """R0 by the prototype."""
    kfunc = made.kfunc
    ret = kfunc.ret
    if not ret.pointers:
        return None if ret.type == "void" else UNKNOWN_SCALAR
    null = r.MAYBE_NULL if "ret_null" in kfunc.flags else 0
    if not ret.struct:
        raise unsupported(f"the result of kernel function {kfunc.name}")
    id = w.new_id() if null else 0
    ref = refs.acquire(w) if "acquire" in kfunc.flags else 0
    id = (ref if null else 0) or id
    # A reference is trusted as such; under the RFC's decision D1 its type says so too.
    trust = (r.TRUSTED if ref and w.packet_is_context else r.RCU if "rcu_protected" in kfunc.flags
             else r.UNTRUSTED if kfunc.name == "bpf_get_kmem_cache" else 0)
    return pointer(r.BTF_ID | trust | null, StructType(ret.struct), id=id, ref=ref)

