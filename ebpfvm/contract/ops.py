"""Declare structs of operations that programs of type struct_ops fill (struct bpf_struct_ops, include/linux/bpf.h).

A member that programs may implement is declared by its C prototype, with the suffixes of the kernel's own stub
functions: `skb__ref` belongs to the program from the start, `opt__nullable` may be NULL. The rules for the programs of
that member follow from it: the context, what may be returned, and which kernel functions may be called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract.kfunc import parse_prototype
from ebpfvm.contract.progtype import CtxField
from ebpfvm.lazy_dataclasses import dataclass, field, replace
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.contract.kfunc import KfuncParam
    from ebpfvm.contract.progtype import ProgType, Writable

PROBES: Final = "probes"
"""Among the facts of a verdict: the slots of loads that yield 0 where nothing can be read (BPF_PROBE_MEM)."""

ACCESSES: Final = "struct_accesses"
"""Among the facts of a verdict: the accesses to structs, a set of `StructAccess`."""


class StructAccess(NamedTuple):
    """An access of an accepted program to a struct.

    Attributes:
        pc: slot of the instruction.
        struct: name of the struct.
        own: whether it is a struct of the program, and not of the kernel.
        off, size: bytes that are accessed.
        write: whether they are written.
        borrowed: whether nothing keeps the struct alive (PTR_UNTRUSTED).
    """

    pc: int
    struct: str
    own: bool
    off: int
    size: int
    write: bool
    borrowed: bool


@dataclass(frozen=True, slots=True)
class OpsMember:
    """A member that programs may implement.

    Attributes:
        name: of the member.
        params, ret: its prototype.
        kfuncs: those kernel functions of the struct's own (`OpsStruct.kfuncs`) that it may call.
        retyped: parameters whose type the kernel changes, so that the walk does not look them up in the prototype;
            it does not look at the size of a read either (bpf_qdisc_is_valid_access).
        saves_context: whether the kernel keeps the context for instructions that it appends (gen_epilogue), which takes
            8 bytes of stack.
        doc: what the kernel calls it for.
    """

    name: str
    params: tuple[KfuncParam, ...]
    ret: KfuncParam
    kfuncs: frozenset[str] = frozenset()
    retyped: frozenset[str] = frozenset()
    saves_context: bool = False
    doc: str = ""

    def fields(self) -> tuple[CtxField, ...]:
        """Return the context of its programs: the arguments, each in 64 bits."""
        return tuple(self._field(index, param) for index, param in enumerate(self.params))

    def _field(self, index: int, param: KfuncParam) -> CtxField:
        name, owned = param.name.partition("__")[0], "ref" in param.suffixes
        looked_up = bool(param.struct) and not owned and name not in self.retyped
        return CtxField(name, 8 * index, 8, narrow=False, access="btf" if param.pointers else "scalar",
                        struct=param.struct, owned=owned, maybe_null="nullable" in param.suffixes,
                        argument=f"func '{self.name}' arg{index}" if looked_up else "",
                        unchecked=name in self.retyped)


@dataclass(frozen=True, slots=True)
class OpsStruct:
    """A struct of operations.

    Attributes:
        name: of the struct.
        members: those that programs may implement, by name.
        kfuncs: kernel functions that only some members may call.
        writable: struct of the kernel -> the parts of it that programs may write (btf_struct_access).
        required: members without which it cannot be registered.
        doc: what it is for.
    """

    name: str
    members: Mapping[str, OpsMember]
    kfuncs: frozenset[str] = frozenset()
    writable: Mapping[str, tuple[Writable, ...]] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    doc: str = ""

    def prog_type(self, base: ProgType, name: str) -> ProgType:
        """Return the rules for programs of the member `name`, which must exist."""
        member = self.members[name]
        fields = member.fields()
        return replace(base, judged=True, ctx_size=8 * len(fields), fields=fields,
                       kfuncs=base.kfuncs - (self.kfuncs - member.kfuncs), writable=self.writable,
                       returns=(0, 0) if member.ret.struct else None, gives=member.ret.struct,
                       returns_void=member.ret.type == "void", saves_context=member.saves_context)


def member(prototype: str, doc: str, *, kfuncs: frozenset[str] = frozenset(), retyped: str = "",
           saves_context: bool = False) -> OpsMember:
    """Declare a member by its C prototype; the options are the attributes of `OpsMember`.

    Raises:
        InternalError: at import, if the prototype is malformed.
    """
    return OpsMember(*parse_prototype(prototype), kfuncs, frozenset(retyped.split()), saves_context, doc)
