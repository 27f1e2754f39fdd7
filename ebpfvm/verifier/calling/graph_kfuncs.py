"""Objects that a program allocates, and lists and trees of them (bpf_obj_new, bpf_list_*, bpf_rbtree_*).

Source: check_kfunc_args, process_kf_arg_ptr_to_graph_*, ref_convert_owning_non_owning of kernel/bpf/verifier.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.fields import STRUCT_KINDS
from ebpfvm.btf.types import Array, Enum, Enum64, Int, Struct, Union
from ebpfvm.errnos import EINVAL
from ebpfvm.ints import U32_MAX
from ebpfvm.verifier.calling import locks
from ebpfvm.verifier.calling.locks import in_tree_callback
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import references
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import Reg, pointer
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.memory import regions

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.btf.types import Btf, Type
    from ebpfvm.contract.kfunc import KfuncParam
    from ebpfvm.verifier.calling.call_meta import KfuncCall
    from ebpfvm.verifier.machine.special_fields import Special, StructType
    from ebpfvm.verifier.machine.state import Frame
    from ebpfvm.verifier.machine.walk import Walk

OBJECT = r.BTF_ID | r.ALLOC
_MOST_PERCPU = 512  # BPF_GLOBAL_PERCPU_MA_MAX_SIZE


def _name(w: Walk, at: int) -> str:
    return w.env.rules.argument(at)


def _is_object(reg: Reg) -> bool:
    """Return whether a register points to an allocated object; kfuncs that refuse NULL have checked that before."""
    return reg.type & r.BASE == r.BTF_ID and bool(reg.type & r.ALLOC) and not reg.type & r.PERCPU


def root(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    """Check a list head or tree root, whose lock must be held."""
    name, kind = param.struct, STRUCT_KINDS[param.struct]
    is_map = reg.type == r.MAP_VALUE
    if not is_map and reg.type != OBJECT:
        raise Refuse(p.GRAPH_ARGUMENT, EINVAL, f"{_name(w, at)} expected pointer to map value or allocated object")
    if not is_map and not reg.ref:
        raise Refuse(p.RELEASE_UNOWNED, EINVAL, "allocated object must be referenced")
    if reg.num.mask:
        raise Refuse(p.GRAPH_ARGUMENT, EINVAL,
                     f"R{at} doesn't have constant offset. {name} has to be at the constant offset")
    off = reg.off + reg.num.smin
    field = next((item for item in locks.fields_of(reg) if item.kind == kind and item.off == off), None)
    if field is None:
        raise Refuse(p.GRAPH_ARGUMENT, EINVAL, f"{name} not found at offset={off}")
    _locked(w, reg, name)
    made.slot = field


def _locked(w: Walk, reg: Reg, name: str) -> None:
    owner, lines = locks.owner_of(reg), []
    if w.state.locks:
        if any(ref.kind in locks.LOCKS and ref.id == reg.id and ref.ptr is owner for ref in w.state.refs):
            return
        lines.append("held lock and object are not in the same allocation")
    # The message only considers the plain lock; without one, the kernel prints -EINVAL as its offset.
    off = next((item.off for item in locks.fields_of(reg) if item.kind == "spin_lock"), -EINVAL)
    raise Refuse(p.GRAPH_LOCK, EINVAL, *lines, f"bpf_spin_lock at off={off} must be held for {name}")


def node(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    """Check a node of an object: owned, or borrowed if it is only read or removed."""
    name, kind = param.struct, STRUCT_KINDS[param.struct]
    if made.kfunc.role != "graph_put" or at > 2:  # the node after which another is inserted stays in its list
        if kind == "list_node" and not _is_object(reg):
            raise Refuse(p.GRAPH_ARGUMENT, EINVAL, f"{_name(w, at)} expected pointer to allocated object")
        if not w.env.rules.removes_owned:
            _borrowed(reg)
        elif not _is_object(reg) or not (reg.ref or reg.type & r.NON_OWN_REF):
            raise Refuse(p.GRAPH_ARGUMENT, EINVAL,
                         f"{made.kfunc.name} can only take non-owning or refcounted {name} pointer")
        if in_tree_callback(w):
            shown = made.kfunc.name if w.env.rules.removes_owned else "rbtree_remove"
            raise Refuse(p.NOT_IN_CALLBACK, EINVAL, f"{shown} not allowed in rbtree cb")
    else:
        if reg.type != OBJECT:
            raise Refuse(p.GRAPH_ARGUMENT, EINVAL, f"{_name(w, at)} expected pointer to allocated object")
        if not reg.ref:
            raise Refuse(p.RELEASE_UNOWNED, EINVAL, "allocated object must be referenced")
    if reg.num.mask:
        raise Refuse(p.GRAPH_ARGUMENT, EINVAL,
                     f"R{at} doesn't have constant offset. {name} has to be at the constant offset")
    off = reg.off + reg.num.smin
    if not any(item.kind == kind and item.off == off for item in locks.fields_of(reg)):
        raise Refuse(p.GRAPH_ARGUMENT, EINVAL, f"{name} not found at offset={off}")
    _belongs(w, made, reg, name, off)


def _belongs(w: Walk, made: KfuncCall, reg: Reg, name: str, off: int) -> None:
    field = made.slot
    if field is None:
        made.extra["node"] = reg
        return
    wanted = held_struct(w, field)
    owner = next(name for name, kind in STRUCT_KINDS.items() if kind == field.kind)
    if not (reg.what.btf is wanted.btf and reg.what.type_id == wanted.type_id):
        raise Refuse(p.GRAPH_ARGUMENT, EINVAL,
                     f"operation on {owner} expects arg#1 {name} at offset={field.node_off} in struct "
                     f"{wanted.name}, but arg is at offset={off} in struct {reg.what.name}")
    if off != field.node_off:
        raise Refuse(p.GRAPH_ARGUMENT, EINVAL,
                     f"arg#1 offset={off}, but expected {name} at offset={field.node_off} in struct "
                     f"{wanted.name}")


def held_struct(w: Walk, field: Special) -> StructType:
    """Return the struct that a list or tree holds."""
    assert field.btf is not None
    return w.env.local_struct(field.btf, field.type_id)


def owned(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    """Check an allocated object whose ownership is transferred (__alloc)."""
    percpu = made.kfunc.role == "percpu_obj_drop"
    if reg.type not in (OBJECT, OBJECT | r.PERCPU):
        raise Refuse(p.ARGUMENT_TYPE, EINVAL, f"{_name(w, at)} expected pointer to allocated object")
    if bool(reg.type & r.PERCPU) != percpu:
        raise Refuse(p.ARGUMENT_TYPE, EINVAL, f"{_name(w, at)} expected for {_dropper(w, not percpu)}()")
    if not reg.ref:
        raise Refuse(p.RELEASE_UNOWNED, EINVAL, "allocated object must be referenced")
    if reg.off or reg.num.mask or reg.num.value:
        raise Refuse(p.MODIFIED_POINTER, EINVAL,
                     f"R{at} must have zero offset when passed to release func or trusted arg to kfunc")
    regions.unmodified(w, reg, at)


def _borrowed(reg: Reg) -> None:
    """Refuse anything but a node of a tree that the program does not own."""
    if not _is_object(reg) or not reg.type & r.NON_OWN_REF or reg.ref:
        raise Refuse(p.GRAPH_ARGUMENT, EINVAL, "rbtree_remove node input must be non-owning ref")


def _dropper(w: Walk, percpu: bool) -> str:
    return f"bpf_{'percpu_' * percpu}obj_drop{'' if w.env.rules.implicit_kfunc_arguments else '_impl'}"


def counted(w: Walk, made: KfuncCall, at: int, param: KfuncParam, reg: Reg) -> None:
    """Check an object with a reference count (__refcounted_kptr)."""
    if w.env.rules.counted_at_start and reg.type & r.BASE == r.BTF_ID:
        regions.unmodified(w, reg, at)
    if not _is_object(reg):
        raise Refuse(p.ARGUMENT_TYPE, EINVAL, f"{_name(w, at)} is neither owning or non-owning ref")
    if not any(item.kind == "refcount" for item in reg.what.fields):
        raise Refuse(p.ARGUMENT_TYPE, EINVAL, f"{_name(w, at)} doesn't point to a type with bpf_refcount field")
    made.extra["object"] = reg


# -- effects and results --------------------------------------------------------------------------------------------


def borrowed(reg: Reg, keep_id: bool = True) -> Reg:
    """Return a pointer to the same object without ownership (ref_set_non_owning)."""
    type = reg.type | r.NON_OWN_REF
    if any(item.kind == "refcount" for item in reg.what.fields):
        type |= r.RCU
    return Reg(type, reg.num, reg.off, reg.id if keep_id else 0, 0, reg.what, reg.aux)


def put_in(w: Walk, made: KfuncCall) -> None:
    """Transfer the ownership of an object to a list or tree; the program's pointers become borrowed."""
    reg = w.regs[2]
    assert reg is not None
    ref, keep_id = reg.ref, not w.env.rules.reference_tree  # where the id is that of the reference, it goes with it
    references.replace_regs(w.state, lambda item: borrowed(item, keep_id) if item.ref == ref else item)
    references.drop_ref(w.state, ref)


def new_object(w: Walk, made: KfuncCall) -> Reg:
    """Return the result of bpf_obj_new: a struct of the program."""
    type_id, btf = made.constant, w.env.program.btf
    if type_id is None or type_id > U32_MAX:
        raise Refuse(p.BTF_TYPE_ARGUMENT, EINVAL, "local type ID argument must be in range [0, U32_MAX]")
    if btf is None:
        raise Refuse(p.BTF_TYPE_ARGUMENT, EINVAL, "bpf_obj_new/bpf_percpu_obj_new requires prog BTF")
    if not 0 < type_id < len(btf) or not isinstance(btf[type_id], Struct):
        raise Refuse(p.BTF_TYPE_ARGUMENT, EINVAL, "bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct")
    type, what = OBJECT, w.env.local_struct(btf, type_id)
    if made.kfunc.role == "percpu_obj_new":
        type |= r.PERCPU
        _percpu_struct(btf, btf[type_id], what)
    w.new_id()
    ref = references.acquire(w)
    return pointer(type | r.MAYBE_NULL, what, id=ref, ref=ref)


def _percpu_struct(btf: Btf, found: Type, what: StructType) -> None:
    """Check that a per-CPU object holds only numbers."""
    assert isinstance(found, Struct)
    if found.size > _MOST_PERCPU:
        raise Refuse(p.BTF_TYPE_ARGUMENT, EINVAL,
                     f"bpf_percpu_obj_new type size ({found.size}) is greater than {_MOST_PERCPU}")
    if not _only_numbers(btf, found):
        raise Refuse(p.BTF_TYPE_ARGUMENT, EINVAL, "bpf_percpu_obj_new type ID argument must be of a struct of scalars")
    if what.fields:
        raise Refuse(p.BTF_TYPE_ARGUMENT, EINVAL, "bpf_percpu_obj_new type ID argument must not contain special fields")


def _only_numbers(btf: Btf, found: Struct | Union, depth: int = 0) -> bool:
    """Return whether a struct holds only numbers, arrays of them and such structs, nested at most three deep."""
    for member in found.members:
        kind = btf.resolved(member.type)
        if isinstance(kind, Struct | Union):
            if depth >= 3 or not _only_numbers(btf, kind, depth + 1):
                return False
            continue
        if isinstance(kind, Array):
            kind = btf.resolved(kind.type) if kind.nelems else kind
        if not isinstance(kind, Int | Enum | Enum64):
            return False
    return True


def counted_again(w: Walk, made: KfuncCall) -> Reg:
    """Return the result of bpf_refcount_acquire: NULL only for a borrowed object, which may be about to be freed."""
    reg: Reg = made.extra["object"]
    maybe = not reg.ref if w.env.rules.owner_has_reference else reg.type & r.NON_OWN_REF
    if maybe:
        w.new_id()
    ref = references.acquire(w)
    return pointer(OBJECT | (r.MAYBE_NULL if maybe else 0), reg.what, id=ref, ref=ref)


def taken_out(w: Walk, made: KfuncCall) -> Reg:
    """Return a node that the program now owns, or NULL."""
    what, off = _held(w, made)
    w.new_id()
    ref = references.acquire(w)
    return pointer(OBJECT | r.MAYBE_NULL, what, off=off, id=ref, ref=ref)


def looked_at(w: Walk, made: KfuncCall) -> Reg:
    """Return a node that still belongs to its list or tree, or NULL."""
    what, off = _held(w, made)
    return borrowed(pointer(OBJECT | r.MAYBE_NULL, what, off=off, id=w.new_id()))


def _held(w: Walk, made: KfuncCall) -> tuple[StructType, int]:
    if made.slot is None:
        raise unsupported(f"kernel function {made.kfunc.name}")
    return held_struct(w, made.slot), made.slot.node_off


def less_callback(w: Walk, made: KfuncCall) -> Callable[[Frame, Frame], None]:
    """Return the function that sets the arguments of bool less(struct bpf_rb_node *, const struct bpf_rb_node *)."""
    what, off = _held(w, made)

    def prepare(above: Frame, callee: Frame) -> None:
        callee.regs[1] = callee.regs[2] = borrowed(pointer(OBJECT, what, off=off))
        callee.callback_range = (0, 1)
    return prepare
