"""Declare program types: the context, which functions a program may call, and what it may return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.contract.helper import Helper

Access = Literal["scalar", "pkt", "pkt_meta", "pkt_end", "sock_common_or_null", "sock_or_null", "sock", "flow_keys",
                 "skb", "btf", "tp_buffer"]


@dataclass(frozen=True, slots=True)
class CtxField:
    """A field of a context structure.

    Attributes:
        name: as in the uapi header.
        off, size: bytes; an array is one field with its whole size.
        element: access unit of an array field (e.g. 4 for remote_ip6[4]), 0 for `size`.
        read: readable.
        write: writable, `element` bytes at once unless `write_sizes` says otherwise.
        narrow: reads of a part are allowed (bpf_ctx_narrow_access_ok).
        access: what a read yields.
        write_sizes: sizes allowed for writes, empty for `element` only.
        read_sizes: sizes allowed for reads, empty for `element` (and the smaller powers of two if `narrow`).
        cap: "bpf" if the access needs CAP_BPF.
        width: number of bytes that the kernel's own field keeps of a write (2 for tc_index), 0 for all.
        owned: the program owns the object that it points to from the start, and may give it away (`__ref`).
        maybe_null: it may be NULL (`__nullable`).
        argument: the function and the number of its argument that it is, as the log names them; "" for none.
        loaded: bytes that the kernel's conversion loads for a read, 0 for `size`. A read of at least this many bytes
            is not shifted, wherever in the field it begins (bpf_convert_ctx_accesses).
        from_start: whether a part can only be read from the field's first byte on.
        struct: the kernel's struct that a field with `access` "btf" points to.
        unchecked: whether every read that begins in the field is allowed, whatever its size, and taken for the whole.
    """

    name: str
    off: int
    size: int
    element: int = 0
    read: bool = True
    write: bool = False
    narrow: bool = True
    access: Access = "scalar"
    write_sizes: frozenset[int] = frozenset()
    read_sizes: frozenset[int] = frozenset()
    cap: str = ""
    width: int = 0
    from_start: bool = False
    struct: str = ""
    loaded: int = 0
    owned: bool = False
    maybe_null: bool = False
    argument: str = ""
    unchecked: bool = False

    @property
    def end(self) -> int:
        """The first offset after the field."""
        return self.off + self.size

    def allows(self, off: int, size: int, write: bool) -> bool:
        """Return whether `size` bytes at `off` of the context, which must lie in the field, may be read or written."""
        element = self.element or self.size
        if self.unchecked and not write:
            return True
        if off % size or not (self.write if write else self.read) or (self.from_start and off != self.off):
            return False
        sizes = self.write_sizes if write else self.read_sizes
        if sizes:  # a 4-byte read of a 2-byte port takes its padding along
            return size in sizes and (off == self.off or off + size <= self.end)
        if off + size > self.end:
            return False
        if size == element:
            return (off - self.off) % element == 0
        return not write and self.narrow and size < element and size in (1, 2, 4)


class Writable(NamedTuple):
    """A part of a struct of the kernel that programs may write.

    Attributes:
        path: the member, with dots for members of members: "q.qlen".
        inner: the part that may be written of an array of bytes, as a member of the struct that is kept there:
            "qdisc_skb_cb.data"; "" for all of the member.
        anywhere: whether a write may begin inside of it, and not only at its first byte.
    """

    path: str
    inner: str = ""
    anywhere: bool = False


@dataclass(frozen=True, slots=True)
class ProgType:
    """A program type; dialects determine its number.

    Attributes:
        name: kernel name in lower case: "sched_cls".
        ctx: name of the context structure: "__sk_buff".
        ctx_size: bytes.
        fields: the context's fields, by offset. Per-hook differences are in `attach_fields`.
        attach_fields: attach string -> fields that replace those of the same name.
        helpers: names of the helpers it may call.
        variants: helpers that have another contract for this type than the dialect's table says.
        attach_helpers: attach string -> helpers offered to that hook only, beyond `helpers`.
        kfuncs: names of the kfuncs it may call.
        packet_read, packet_write: direct packet access by load and store.
        helper_packet_read: packet pointers may be memory arguments of helpers with `pkt_access`.
        ld_abs: LD_ABS and LD_IND allowed (may_access_skb).
        returns: allowed range of R0 at exit, None for any scalar.
        attach_returns: attach string or expected attach type -> range, where it differs.
        sleep: whether a program of this type may, or must, be loaded as sleepable.
        traces: may run anywhere, so maps with locks and the like are forbidden (is_tracing_prog_type).
        judged: False if the rules of the type are not modelled, so that its programs are rejected as unsupported.
        ctx_offsets: which offsets the context pointer itself may have: "" none, "fixed" constant ones (for contexts
            that the kernel does not convert), "any" (the context is plain memory of `ctx_size` bytes).
        args: the unmodelled contents of the context of a type without fields, for the message; "" for none.
        writable: struct of the kernel -> the parts of it that programs may write (btf_struct_access).
        gives: the struct of the kernel that the program returns a pointer to, which it must own; or NULL. "" for none.
        returns_void: whether nobody looks at the result.
        fills: whether its programs fill members of structs of operations; a reference in R0 at their end is no leak,
            whatever the member should return.
        saves_context: whether the kernel appends instructions that need the context (gen_epilogue).
        caps: capabilities needed to load it, beyond CAP_BPF: "net_admin", "perfmon"; "unpriv" means that not even
            CAP_BPF is needed.
    """

    name: str
    ctx: str = ""
    ctx_size: int = 0
    fields: tuple[CtxField, ...] = ()
    attach_fields: Mapping[str, tuple[CtxField, ...]] = field(default_factory=dict)
    helpers: frozenset[str] = frozenset()
    kfuncs: frozenset[str] = frozenset()
    packet_read: bool = False
    packet_write: bool = False
    ld_abs: bool = False
    returns: tuple[int, int] | None = None
    attach_returns: Mapping[str, tuple[int, int] | None] = field(default_factory=dict)
    doc: str = ""
    variants: Mapping[str, Helper] = field(default_factory=dict)
    attach_helpers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    helper_packet_read: bool = False
    sleep: Literal["never", "may", "must"] = "never"
    judged: bool = True
    traces: bool = False
    caps: frozenset[str] = frozenset()
    ctx_offsets: Literal["", "fixed", "any"] = ""
    args: str = ""
    writable: Mapping[str, tuple[Writable, ...]] = field(default_factory=dict)
    gives: str = ""
    returns_void: bool = False
    saves_context: bool = False
    fills: bool = False

    def ctx_fields(self, attach: str = "") -> tuple[CtxField, ...]:
        """Return the fields of the context as the hook `attach` sees them."""
        replaced = {item.name: item for item in self.attach_fields.get(attach, ())}
        return tuple(replaced.get(item.name, item) for item in self.fields)

    def ctx_access(self, off: int, size: int, write: bool, attach: str = "") -> CtxField | None:
        """Return the field that an access to the context hits, or None if the kernel's is_valid_access refuses it.

        Args:
            off, size: bytes; `off` may be negative.
            write: whether the access is a store.
            attach: what the section name says beyond the type.
        """
        for item in self.ctx_fields(attach):
            if item.off <= off < item.end:
                return item if item.allows(off, size, write) else None
        return None
