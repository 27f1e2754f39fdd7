"""The u32 classifier: words of the packet under masks, in hash tables that may lead to others.

Source: net/sched/cls_u32.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EBUSY, EEXIST, EINVAL, ENOSPC
from ebpfvm.errors import UsageError
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.block import Block, Filter, TcfProto, exts_exec, shown_class, shown_skips
from ebpfvm.sched.tc.dissect import dissect
from ebpfvm.sched.tc.filter_kind import FilterKind
from ebpfvm.sched.tc.tc_verdict import TcfResult
from ebpfvm.sched.tc.u32_tables import HashTable, Key, Node, Offset, fold, follow, matches, pack
from ebpfvm.sched.tc.u32_words import u32_rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.filter_kind import FilterMaker

MAX_DEPTH: Final = 8  # TC_U32_MAXDEPTH
FIRST_NODE: Final = 0x800
MAX_DIVISOR: Final = 256
_LAST_NODE: Final = 0xFFF
_ROOT: Final = 0x800


class U32(TcfProto):
    """The classifier u32: classifiers of a block share their tables, and each has a root table with one bucket."""

    kind = "u32"
    id_word = "flowid"

    def __init__(self, block: Block, chain: int, prio: int, protocol: int) -> None:
        super().__init__(block, chain, prio, protocol)
        self.tables: dict[int, HashTable] = block.shared.setdefault("u32", {})
        root = _ROOT if not self.tables else self._free_table()
        self.root = HashTable(root, 1, root=True)
        self.own: list[int] = [root]
        self.tables[root] = self.root

    def _free_table(self) -> int:
        return next(number for number in range(_ROOT + 1, 0x1000) if number not in self.tables)

    # ---- classification -----------------------------------------------------------------------------------

    def classify(self, skb: SkBuff, result: TcfResult) -> int:
        """Walk the tables (u32_classify)."""
        data = skb.payload()
        off, off2 = dissect(skb).network, 0
        stack: list[tuple[list[Node], int, int]] = []
        nodes, index = self.root.buckets.get(0, []), 0
        while True:
            while index < len(nodes):
                node = nodes[index]
                index += 1
                node.asked += 1
                matched = not node.skip_sw and matches(node, data, skb.mark, off, off2)
                if matched is None:
                    return -1
                if not matched:
                    continue
                if node.link is None:
                    verdict = self._decide(node, skb, result)
                    if verdict >= 0:
                        return verdict
                    continue
                if len(stack) >= MAX_DEPTH:
                    return -1
                stack.append((nodes, index - 1, off))
                step = follow(node, node.link, data, off)
                if step is None:
                    return -1
                bucket, off, off2 = step
                if off >= len(data):
                    break
                nodes, index = node.link.buckets.get(bucket, []), 0
            if not stack:
                return -1
            nodes, index, off = stack.pop()
            verdict = self._decide(nodes[index], skb, result)
            if verdict >= 0:
                return verdict
            index += 1

    def _decide(self, node: Node, skb: SkBuff, result: TcfResult) -> int:
        if not node.terminal:
            return -1
        node.hits += 1
        result.classid = node.classid
        return exts_exec(node.actions, skb, result)

    # ---- set-up -------------------------------------------------------------------------------------------

    def change(self, handle: int, options: Mapping[str, Any]) -> Filter:
        """Add a table (with "divisor") or a filter, or change one (u32_change).

        Raises:
            OSError: EINVAL, EEXIST or ENOENT, as in the kernel.
        """
        if not options:
            return Filter(handle, options)  # accepted without creating anything
        old = self.get(handle) if handle else None
        if isinstance(old, Node):
            return self._change_node(old, options)
        if old is not None:
            raise OSError(EINVAL, "cls_u32: Key node id cannot be zero: a table cannot be changed")
        if "divisor" in options:
            return self._add_table(handle, options)
        if not options.get("keys") and "mark" not in options and "offset" not in options and "hashkey" not in options:
            raise OSError(EINVAL, "cls_u32: Selector not specified: give a match, as in match u32 0 0")
        table, bucket = self._place(handle, options)
        nodes = table.buckets.setdefault(bucket, [])
        number = handle & 0xFFF or options.get("order", 0)
        if number and any(node.handle & 0xFFF == number for node in nodes):
            raise OSError(ENOSPC, f"No space left on device: number {number:x} is taken")
        node = Node(table.handle << 20 | bucket << 12 | (number or self._free_node(nodes)), options,
                    self._down(table, options))
        nodes[:] = sorted([*nodes, node], key=lambda old: old.handle)
        return node

    def _down(self, table: HashTable, options: Mapping[str, Any]) -> HashTable | None:
        """Return the table that "link" names."""
        link = options.get("link")
        if link is None:
            return None
        if link >> 20 not in self.tables:
            raise OSError(EINVAL, f"cls_u32: Link hash table not found: {link >> 20:x}:")
        down = self.tables[link >> 20]
        if down.root:
            raise OSError(EINVAL, "cls_u32: Not linking to root node")
        if down is table:
            raise OSError(EINVAL, "u32: link to itself")
        return down

    def _change_node(self, old: Node, options: Mapping[str, Any]) -> Node:
        """Change class, actions or link; what a filter compares cannot be changed."""
        if any(bool(options.get(flag)) != bool(old.options.get(flag)) for flag in ("skip_hw", "skip_sw")):
            raise OSError(EINVAL, "cls_u32: Key node flags do not match passed flags")
        table = self.tables[old.handle >> 20]
        kept = {word: value for word, value in old.options.items() if word not in ("classid", "actions", "link")}
        fresh = {word: value for word, value in options.items() if word in ("classid", "actions", "link", "indev")}
        node = Node(old.handle, {**kept, **fresh, "terminal": old.terminal},
                    self._down(table, options) if "link" in options else old.link)
        nodes = table.buckets[old.handle >> 12 & 0xFF]
        nodes[nodes.index(old)] = node
        return node

    def _add_table(self, handle: int, options: Mapping[str, Any]) -> Filter:
        divisor = options["divisor"]
        if not 1 <= divisor <= MAX_DIVISOR or divisor & (divisor - 1):
            raise OSError(EINVAL, f"u32 divisor {divisor}: expected a power of two up to {MAX_DIVISOR}")
        if handle & 0xFFFFF:
            raise OSError(EINVAL, "cls_u32: Divisor can only be used on a hash table")
        number = handle >> 20 or self._free_table()
        if number in self.tables:
            raise OSError(EEXIST, f"u32 table {number:x}: exists already")
        self.tables[number] = HashTable(number, divisor)
        self.own.append(number)
        return Filter(number << 20, options)

    def _place(self, handle: int, options: Mapping[str, Any]) -> tuple[HashTable, int]:
        """Return the table and bucket of a new filter: from "ht" and "sample", or the root."""
        ht = options.get("ht", 0)
        if handle >> 20 and ht >> 20 and handle >> 20 != ht >> 20:
            raise OSError(EINVAL, "cls_u32: Handle specified hash table address mismatch")
        number = ht >> 20 or handle >> 20
        table = self.tables.get(number) if number else self.root
        if table is None:
            raise OSError(EINVAL, f"cls_u32: Specified hash table not found: {number:x}:")
        bucket = ht >> 12 & 0xFF or handle >> 12 & 0xFF
        if "sample" in options:
            value, mask = options["sample"]
            bucket = fold(value, mask, table.divisor)
        if bucket >= table.divisor:
            raise OSError(EINVAL, "cls_u32: Specified hash table buckets exceed configured value: "
                          f"{bucket:x}")
        return table, bucket

    def _free_node(self, nodes: list[Node]) -> int:
        used = {node.handle & 0xFFF for node in nodes}
        for number in range(FIRST_NODE, _LAST_NODE):
            if number not in used:
                return number
        return next(number for number in range(1, FIRST_NODE) if number not in used)

    def nodes(self) -> Iterator[tuple[HashTable, list[Node]]]:
        """Yield the classifier's own tables, the newest first, each with its filters in the order of buckets."""
        for number in reversed(self.own):
            table = self.tables[number]
            yield table, [node for bucket in sorted(table.buckets) for node in table.buckets[bucket]]

    def get(self, handle: int) -> Filter | None:
        """Return the filter of a handle, or a table as a filter without options."""
        if handle and not handle & 0xFFFFF:
            table = self.tables.get(handle >> 20)
            return Filter(handle, {"divisor": table.divisor}) if table is not None else None
        return next((node for _, nodes in self.nodes() for node in nodes if node.handle == handle), None)

    def delete(self, handle: int) -> bool:
        """Remove a filter, or a table that nothing links to.

        Raises:
            OSError: EBUSY if the table is in use; EINVAL if it is the root.
        """
        if handle and not handle & 0xFFFFF and handle >> 20 in self.tables:
            return self._delete_table(self.tables[handle >> 20])
        for _, nodes in self.nodes():
            for node in nodes:
                if node.handle == handle:
                    self.tables[handle >> 20].buckets[handle >> 12 & 0xFF].remove(node)
                    return True
        return False

    def _delete_table(self, table: HashTable) -> bool:
        if table.root:
            raise OSError(EINVAL, "cls_u32: Not allowed to delete root node")
        links = [node for other in self.tables.values() for nodes in other.buckets.values()
                 for node in nodes if node.link is table]
        if links or any(table.buckets.values()):
            raise OSError(EBUSY, "cls_u32: Can not delete in-use filter")
        del self.tables[table.handle]
        self.own.remove(table.handle)
        return True

    def empty(self) -> bool:
        """Return whether only the root table is left."""
        return len(self.own) == 1 and not any(self.root.buckets.values())

    def destroy(self) -> None:
        """Remove the root table; the last classifier of the block removes all tables."""
        self.tables.pop(self.root.handle, None)
        if not any(table.root for table in self.tables.values()):
            self.tables.clear()
            self.block.shared.pop("u32", None)

    def listed(self) -> Iterator[Filter]:
        """Yield the tables, each as a filter without a match, and after each its filters."""
        for table, nodes in self.nodes():
            yield Filter(table.handle << 20, {"divisor": table.divisor})
            yield from nodes

    # ---- what tc shows ------------------------------------------------------------------------------------

    def shown_handle(self, handle: int) -> Part:
        """Return a handle, as in `fh 800::800`."""
        bucket = f"{handle >> 12 & 0xFF:x}" if handle >> 12 & 0xFF else ""
        node = f"{bucket}:{handle & 0xFFF:x}" if handle & 0xFFFFF else ""
        return worded("fh", f"{handle >> 20:x}:{node}")

    def shown(self, found: Filter, stats: bool) -> list[Part]:
        """Return place, class, and a line for each key."""
        if not isinstance(found, Node):
            return [entry("ht_divisor", found.options["divisor"], "ht divisor {} ")]
        number = found.handle
        parts = [worded("order", number & 0xFFF), entry("key_ht", f"{number >> 20:x}", "key ht {} "),
                 worded("bkt", f"{number >> 12 & 0xFF:x}")]
        if "classid" in found.options:
            parts += [Part("" if found.terminal else "*"), *shown_class("flowid", found)]
        elif found.terminal:
            parts.append(Part("terminal flowid "))
        if found.link is not None:
            parts.append(worded("link", f"{found.link.handle:x}:"))
        parts += shown_skips(found, "", " ")
        if stats:
            parts += [entry("rule_hit", found.asked, "(rule hit {} "), entry("success", found.hits, "success {})")]
        device = found.options.get("indev")
        return [*parts, *_key_parts(found, stats), *_offset_parts(found),
                *([entry("input_dev", device.name, "\n  input dev {}")] if device is not None else [])]


def _key_parts(node: Node, stats: bool) -> Iterator[Part]:
    if node.mark is not None:
        value, mask = node.mark
        yield Part(f"\n  mark 0x{value:04x}", "fwmark_value", f"{value:#x}")
        yield Part(f" 0x{mask:04x}", "fwmark_mask", f"{mask:#x}")
        yield entry("fwmark_success", node.marked, " (success {})")
    for key, hits in zip(node.keys, node.key_hits, strict=True):
        ahead = "nexthdr+" if key.nexthdr else ""
        yield Part(f"\n  match {key.value:08x}/{key.mask:08x} at {ahead}{key.off}", "match",
                   (("value", f"{key.value:x}"), ("mask", f"{key.mask:x}"), ("offmask", ahead), ("off", key.off)))
        if stats:
            yield entry("success", hits, " (success {} ) ")


def _offset_parts(node: Node) -> Iterator[Part]:
    offset = node.offset
    if offset is not None:
        yield Part("\n    offset ")
        if offset.at is not None:
            yield Part(f"{offset.mask:04x}", "offset_mask", f"{offset.mask:x}")
            yield entry("offset_shift", offset.shift, ">>{}")
            yield entry("offset_off", offset.at, " at {} ")
        if offset.plus:
            yield worded("plus", offset.plus)
        if offset.eat:
            yield Part(" eat ", "eat", True)
    if node.hashkey is not None:
        mask, at = node.hashkey
        yield Part(f"\n    hash mask {mask:08x}", "hash_mask", f"{mask:x}")
        yield entry("hash_off", at, " at {} ")


def _complete(options: dict[str, Any], matches: Sequence[Any], protocol: int, maker: FilterMaker) -> None:
    """Collect the keys of all matches."""
    keys: list[Key] = []
    for match in matches:
        if isinstance(match, tuple):
            options["mark"] = match
            continue
        for key in match:
            try:
                pack(keys, key)
            except ValueError as error:
                raise UsageError(f"u32 match: {error}") from error
    options["keys"] = keys
    if "sample" in options:
        key = options["sample"][0]
        options["sample"] = key.value, key.mask
    if "offset" in options:
        options["offset"] = Offset(**options["offset"])
    if not keys:
        del options["keys"]


U32_KIND: Final = FilterKind(name="u32", cls=U32, rules=u32_rules, complete=_complete, skip_sw=True, police=True)
