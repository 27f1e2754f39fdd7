"""Arguments of kfuncs (check_kfunc_args and get_kfunc_ptr_arg_type, kernel/bpf/verifier.c).

The requirements on an argument follow from the prototype, from the suffix of its name and, for plain pointers, from
the register: a pointer to a kernel struct is compared by type, and any other pointer leads to memory of numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.verifier.calling import families
from ebpfvm.verifier.calling import helper_args as args_
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import SCALAR, UNKNOWN_SCALAR, Reg, is_null
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.memory import btf_access, regions, struct_walk
from ebpfvm.verifier.memory.uses import Access, Use

if TYPE_CHECKING:
    from ebpfvm.contract.kfunc import KfuncParam
    from ebpfvm.verifier.calling.call_meta import KfuncCall
    from ebpfvm.verifier.machine.walk import Walk

_INTS = {"s8": 1, "u8": 1, "bool": 1, "char": 1, "s16": 2, "u16": 2, "s32": 4, "u32": 4, "int": 4, "unsigned int": 4,
         "s64": 8, "u64": 8, "long": 8, "unsigned long": 8, "size_t": 8, "__u8": 1, "__u16": 2, "__u32": 4,
         "__u64": 8, "__s8": 1, "__s16": 2, "__s32": 4, "__s64": 8, "__be16": 2, "__be32": 4, "__be64": 8,
         "unsigned char": 1, "long long": 8, "unsigned long long": 8}
# Structs of plain numbers, which are memory: name -> bytes.
PLAIN = {"struct bpf_sock_tuple": 36, "struct bpf_ct_opts": 16, "union nf_inet_addr": 16,
         "struct bpf_xfrm_state_opts": 36, "struct bpf_tcp_req_attrs": 20, "enum xdp_rss_hash_type": 4,
         "struct xdp_md": 24}
# The structs that pointers other than BTF pointers refer to (reg2btf_ids).
_STRUCTS = {r.SOCKET: "sock", r.SOCK_COMMON: "sock_common", r.TCP_SOCK: "tcp_sock", r.MAP_PTR: "bpf_map"}
_KINDS = {"struct": "STRUCT", "union": "UNION", "enum": "ENUM"}
_PROJECTIONS = {("__sk_buff", "sk_buff"), ("xdp_md", "xdp_buff")}
_UNSET = Reg(0, UNKNOWN_SCALAR.num)  # a register without a value; only its type is meaningful


def name_of(w: Walk, at: int) -> str:
    """Return how a message names argument `at` (from 1)."""
    return w.env.rules.argument(at)


def check(w: Walk, made: KfuncCall) -> None:
    """Check all arguments in order."""
    params = made.kfunc.params
    at = 0
    while at < len(params):
        param = params[at]
        at += 1
        if param.suffixes & {"ign", "prog"}:
            continue
        if at > 5:
            raise unsupported("stack arguments of kernel functions")
        reg = w.regs[at] or _UNSET
        try:
            if not param.pointers:
                _scalar(w, made, at, param, reg)
            elif _pointer(w, made, at, param, reg):
                at += 1  # its size was checked together with it
        except Refuse as refuse:
            raise refuse.about(at)  # noqa: B904 (it is the same one)
    if "release" in made.kfunc.flags and not made.release_at and not w.env.rules.one_release_check:
        raise Refuse(p.RELEASE_UNOWNED, EINVAL,
                     f"release kernel function {made.kfunc.name} expects refcounted PTR_TO_BTF_ID")


def _scalar(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    if reg.type != SCALAR:
        raise Refuse(p.ARGUMENT_TYPE, EINVAL, f"R{at} is not a scalar")
    if "k" in param.suffixes:
        if reg.num.mask:
            raise Refuse(p.CONSTANT_ARGUMENT, EINVAL, f"R{at} must be a known constant")
        w.precise(at)
        made.constant = reg.num.value


def _pointer(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> bool:
    """Check one pointer, and return whether the next argument is its size and has been checked too."""
    kfunc = made.kfunc
    strict = bool(kfunc.flags & {"trusted_args", "rcu", "release"}) or w.env.rules.kfuncs_trust_arguments
    may_be_null = bool(param.suffixes & {"nullable", "opt"})
    if strict and (is_null(reg) or reg.type & r.MAYBE_NULL) and not may_be_null:
        number = w.env.rules.argument(at, "arg")
        raise Refuse(p.NULL_ARGUMENT, EACCES, f"Possibly NULL pointer passed to trusted {number}")
    _note_reference(w, made, at, reg)
    size = _size_of(w, made, at)
    special = None if _is_context(w, param) else families.special_argument(param)
    if "nullable" in param.suffixes and is_null(reg) and size is None:
        return False
    is_object = special is None and not _is_context(w, param) and not _is_slot(made, at, param) and (
        reg.type & r.BASE == r.BTF_ID or reg.type & r.BASE in _STRUCTS)
    if is_object and not param.struct and param.pointers == 1:
        raise Refuse(p.ARGUMENT_TYPE, EINVAL,
                     f"kernel function {kfunc.name} {_args(w, at)} pointer type {_kind(param)} is not "
                     "supported")
    if special is None and not is_object and not _is_context(w, param) and not _is_slot(made, at, param):
        _numbers(w, at, param, size)
    if is_object or "alloc" in param.suffixes:
        _trusted(made, at, reg, strict)
    _offset(w, made, at, reg)
    if special is not None:
        special(w, made, at, param, reg)
    elif _is_context(w, param):
        if reg.type != r.CTX:
            raise Refuse(p.ARGUMENT_TYPE, EINVAL,
                         f"{name_of(w, at)} expected pointer to ctx, but got {r.type_name(reg.type)}")
    elif _is_slot(made, at, param):
        _slot(w, made, at, reg)
    elif is_object:
        _object(w, made, at, param, reg)
    elif size is not None:
        _sized(w, made, at, param, size)
        return True
    else:
        _memory(w, at, param, reg)
    return False


def _size_of(w: Walk, made: KfuncCall, at: int) -> Reg | None:
    """Return the register with the size of the memory in R`at`, if the prototype has one and it is a number."""
    params = made.kfunc.params
    if at >= len(params) or params[at].pointers or not params[at].suffixes & {"sz", "szk"}:
        return None
    size = w.regs[at + 1] or _UNSET
    return size if size.type == SCALAR else None


def _is_slot(made: KfuncCall, at: int, param: KfuncParam) -> bool:
    return "kptr_get" in made.kfunc.flags and at == 1 and param.pointers == 2


def _is_context(w: Walk, param: KfuncParam) -> bool:
    """Return whether the parameter is the context of programs of this type (btf_is_prog_ctx_type)."""
    return bool(param.struct) and param.struct == w.env.prog_type.ctx


def _kind(param: KfuncParam) -> str:
    """Return how a message names the type that a pointer points to."""
    word, _, name = param.type.rpartition(" ")
    if param.type == "void":
        return "UNKNOWN "
    return f"{_KINDS.get(word, 'INT')} {name}"


def _args(w: Walk, at: int) -> str:
    return w.env.rules.argument(at, "args#")


def _numbers(w: Walk, at: int, param: KfuncParam, size: Reg | None) -> None:
    """Check that memory consists of numbers or structs of numbers; it may be anything if its size is passed."""
    if param.type in _INTS or param.type in PLAIN or (size is not None and param.type == "void"):
        return
    what = "void, " if size is not None else ""
    raise Refuse(p.ARGUMENT_TYPE, EINVAL,
                 f"{name_of(w, at)} pointer type {_kind(param)} must point to {what}scalar, or struct with "
                 "scalar")


def _trusted(made: KfuncCall, at: int, reg: Reg, strict: bool) -> None:
    """Check that a pointer is trusted or referenced, since kfuncs rely on no others."""
    if not strict or r.is_trusted(reg):
        return
    if "rcu" not in made.kfunc.flags:
        raise Refuse(p.UNTRUSTED_POINTER, EINVAL, f"R{at} must be referenced or trusted")
    if not reg.type & r.RCU:
        raise Refuse(p.UNTRUSTED_POINTER, EINVAL, f"R{at} must be a rcu pointer")


def _offset(w: Walk, made: KfuncCall, at: int, reg: Reg) -> None:
    """Check the offset of a pointer argument (check_func_arg_reg_off)."""
    if "release" in made.kfunc.flags and reg.ref:
        if reg.off or (w.env.rules.offset_in_var_off and (reg.num.mask or reg.num.value)):
            raise Refuse(p.MODIFIED_POINTER, EINVAL,
                         f"R{at} must have zero offset when passed to release func or trusted arg to kfunc")
        regions.unmodified(w, reg, at)
    else:
        args_.offset(w, reg, at)


def _note_reference(w: Walk, made: KfuncCall, at: int, reg: Reg) -> None:
    kfunc = made.kfunc
    if "release" in kfunc.flags and not made.release_at:
        if not reg.ref and w.env.rules.one_release_check and _releases(made, at):
            raise Refuse(p.RELEASE_UNOWNED, EINVAL,
                         f"release kfunc {kfunc.name} expects referenced PTR_TO_BTF_ID passed to R{at}")
        if reg.ref:
            made.release_at = at
    if reg.ref:
        made.ref = reg.ref


def _releases(made: KfuncCall, at: int) -> bool:
    """Return whether R`at` is what a release kfunc releases: the first pointer, unless it takes several."""
    return at == next(i for i, param in enumerate(made.kfunc.params, 1) if param.pointers)


def _slot(w: Walk, made: KfuncCall, at: int, reg: Reg) -> None:
    """Check a kptr slot of a map value (KF_KPTR_GET, Linux 6.1)."""
    if reg.type & r.BASE != r.MAP_VALUE or reg.type & r.MAYBE_NULL:
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"arg#{at - 1} expected pointer to map value")
    if reg.num.mask:
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"arg#{at - 1} must have constant offset")
    off = reg.off + reg.num.smin
    found = next((item for item in reg.what.fields if item.is_kptr and item.off == off), None)
    if found is None or found.kind != "kptr_ref":
        raise Refuse(p.FIELD_ARGUMENT, EINVAL, f"arg#{at - 1} no referenced kptr at map value offset={off}")
    made.slot = found
    wanted, has = made.kfunc.params[at - 1].struct, btf_access.struct_of(w, found)
    if has.name != wanted:
        raise Refuse(p.ARGUMENT_TYPE, EINVAL,
                     f"kernel function {made.kfunc.name} args#{at - 1} expected pointer to STRUCT {wanted} but "
                     f"R{at} has a pointer to STRUCT {has.name}")


def _object(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    """Check a pointer to a kernel struct, or to one that begins with it (process_kf_arg_ptr_to_btf_id)."""
    base, wanted = reg.type & r.BASE, param.struct
    if base == r.BTF_ID and reg.type & ~r.BASE & ~r.TRUSTED_FLAGS and not reg.type & r.RCU:
        plain = r.type_name(base | reg.type & r.TRUSTED_FLAGS)
        raise Refuse(p.ARGUMENT_TYPE, EINVAL, f"{name_of(w, at)} is {r.type_name(reg.type)} expected {plain} or socket")
    has = reg.what.name if base == r.BTF_ID else _STRUCTS[base]
    strict = "release" in made.kfunc.flags and bool(reg.ref)
    own = base == r.BTF_ID and reg.what.btf is not None
    if not own and struct_walk.fits(w, has, reg.off, wanted, strict):
        return
    if not own and (wanted, has) in _PROJECTIONS:
        _note_search(w, has, reg.off)
        return
    raise Refuse(p.ARGUMENT_TYPE, EINVAL,
                 f"kernel function {made.kfunc.name} {_args(w, at)} expected pointer to STRUCT {wanted} but "
                 f"R{at} has a pointer to STRUCT {has}")


def _note_search(w: Walk, struct: str, off: int) -> None:
    """Log what a kernel says when it looks for a struct inside of another one and does not find it."""
    try:
        struct_walk.load_plain(w, struct, off, 1)
    except Refuse as refused:
        for line in refused.lines:
            w.log.note(line)


def _memory(w: Walk, at: int, param: KfuncParam, reg: Reg) -> None:
    """Check memory of the size of the pointed-to type (check_mem_reg)."""
    if is_null(reg):
        return
    length = _INTS.get(param.type) or PLAIN[param.type]
    plain = r.with_type(reg, reg.type & ~r.MAYBE_NULL)
    args_.memory(w, Access(plain, at, 0, length), Use(zero_ok=True, dead_ok=True))
    args_.memory(w, Access(plain, at, 0, length), Use(write=True, zero_ok=True))


def _sized(w: Walk, made: KfuncCall, at: int, param: KfuncParam, size: Reg) -> None:
    """Check memory together with its size (check_kfunc_mem_size_reg)."""
    buffer = w.regs[at] or _UNSET
    if not is_null(buffer) or "opt" not in param.suffixes:
        try:
            args_.sized(w, size, at + 1, Use(zero_ok=True))
            args_.sized(w, size, at + 1, Use(write=True, zero_ok=True))
        except Refuse as refused:
            both = f"R{at} and R{at + 1}" if w.env.rules.register_names_in_messages else f"arg#{at - 1} arg#{at}"
            raise Refuse(refused.property, refused.errno,
                         *refused.lines, f"{both} memory, len pair leads to invalid memory "
                                                        "access", reg=refused.reg) from refused
    if "szk" in made.kfunc.params[at].suffixes:
        if size.num.mask:
            raise Refuse(p.CONSTANT_ARGUMENT, EINVAL, f"R{at + 1} must be a known constant")
        made.constant = size.num.value
