"""The small classifiers: matchall, basic and fw (net/sched/cls_matchall.c, cls_basic.c, cls_fw.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EEXIST, EINVAL
from ebpfvm.ints import U32_MAX
from ebpfvm.sched.sch_generic import TC_H_MAJ_MASK
from ebpfvm.sched.shown import Part, entry
from ebpfvm.sched.tc.block import Filter, TcfProto, shown_skips
from ebpfvm.sched.tc.ematch import ematch, tree_lines
from ebpfvm.sched.tc.ematch_words import ematch_rules
from ebpfvm.sched.tc.filter_kind import SKIP, FilterKind, mixed_rules
from ebpfvm.sched.tc.lr import option, option_rules
from ebpfvm.sched.tc.tc_verdict import TC_ACT_OK, TcfResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.lr import Rule


class Matchall(TcfProto):
    """matchall: every packet matches; there is one filter for each priority."""

    kind = "matchall"
    id_word = "flowid"

    def classify(self, skb: SkBuff, result: TcfResult) -> int:
        """Execute the filter for the packet."""
        self.hits += 1
        return self.take(self.filters[0], skb, result) if self.filters else -1

    def change(self, handle: int, options: Mapping[str, Any]) -> Filter:
        """Add the filter as `TcfProto.change` does; it cannot be changed.

        Raises:
            OSError: EEXIST if there is a filter; EINVAL if there is neither a class nor an action.
        """
        if self.filters:
            raise OSError(EEXIST, "File exists: a matchall classifier has one filter, which cannot be changed")
        if not set(options) - {"skip_hw"}:
            raise OSError(EINVAL, "Invalid argument: matchall needs a classid or an action")
        self.hits = 0
        return super().change(handle, options)

    def shown(self, found: Filter, stats: bool) -> list[Part]:
        """Return the class, flags, and how many packets the filter has seen."""
        hits = [entry("rule_hit", self.hits, " (rule hit {})")] if stats else []
        return [*super().shown(found, stats), *shown_skips(found), *hits]


class Basic(TcfProto):
    """basic: a tree of extended matches."""

    kind = "basic"
    id_word = "flowid"

    def classify(self, skb: SkBuff, result: TcfResult) -> int:
        """Return the verdict of the first filter that matches and does not say "continue" (basic_classify)."""
        for found in self.filters:
            if ematch(found.options.get("match"), skb):
                verdict = self.take(found, skb, result)
                if verdict >= 0:
                    return verdict
        return -1

    def change(self, handle: int, options: Mapping[str, Any]) -> Filter:
        """Add or replace a filter as `TcfProto.change` does; raise EINVAL without any option."""
        if not options:
            raise OSError(EINVAL, "Invalid argument: basic needs a match, a classid or an action")
        return super().change(handle, options)

    def shown_handle(self, handle: int) -> Part:
        """Return a handle as `tc` prints it: in JSON, a word with hexadecimal digits."""
        return Part(f"handle {handle:#x} ", "handle", f"{handle:x}")

    def shown(self, found: Filter, stats: bool) -> list[Part]:
        """Return the class and the tree, with a line for each match; `tc` has no JSON for a tree."""
        tree = found.options.get("match")
        lines = tree_lines(tree) if tree is not None else []
        match = [Part("\n" + "\n".join(lines), "match", [line.strip() for line in lines if line])] if lines else []
        return [*super().shown(found, stats), *match]


def _fw_hash(handle: int) -> int:
    """Return the place of a handle in the table that a listing follows."""
    handle ^= handle >> 16
    return (handle ^ handle >> 8) & 0xFF


class Fw(TcfProto):
    """fw: a filter's handle is the skb->mark it matches, under a mask that all filters of a priority share.

    Without any filter the mark itself is the class, if its major number is the qdisc's or 0.
    """

    kind = "fw"
    blank_line = True

    def listed(self) -> Iterator[Filter]:
        """Yield the filters by the hash of their handles, the newest first."""
        newest_first = self.filters[::-1]
        return iter(sorted(newest_first, key=lambda found: _fw_hash(found.handle)))

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.mask: int | None = None

    def classify(self, skb: SkBuff, result: TcfResult) -> int:
        """Look up the mark (fw_classify)."""
        if self.mask is None:
            return self._old_method(skb.mark, result)
        found = self.get(skb.mark & self.mask)  # a handle with bits outside the mask never matches
        return self.take(found, skb, result) if found is not None else -1

    def _old_method(self, mark: int, result: TcfResult) -> int:
        qdisc = self.block.qdisc
        handle = qdisc.handle if qdisc is not None else 0
        if mark and (not mark & TC_H_MAJ_MASK or not (mark ^ handle) & TC_H_MAJ_MASK):
            result.classid = mark
            return TC_ACT_OK
        return -1

    def change(self, handle: int, options: Mapping[str, Any]) -> Filter:
        """Add or replace a filter as `TcfProto.change` does; a handle is required.

        Raises:
            OSError: EINVAL if the mask differs from that of the other filters, or there are options but no handle.
        """
        mask = options.get("mask", U32_MAX)
        if self.mask is not None and mask != self.mask:
            raise OSError(EINVAL, f"Invalid argument: the fw filters of this priority have mask {self.mask:#x}")
        if not set(options) - {"mask"} and mask == U32_MAX:
            if handle:
                raise OSError(EINVAL, "Invalid argument: fw needs a classid or an action with a handle")
            return Filter(0, options)
        if not handle:
            raise OSError(EINVAL, "Invalid argument: fw needs a handle other than 0, which is the mark to match")
        self.mask = mask
        return super().change(handle, options)

    def shown(self, found: Filter, stats: bool) -> list[Part]:
        """Return the class and the device."""
        device = found.options.get("indev")
        return [*super().shown(found, stats),
                *([entry("indev", device.name, "input dev {} ")] if device is not None else [])]

    def shown_handle(self, handle: int) -> Part:
        """Return the mark, with its mask unless that is full."""
        mask = U32_MAX if self.mask is None else self.mask
        return Part(f"handle {handle:#x}" + (f"/{mask:#x} " if mask != U32_MAX else " "), "fw",
                    (("mark", f"{handle:#x}"), ("mask", f"{mask:#x}")))


# ---- syntax ---------------------------------------------------------------------------------------------------

def _matchall_rules() -> list[Rule]:
    return [*mixed_rules(), *option_rules("option", SKIP)]


def _basic_rules() -> list[Rule]:
    return [*mixed_rules(), ("option : 'match' expr", option("match", "expr")), *ematch_rules()]


def _fw_rules() -> list[Rule]:
    return [*mixed_rules(), *option_rules("option", {"indev": "DEVICE"})]


MATCHALL: Final = FilterKind(name="matchall", cls=Matchall, rules=_matchall_rules)
BASIC: Final = FilterKind(name="basic", cls=Basic, rules=_basic_rules, parentheses=True, police=True)
FW: Final = FilterKind(name="fw", cls=Fw, rules=_fw_rules, police=True)
