"""Pointers of which registers hold the Python object in place of the address.

Programs that fill struct_ops have pointers to packets, to their qdisc, and to the objects that they allocate. A
register, or a variable of the frame, with a pointer of kind "held" contains the object (None or 0 for NULL), however
far into the object it points; the offset is known. All origins of one type are the same one, so that what comes from
two places stays known where they meet. What is an object in one place and an address in another is "mixed"; the address
is computed when something wants a number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.btf import types as t
from ebpfvm.engine.translate.ranges import PtrOrigin, PtrRange, number_of
from ebpfvm.errors import LoadError
from ebpfvm.kernel.kernel_structs import structs_of
from ebpfvm.kernel.object_types import ObjectType
from ebpfvm.kernel.struct_layout import StructLayout
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from ebpfvm.btf.fields import Field
    from ebpfvm.btf.types import Btf
    from ebpfvm.contract.helper import Helper
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.contract.progtype import CtxField
    from ebpfvm.engine.translate.ranges import Abs, RangeState
    from ebpfvm.kernel.program import LoadedProgram

_STRUCTS: Final = ("sk_buff", "Qdisc", "bpf_sk_buff_ptr")
_FOUND: Final = ("pop_front", "pop_back", "first", "last", "unlink")


class NeverHeld(Exception):
    """A value is needed of which nobody knows the address, so the program must be translated without objects."""


def address(value: Any, off: int) -> int:
    """Return the address `off` bytes into an object, or the address itself; 0 for NULL."""
    if isinstance(value, int):
        return value
    found: int = 0 if value is None else value.ptr + off
    return found


class Calls(Protocol):
    """What there is to know about the calls of a program; see `Unit`."""

    prog: LoadedProgram
    callbacks: set[int]

    def helper(self, pc: int) -> Helper | None: ...

    def kfunc(self, pc: int) -> Kfunc | None: ...

    def may_acquire(self, entry: int) -> bool: ...


class Root(NamedTuple):
    """The head of a list or root of a tree that an argument points to.

    Attributes:
        kind: the type of its objects.
        at: offset of their node.
        cell: the cell of the node.
    """

    kind: ObjectType
    at: int
    cell: int


class HeldPointers:
    """The types of held pointers of one program."""

    def __init__(self, unit: Calls) -> None:
        kind = unit.prog.type
        self.unit = unit
        self.used = kind is not None and kind.fills
        self._origins: dict[int, PtrOrigin] = {}

    def to(self, kind: StructLayout | ObjectType, off: int = 0) -> PtrRange:
        """Return a pointer to objects of a type."""
        found = self._origins.get(id(kind))
        if found is None:
            found = self._origins[id(kind)] = PtrOrigin(f"held_{kind.name}", "held", maybe_null=True, held=kind)
        return PtrRange(found, off, off)

    def argument(self, field: CtxField) -> PtrRange | None:
        """Return what a member of the context is, if objects of that type are known."""
        if not self.used or field.access != "btf" or field.struct not in _STRUCTS:
            return None
        return self.to(structs_of(self.unit.prog.kernel).layout(field.struct))

    def result(self, pc: int, state: RangeState) -> PtrRange | None:
        """Return what the call at `pc` returns, if objects of that type are known."""
        if not self.used:
            return None
        kfunc, helper = self.unit.kfunc(pc), self.unit.helper(pc)
        if helper is not None and helper.role == "kptr_xchg":
            field = self.slot(state.regs[1])
            return None if field is None else self._pointee(state.regs[1], field)
        if kfunc is None:
            return None
        if kfunc.role == "obj_new":
            made = self.new(state)
            return None if made is None else self.to(made)
        first = state.regs[1]
        if kfunc.role == "refcount_acquire" and isinstance(first, PtrRange) and first.origin.kind == "held" \
                and not first.lo:
            return first
        if kfunc.expands not in _FOUND:
            return None
        root = self.root(first)
        if root is None or (kfunc.expands == "unlink" and not self.is_node(state.regs[2], root)):
            return None
        return self.to(root.kind, root.at)

    def new(self, state: RangeState) -> ObjectType | None:
        """Return the type of the object that is allocated."""
        type_id, btf = number_of(state.regs[1]), self.unit.prog.program.btf
        if type_id.lo != type_id.hi or btf is None:
            return None
        try:
            return self.unit.prog.kernel.graph.type_of(btf, type_id.lo)
        except LoadError:  # no struct: no path comes here, which the verifier knows and the translator does not
            return None

    def slot(self, value: Abs) -> Field | None:
        """Return the kptr that a value points to, if it is known, and owns what it points to."""
        found = self._field(value)
        return found if found is not None and found.kind == "kptr_ref" else None

    def _pointee(self, value: Abs, field: Field) -> PtrRange | None:
        kernel, btf = self.unit.prog.kernel, self._btf(value)
        if field.struct == "sk_buff":
            return self.to(structs_of(kernel).layout("sk_buff"))
        types = kernel.dialect.types
        if btf is None or types is None or types().find(field.struct, t.Kind.STRUCT) is not None:
            return None  # a struct of the kernel
        return self.to(kernel.graph.type_of(btf, field.type_id))

    def root(self, value: Abs) -> Root | None:
        """Return the list or tree that a value points to."""
        field = self._field(value)
        if field is None or field.kind not in ("list_head", "rb_root"):
            return None
        btf, graph = self._btf(value), self.unit.prog.kernel.graph
        if btf is None or (graph.shaped and field.kind == "rb_root"):
            return None
        kind = graph.type_of(btf, field.type_id)
        cell = kind.shape.nodes.get(field.node_offset)
        return None if cell is None else Root(kind, field.node_offset, cell)

    def is_node(self, value: Abs, root: Root) -> bool:
        """Return whether a value points to a node of the objects of a list or tree."""
        return isinstance(value, PtrRange) and value.origin.held is root.kind and value.lo == value.hi == root.at

    def _field(self, value: Abs) -> Field | None:
        """Return the special field that a value points to."""
        if not isinstance(value, PtrRange) or value.lo != value.hi:
            return None
        off, origin = value.lo, value.origin
        fields: tuple[Any, ...] = ()
        if origin.kind == "held" and isinstance(origin.held, ObjectType):
            fields = origin.held.fields
        elif origin.kind == "const":
            fields = getattr(origin.region.owner, "fields", ())
        elif origin.kind == "plain" and origin.start == 0 and origin.map is not None and origin.map.found is not None:
            fields = origin.fields
        return next((field for field in fields if field.offset == off), None)

    def _btf(self, value: Abs) -> Btf | None:
        """Return the BTF that describes what a value points to."""
        assert isinstance(value, PtrRange)
        origin = value.origin
        if origin.kind == "held":
            return origin.held.btf if isinstance(origin.held, ObjectType) else None
        owner = origin.region.owner if origin.kind == "const" else origin.map.found
        spec = getattr(owner, "spec", None)
        found: Btf | None = getattr(spec, "btf", None)
        return found

    def sorts(self, pc: int, state: RangeState) -> tuple[int, Root] | None:
        """Return the entry of the function that orders a tree, and the tree, if the insertion at `pc` can be expanded.

        The function then gets the objects of two nodes.
        """
        kfunc = self.unit.kfunc(pc)
        if not self.used or kfunc is None or kfunc.expands != "insert_sorted":
            return None
        root, less = self.root(state.regs[1]), number_of(state.regs[3])
        target = less.lo - self.unit.prog.func_base
        if root is None or not self.is_node(state.regs[2], root) or less.lo != less.hi \
                or target not in self.unit.callbacks or self.unit.may_acquire(target):
            return None
        return target, root
