"""Declaring a program type: its context, who may call what, and what it may return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Access = Literal["scalar", "pkt", "pkt_meta", "pkt_end", "sock_common_or_null", "sock_or_null", "skb", "btf"]


@dataclass(frozen=True, slots=True)
class CtxField:
    """One field of a context structure.

    Attributes:
        name: as in the uapi header.
        off, size: bytes; an array is one field with its whole size.
        element: access unit of an array field (e.g. 4 for cb[5]), or `size`.
        read: readable; write: writable with exactly `write_sizes` (empty: any size up to `element`, aligned).
        narrow: reads of a part are allowed (bpf_ctx_narrow_access_ok).
        access: what a read yields.
        write_sizes: sizes allowed for writes, empty for `element` only.
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

    @property
    def end(self) -> int:
        """First offset behind the field."""
        return self.off + self.size


@dataclass(frozen=True, slots=True)
class ProgType:
    """A program type; its number is a dialect's matter.

    Attributes:
        name: kernel name in lower case: "sched_cls".
        ctx: name of the context structure: "__sk_buff".
        ctx_size: bytes.
        fields: the context's fields, by offset. Per-hook differences are in `attach_fields`.
        attach_fields: attach string -> fields that replace those of the same name.
        helpers: names of the helpers it may call.
        kfuncs: names of the kfuncs it may call.
        packet_read, packet_write: direct packet access.
        ld_abs: LD_ABS and LD_IND allowed (may_access_skb).
        returns: allowed range of R0 at exit, None for any scalar.
        attach_returns: attach string -> range, where it differs.
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
