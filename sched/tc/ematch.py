"""Extended matches of the basic classifier: cmp, nbyte, u32 and meta, joined by and, or and not.

Sources: net/sched/ematch.c, em_cmp.c, em_nbyte.c, em_u32.c, em_meta.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from ebpfvm.ints import swap16
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.sched.tc.dissect import Dissected, dissect

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ebpfvm.kernel.skb import SkBuff

SIZES: Final = {"u8": 1, "u16": 2, "u32": 4}


class Ematch(Protocol):
    """A match, or several joined matches."""

    def matches(self, skb: SkBuff, headers: Dissected) -> bool:
        """Return whether a packet matches."""


@dataclass(frozen=True, slots=True)
class Not:
    """The negation of a match."""

    match: Ematch

    def matches(self, skb: SkBuff, headers: Dissected) -> bool:
        """Return whether the inner expression does not match."""
        return not self.match.matches(skb, headers)

    def __str__(self) -> str:
        return f"NOT {self.match}"


@dataclass(frozen=True, slots=True)
class Joined:
    """Two matches, joined by "and" or "or".

    The kernel stops at a false match before an "and" and at a true match before an "or", and ignores the rest. So
    `a and b or c` means `a and (b or c)`: there is no precedence, and without parentheses everything to the right of
    an operator is its operand.
    """

    left: Ematch
    word: str
    right: Ematch

    def matches(self, skb: SkBuff, headers: Dissected) -> bool:
        """Return whether both match ("and"), or one of them ("or")."""
        if self.word == "and":
            return self.left.matches(skb, headers) and self.right.matches(skb, headers)
        return self.left.matches(skb, headers) or self.right.matches(skb, headers)

    def __str__(self) -> str:
        return f"{self.left} {self.word.upper()} {self.right}"


@dataclass(frozen=True, slots=True)
class Group:
    """Matches in parentheses."""

    match: Ematch

    def matches(self, skb: SkBuff, headers: Dissected) -> bool:
        """Return whether the inner expression matches."""
        return self.match.matches(skb, headers)

    def __str__(self) -> str:
        return f"({self.match})"


_COMPARE: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "eq": lambda have, want: have == want, "gt": lambda have, want: have > want,
    "lt": lambda have, want: have < want}


@dataclass(frozen=True, slots=True)
class Cmp:
    """`cmp(u16 at 2 layer transport mask 0xff00 gt 20)`: a number in the packet.

    Attributes:
        align: "u8", "u16" or "u32", big-endian in the packet.
        at: offset from the header of the layer.
        layer: 0 link, 1 network, 2 transport.
        operator: "eq", "gt" or "lt".
        value: the number to compare with.
        mask: the bits to compare, 0 for all.
        trans: whether to swap the bytes first.
    """

    align: str
    at: int
    operator: str
    value: int
    layer: int = 0
    mask: int = 0
    trans: bool = False

    def matches(self, skb: SkBuff, headers: Dissected) -> bool:
        """Return whether the comparison is true; a packet that ends before the number does not match."""
        base = (0, headers.network, headers.transport)[self.layer]
        data, size = skb.payload(), SIZES[self.align]
        if base is None or base + self.at < 0 or base + self.at + size > len(data):
            return False
        have = int.from_bytes(data[base + self.at:base + self.at + size], "little" if self.trans else "big")
        return _COMPARE[self.operator](have & self.mask if self.mask else have, self.value)

    def __str__(self) -> str:
        mask = f" mask {self.mask:#x}" if self.mask else ""
        return (f"cmp({self.align} at {self.at} layer {self.layer}{mask}{' trans' if self.trans else ''} "
                f"{self.operator} {self.value})")


@dataclass(frozen=True, slots=True)
class EmU32:
    """`u32(u16 0x1122 0xffff at 4)`: the word at an offset after the network header, under a mask.

    "nexthdr+" is accepted and ignored, as in the kernel: the basic classifier knows no next header.
    """

    value: int
    mask: int
    at: int
    nexthdr: bool = False

    def matches(self, skb: SkBuff, headers: Dissected) -> bool:
        """Return whether the word matches; a packet that ends before it does not match."""
        data, at = skb.payload(), headers.network + self.at
        if at < 0 or at + 4 > len(data):
            return False
        return not (int.from_bytes(data[at:at + 4], "big") ^ self.value) & self.mask

    def __str__(self) -> str:
        return f"u32({self.value:08x}/{self.mask:08x} at {'nexthdr+' if self.nexthdr else ''}{self.at})"


@dataclass(frozen=True, slots=True)
class EmNbyte:
    """`nbyte("GET" at 8 layer transport)`: bytes at an offset from the header of a layer, by default the network's."""

    needle: bytes
    at: int
    layer: int = 1

    def matches(self, skb: SkBuff, headers: Dissected) -> bool:
        """Return whether the bytes are there (em_nbyte_match)."""
        base = (0, headers.network, headers.transport)[self.layer]
        if base is None or base + self.at < 0:
            return False
        return skb.payload().startswith(self.needle, base + self.at)

    def __str__(self) -> str:
        text = "".join(chr(byte) if chr(byte).isprintable() and byte < 0x80 else "." for byte in self.needle)
        return f'nbyte({self.needle.hex(" ")} "{text}" at {self.at} layer {self.layer})'


META: Final[Mapping[str, Callable[[SkBuff, Dissected], int]]] = {
    "random": lambda skb, headers: skb.kernel.random.getrandbits(32),
    "dev": lambda skb, headers: getattr(skb.dev, "ifindex", 0),
    "priority": lambda skb, headers: skb.priority,
    "protocol": lambda skb, headers: swap16(skb.protocol),
    "pkt_type": lambda skb, headers: skb.pkt_type,
    "pkt_len": lambda skb, headers: skb.len,
    "data_len": lambda skb, headers: 0,  # data_len, the bytes in page fragments: packets here are linear
    "mac_len": lambda skb, headers: headers.network,
    "nf_mark": lambda skb, headers: skb.mark,
    "fwmark": lambda skb, headers: skb.mark,
    "tc_index": lambda skb, headers: skb.tc_index,
    "rt_iif": lambda skb, headers: skb.ingress_ifindex,
    "vlan": lambda skb, headers: skb.vlan_tci if skb.vlan_present else 0,
}
"""What `meta()` can read. Of what a kernel has besides, load averages, routing classes and sockets are missing."""


@dataclass(frozen=True, slots=True)
class MetaValue:
    """One side of `meta()`: an attribute (shifted and masked), or a number if `name` is ""."""

    name: str
    number: int = 0
    shift: int = 0
    mask: int = 0

    def read(self, skb: SkBuff, headers: Dissected) -> int:
        """Return the value for a packet."""
        value = META[self.name](skb, headers) if self.name else self.number
        value >>= self.shift
        return value & self.mask if self.mask else value

    def __str__(self) -> str:
        if not self.name:
            return str(self.number)
        return (self.name + (f" shift {self.shift}" if self.shift else "")
                + (f" mask {self.mask:#010x}" if self.mask else ""))


@dataclass(frozen=True, slots=True)
class Meta:
    """`meta(priority mask 0xff gt 3)`: a comparison of metadata of the packet."""

    left: MetaValue
    operator: str
    right: MetaValue

    def matches(self, skb: SkBuff, headers: Dissected) -> bool:
        """Return whether the comparison is true."""
        return _COMPARE[self.operator](self.left.read(skb, headers), self.right.read(skb, headers))

    def __str__(self) -> str:
        return f"meta({self.left} {self.operator} {self.right})"


def tree_lines(tree: Any, depth: int = 1, lead: str = "") -> list[str]:
    """Return a tree as `tc` prints it.

    There is a line for each match, indented for a group; an empty line ends the tree, unless a group does.
    """
    lines: list[str] = []
    node = tree
    while True:
        here = node.left if isinstance(node, Joined) else node
        word, inner = lead, here
        while isinstance(inner, Not):
            word, inner = f"{word}NOT ", inner.match
        if isinstance(inner, Group):
            inside = tree_lines(inner.match, depth + 1)
            lines += [f"{'  ' * depth}{word}(", *(inside if inside[-1] else inside[:-1]), f"{'  ' * depth}) "]
        else:
            lines.append(f"{'  ' * depth}{word}{inner}")
        if not isinstance(node, Joined):
            return lines if isinstance(inner, Group) else [*lines, ""]
        lead, node = f"{node.word.upper()} ", node.right


def ematch(tree: Any, skb: SkBuff) -> bool:
    """Return whether a packet matches a tree; it always matches None."""
    return tree is None or bool(tree.matches(skb, dissect(skb)))
