"""Global functions: what their BTF prototype says about arguments and result.

Sources: btf_prepare_func_args in kernel/bpf/btf.c, btf_check_func_arg_match and do_check_common in
kernel/bpf/verifier.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Enum, Enum64, Func, FuncProto, Fwd, Int, Ptr, Struct, Typedef, Union, Void
from ebpfvm.errnos import EACCES, EFAULT, EINVAL, ENOENT, EOPNOTSUPP
from ebpfvm.errors import LoadError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.verifier.calling import dynptrs
from ebpfvm.verifier.calling import helper_args as args_
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import SCALAR, UNKNOWN_SCALAR, Reg, is_null, pointer
from ebpfvm.verifier.machine.signal import Refuse, Unsupported, unsupported
from ebpfvm.verifier.machine.special_fields import StructType
from ebpfvm.verifier.machine.state import DynptrState
from ebpfvm.verifier.memory import struct_walk
from ebpfvm.verifier.memory.uses import Access, Use
from ebpfvm.verifier.report import show

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf
    from ebpfvm.verifier.machine.env import Subprog
    from ebpfvm.verifier.machine.walk import Walk

TAGS = ("ctx", "trusted", "untrusted", "nonnull", "nullable", "arena")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument.

    Attributes:
        kind: "scalar", "ctx", "mem", "dynptr", "trusted" or "untrusted".
        size: bytes of memory that it points to.
        maybe_null: whether it may be NULL.
        struct: the struct of the kernel that it points to.
    """

    kind: str
    size: int = 0
    maybe_null: bool = False
    struct: str = ""


_MOST_ARGUMENTS = 12


def on_stack(w: Walk, subprog: Subprog) -> None:
    """Raise Refuse if the prototype expects arguments on the stack, which a call cannot pass.

    When a compiler drops unused arguments of a static function, the prototype in the BTF still lists them. Instructions
    that pass arguments on the stack are not modelled, so a call never has any.
    """
    btf = w.env.program.btf
    func = btf[subprog.type_id] if btf is not None and subprog.type_id else None
    proto = btf[func.type] if btf is not None and isinstance(func, Func) else None
    if not isinstance(proto, FuncProto) or len(proto.params) <= 5 or not w.env.rules.has_stack_args:
        return
    count, lines = len(proto.params), []
    if count > _MOST_ARGUMENTS:
        lines.append(f"kernel supports at most {_MOST_ARGUMENTS} parameters, function {subprog.name} has {count}")
    elif subprog.is_global:
        lines.append(f"global function {subprog.name} has {count} > 5 args, stack args not supported")
    raise Refuse(p.ARGUMENT_TYPE, EFAULT, *lines, f"callee expects {count} args, stack arg1 is not initialized")


def arguments(w: Walk, subprog: Subprog) -> tuple[Argument, ...]:
    """Return the arguments of a global function's prototype.

    Raises:
        Refuse: the prototype cannot be checked.
    """
    btf = w.env.program.btf
    if btf is None or not subprog.type_id:
        raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EFAULT, "Global functions need valid BTF")
    func = btf[subprog.type_id]
    proto = btf[func.type] if isinstance(func, Func) else None
    if not isinstance(proto, FuncProto):
        raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EFAULT, f"Invalid type of function {subprog.name}()")
    on_stack(w, subprog)
    if len(proto.params) > 5:
        raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EINVAL,
                     f"Global function {subprog.name}() with {len(proto.params)} > 5 args. Buggy compiler.")
    result = btf.resolved(proto.return_type)
    if not isinstance(result, Int | Enum | Enum64) and not (
            w.env.rules.void_global_functions and isinstance(result, Void)):
        if w.env.rules.void_global_functions:
            raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EOPNOTSUPP,
                         f"Global function {subprog.name}() return value not void or scalar. "
                         "Only those are supported.")
        raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EINVAL,
                     f"Global function {subprog.name}() doesn't return scalar. Only those are supported.")
    return tuple(_argument(w, btf, subprog, at, param.type) for at, param in enumerate(proto.params))


def returns_void(w: Walk, subprog: Subprog) -> bool:
    """Return whether the function returns nothing."""
    btf = w.env.program.btf
    func = btf[subprog.type_id] if btf is not None else None
    proto = btf[func.type] if btf is not None and isinstance(func, Func) else None
    return isinstance(proto, FuncProto) and btf is not None and isinstance(btf.resolved(proto.return_type), Void)


def _argument(w: Walk, btf: Btf, subprog: Subprog, at: int, type_id: int) -> Argument:
    known = w.env.rules.argument_tags
    tags = {tag.removeprefix("arg:") for tag in btf.decl_tags(subprog.type_id, at) if known and tag.startswith("arg:")}
    found = btf.resolved(type_id)
    if tags - set(TAGS):
        raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EOPNOTSUPP, f"arg#{at} has unsupported set of tags")
    if not isinstance(found, Ptr):
        if tags:
            raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EINVAL, f"arg#{at} has pointer tag, but is not a pointer type")
        if isinstance(found, Int | Enum | Enum64):
            return Argument("scalar")
        raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EINVAL,
                     f"Arg#{at} type {found.kind.name} in {subprog.name}() is not supported yet.")
    if "arena" in tags:
        raise unsupported("the argument tag arena of global functions")
    if "ctx" in tags or _is_context(w, btf, found.type):
        if tags - {"ctx"}:
            raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EINVAL, f"arg#{at} has invalid combination of tags")
        return Argument("ctx")
    target = btf.resolved(found.type)
    if known and isinstance(target, Struct) and target.name == "bpf_dynptr":
        if tags:
            raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EINVAL, f"arg#{at} has invalid combination of tags")
        return Argument("dynptr")
    if tags & {"trusted", "untrusted"}:
        return _tagged(w, btf, at, found.type, tags)
    if "nullable" in tags:
        raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EINVAL, f"arg#{at} has invalid combination of tags")
    try:
        size = btf.size_of(found.type)
    except LoadError:
        kind = {Fwd: "FWD", Void: "UNKNOWN", FuncProto: "FUNC_PROTO"}.get(type(target), target.kind.name)
        raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EINVAL,
                     f"arg#{at} reference type('{kind} {target.name}') size cannot be determined: -22"
                     ) from None
    return Argument("mem", size, "nonnull" not in tags)


def _tagged(w: Walk, btf: Btf, at: int, type_id: int, tags: set[str]) -> Argument:
    """Return an argument that points to an object of the kernel, or to memory that may not be there."""
    if tags - {"trusted", "nullable"} and tags != {"untrusted"}:
        raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, EINVAL, f"arg#{at} has invalid combination of tags")
    target = btf.resolved(type_id)
    kind = "trusted" if "trusted" in tags else "untrusted"
    if kind == "untrusted" and isinstance(target, Int | Enum | Enum64 | Void):
        return Argument(kind)
    name = target.name.partition("___")[0]
    if not isinstance(target, Struct | Union | Fwd) or not w.env.dialect.has_struct(name):
        raise Refuse(p.GLOBAL_FUNCTION_PROTOTYPE, ENOENT,
                     f"arg#{at} reference type('{target.kind.name} {target.name}') has no matches")
    return Argument(kind, maybe_null="nullable" in tags, struct=name)


def _is_context(w: Walk, btf: Btf, type_id: int) -> bool:
    """Return whether a type is the context of the program's type by name (btf_is_prog_ctx_type)."""
    seen = btf[type_id]
    while not isinstance(seen, Struct | Union | Fwd):
        if isinstance(seen, Typedef) and seen.name in ("bpf_user_pt_regs_t",):
            return w.env.prog_type.name == "kprobe"
        inner = getattr(seen, "type", None)
        if inner is None or isinstance(seen, Ptr):
            return False
        seen = btf[inner]
    return seen.name == w.env.prog_type.ctx


def initial_registers(w: Walk, wanted: tuple[Argument, ...]) -> dict[int, Reg]:
    """Return R1 and the following registers at the start of the walk of a global function."""
    found = {}
    for at, item in enumerate(wanted, 1):
        if item.kind == "ctx":
            found[at] = pointer(r.CTX)
        elif item.kind == "scalar":
            found[at] = UNKNOWN_SCALAR
        elif item.struct:
            type = r.BTF_ID | (r.TRUSTED if item.kind == "trusted" else r.UNTRUSTED)
            found[at] = pointer(type | (r.MAYBE_NULL if item.maybe_null else 0), StructType(item.struct),
                                id=w.new_id())
        elif item.kind == "untrusted":
            found[at] = pointer(r.MEM | r.RDONLY | r.UNTRUSTED, 0)
        elif item.kind == "dynptr":
            found[at] = pointer(r.DYNPTR, DynptrState("local", True, w.new_id(), 0))
        else:
            found[at] = pointer(r.MEM | (r.MAYBE_NULL if item.maybe_null else 0), item.size,
                                id=w.new_id() if item.maybe_null else 0)
    return found


def match_arguments(w: Walk, subprog: Subprog) -> Refuse | None:
    """Return the refusal if the caller's registers do not fit the prototype (btf_check_func_arg_match), or None."""
    try:
        for number, item in enumerate(arguments(w, subprog), 1):
            try:
                _fits(w, number, item)
            except Refuse as refused:
                raise refused.about(number)  # noqa: B904 (it is the same one)
    except Refuse as refused:
        if refused.errno == EFAULT or isinstance(refused, Unsupported):
            raise
        return refused
    return None


def match_static(w: Walk, subprog: Subprog) -> None:
    """Log a call that does not fit a static function's prototype; the kernel reports it without rejecting it.

    Raises:
        Refuse: the prototype expects arguments on the stack.
    """
    on_stack(w, subprog)
    if subprog.index in w.found.unreliable or subprog.is_global:
        return
    try:
        for number, item in enumerate(_of_static(w, subprog), 1):
            _fits(w, number, item)
    except Refuse as refused:
        w.found.unreliable.add(subprog.index)
        for text in refused.lines:
            w.log.line(text)


def _of_static(w: Walk, subprog: Subprog) -> tuple[Argument, ...]:
    """Return the prototype of a static function, () if nothing in it is checked."""
    btf = w.env.program.btf
    func = btf[subprog.type_id] if btf is not None and subprog.type_id else None
    proto = btf[func.type] if btf is not None and isinstance(func, Func) else None
    if btf is None or not isinstance(proto, FuncProto) or len(proto.params) > 5:
        return ()
    found = []
    numbers = (Int, Enum, Enum64)
    results = (*numbers, Void) if w.env.rules.void_global_functions else numbers
    if not isinstance(btf.resolved(proto.return_type), results):
        return ()
    for param in proto.params:
        type = btf.resolved(param.type)
        if isinstance(type, numbers):
            found.append(Argument("scalar"))
        elif isinstance(type, Ptr) and _is_context(w, btf, type.type):
            found.append(Argument("ctx"))
        elif isinstance(type, Ptr) and isinstance(btf.resolved(type.type), Struct) \
                and btf.resolved(type.type).name == "bpf_dynptr":
            found.append(Argument("dynptr"))
        else:
            return ()
    return tuple(found)


def _fits(w: Walk, number: int, item: Argument) -> None:
    reg = w.regs[number]
    name = w.env.rules.argument(number)
    if item.kind == "scalar":
        if reg is None or reg.type != SCALAR:
            raise Refuse(p.GLOBAL_FUNCTION_ARGUMENT, EINVAL, f"R{number} is not a scalar")
        return
    if item.kind == "untrusted":
        return  # whatever is there is only read, and reads as 0 where nothing is
    if reg is None:
        reg = r.with_type(UNKNOWN_SCALAR, 0)
    if item.kind == "trusted":
        _trusted(w, number, reg, item)
        return
    if item.kind == "dynptr":
        _dynptr(w, reg, number)
        return
    if item.kind == "ctx":
        args_.offset(w, reg, number)
        if reg.type != r.CTX:
            raise Refuse(p.GLOBAL_FUNCTION_ARGUMENT, EINVAL, f"{name} expects pointer to ctx")
        return
    args_.offset(w, reg, number)
    memory(w, reg, number, item.size)
    if not item.maybe_null and (reg.type & r.MAYBE_NULL or (w.env.rules.refuses_zero and is_null(reg))):
        raise Refuse(p.GLOBAL_FUNCTION_ARGUMENT, EINVAL, f"{name} is expected to be non-NULL")


def _trusted(w: Walk, number: int, reg: Reg, item: Argument) -> None:
    """Check a pointer to an object of the kernel (check_reg_type and check_func_arg_reg_off)."""
    if item.maybe_null and is_null(reg):
        return
    flags = reg.type & ~r.BASE & ~(r.MAYBE_NULL if item.maybe_null else 0)
    if reg.type & r.BASE != r.BTF_ID or flags not in (0, r.TRUSTED, r.RCU):
        raise Refuse(p.GLOBAL_FUNCTION_ARGUMENT, EACCES,
                     f"R{number} type={show.type_of(reg)} expected=ptr_, trusted_ptr_, rcu_ptr_")
    off = reg.off + reg.num.smin
    if reg.what.btf is not None or not struct_walk.fits(w, reg.what.name, off, item.struct, strict=False):
        raise Refuse(p.GLOBAL_FUNCTION_ARGUMENT, EACCES,
                     f"R{number} is of type {reg.what.name} but {item.struct} is expected")
    args_.offset(w, reg, number)


def _dynptr(w: Walk, reg: Reg, number: int) -> None:
    """Check that a register holds an existing dynptr of any kind (process_dynptr_func)."""
    if reg.type not in (r.STACK, r.DYNPTR):
        who = w.env.rules.argument(number)
        raise Refuse(p.GLOBAL_FUNCTION_ARGUMENT, EINVAL, f"{who} expected pointer to stack or const struct bpf_dynptr")
    if dynptrs.state_at(w, reg) is None:
        text = f"Expected an initialized dynptr as {w.env.rules.argument(number, 'arg #')}"
        if reg.type == r.STACK:
            dynptrs.slot_of(w, reg, text)
        raise Refuse(p.GLOBAL_FUNCTION_ARGUMENT, EINVAL, text)
    dynptrs.touch(w, reg)


def memory(w: Walk, reg: Reg, number: int, size: int) -> None:
    """Check that the register points to memory that may be read and written (check_mem_reg)."""
    if is_null(reg):
        return
    plain = r.with_type(reg, reg.type & ~r.MAYBE_NULL)
    try:
        args_.memory(w, Access(plain, number, 0, size), Use(zero_ok=True, dead_ok=True))
        args_.memory(w, Access(plain, number, 0, size), Use(write=True, zero_ok=True))
    except Refuse as refused:
        raise Refuse(refused.property, EINVAL, *refused.lines) from refused


def check_exception_callback(w: Walk, subprog: Subprog, wanted: tuple[Argument, ...]) -> None:
    """Check that an exception callback takes one number and returns one."""
    if subprog.index != w.env.exception_cb:
        return
    if returns_void(w, subprog):
        raise Refuse(p.EXCEPTION_CALLBACK, EINVAL, "exception cb cannot return void")
    if len(wanted) != 1 or wanted[0].kind != "scalar":
        raise Refuse(p.EXCEPTION_CALLBACK, EINVAL, "exception cb only supports single integer argument")
