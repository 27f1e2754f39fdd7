"""The hash tables of the u32 classifier (net/sched/cls_u32.c, Linux 7.2).

They hold the filters, the comparisons of each filter, and the links from one table to another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.kernel.skb import SKB_HEADROOM
from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.tc.block import Filter

if TYPE_CHECKING:
    from collections.abc import Mapping


class Key(NamedTuple):
    """One comparison: the big-endian word at `off` after the network header, under `mask`, is `value`.

    With `nexthdr`, the offset counts from the next header as the last link's "offset" placed it.
    """

    value: int
    mask: int
    off: int
    nexthdr: bool = False


class Offset(NamedTuple):
    """The position of the next header.

    It is `plus` bytes further on, plus the 16 bits at `at` under `mask`, shifted right by `shift`. With `eat`, all
    later offsets count from there.
    """

    plus: int = 0
    at: int | None = None
    mask: int = 0
    shift: int = 0
    eat: bool = False


@dataclass
class HashTable:
    """A table: filters by bucket.

    `handle` is its number, 1 to 0xfff; `divisor` is the number of buckets; `root` is set if a classifier begins here.
    """

    handle: int
    divisor: int
    root: bool = False
    buckets: dict[int, list[Node]] = field(default_factory=dict)


class Node(Filter):
    """A filter of a table.

    Attributes:
        keys: comparisons that must all match.
        mark: (value, mask) that skb->mark must match.
        link: the table to search next, None if the filter decides.
        offset, hashkey: how to search it: the position of the next header, and (mask, offset) of the word that selects
            the bucket.
        terminal: whether it decides, because it was created with a class or actions.
        skip_sw: whether only hardware may match it; there is none here, so it never matches.
        asked, hits, marked, key_hits: number of packets that it has seen, that matched, whose mark matched, and that
            each key matched.
    """

    def __init__(self, handle: int, options: Mapping[str, Any], link: HashTable | None) -> None:
        super().__init__(handle, options)
        self.keys: tuple[Key, ...] = tuple(options.get("keys", ()))
        self.mark: tuple[int, int] | None = options.get("mark")
        self.link = link
        self.offset: Offset | None = options.get("offset")
        self.hashkey: tuple[int, int] | None = options.get("hashkey")
        self.terminal: bool = options.get("terminal", "classid" in options or bool(self.actions))
        self.skip_sw = bool(options.get("skip_sw"))
        self.asked = self.hits = self.marked = 0
        self.key_hits = [0] * len(self.keys)


def pack(keys: list[Key], key: Key) -> None:
    """Add a comparison; comparisons of the same word are merged, as in `tc`.

    Raises:
        ValueError: they contradict each other.
    """
    for index, old in enumerate(keys):
        if old.off == key.off and old.nexthdr == key.nexthdr:
            if (old.value ^ key.value) & old.mask & key.mask:
                raise ValueError(f"the word at {key.off} would have to be two things at once")
            keys[index] = old._replace(value=old.value | key.value, mask=old.mask | key.mask)
            return
    keys.append(key)


def _word(data: bytes, off: int, size: int) -> int | None:
    """Return a number in the packet; the headroom before it, which the kernel reads too, is zero here."""
    if off < -SKB_HEADROOM or off + size > len(data):
        return None
    if off < 0:
        return int.from_bytes(bytes(-off) + data[:max(size + off, 0)], "big") if off + size > 0 else 0
    return int.from_bytes(data[off:off + size], "big")


def matches(node: Node, data: bytes, mark: int, off: int, off2: int) -> bool | None:
    """Return whether all keys match; None if the packet ends before a key."""
    if node.mark is not None and (mark ^ node.mark[0]) & node.mark[1]:
        return False
    node.marked += node.mark is not None
    for position, key in enumerate(node.keys):
        word = _word(data, off + key.off + (off2 if key.nexthdr else 0), 4)
        if word is None:
            return None
        if (word ^ key.value) & key.mask:
            return False
        node.key_hits[position] += 1
    return True


def follow(node: Node, table: HashTable, data: bytes, off: int) -> tuple[int, int, int] | None:
    """Return bucket, offset and offset of the next header in a linked table; None if the packet is too short."""
    bucket, off2 = 0, 0
    mask, at = node.hashkey or (0, 0)
    if table.divisor > 1:
        word = _word(data, off + at, 4)
        if word is None:
            return None
        bucket = fold(word, mask, table.divisor)
    if node.offset is not None:
        off2 = node.offset.plus + 3
        if node.offset.at is not None:
            half = _word(data, off + node.offset.at, 2)
            if half is None:
                return None
            off2 += (half & node.offset.mask) >> node.offset.shift
        off2 &= ~3
        if node.offset.eat:
            return bucket, off + off2, 0
    return bucket, off, off2


def fold(word: int, mask: int, divisor: int) -> int:
    """Return the bucket of a word (u32_hash_fold): the bits under the mask, shifted down to its lowest bit."""
    shift = (mask & -mask).bit_length() - 1 if mask else 0
    return (word & mask) >> shift & divisor - 1
