"""Programs as filters (net/sched/cls_bpf.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.kernel.ctx import SkbContexts
from ebpfvm.sched.shown import Part, entry, program_part
from ebpfvm.sched.tc.block import Filter, TcfProto, shown_skips
from ebpfvm.sched.tc.filter_kind import SKIP, FilterKind, common_rules
from ebpfvm.sched.tc.filter_program import run_program
from ebpfvm.sched.tc.lr import append, first, listing, option_rules
from ebpfvm.sched.tc.tc_verdict import (
    TC_ACT_OK,
    TC_ACT_REDIRECT,
    TC_ACT_SHOT,
    TC_ACT_STOLEN,
    TC_ACT_TRAP,
    TC_ACT_UNSPEC,
    TcfResult,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.program import Runnable
    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.filter_kind import FilterMaker
    from ebpfvm.sched.tc.lr import Rule

_MAJOR: Final = 0xFFFF0000
_DIRECT: Final = frozenset({TC_ACT_OK, TC_ACT_SHOT, TC_ACT_STOLEN, TC_ACT_TRAP, TC_ACT_REDIRECT, TC_ACT_UNSPEC})


class Bpf(TcfProto):
    """The classifier bpf.

    With "direct-action", the program's result is the verdict and `tc_classid` the minor number of the class. Without,
    the result is the class, 0 for no match and -1 for the class of the filter.
    """

    kind = "bpf"
    id_word = "flowid"
    _contexts: SkbContexts | None = None

    def classify(self, skb: SkBuff, result: TcfResult) -> int:
        """Run the programs in order (cls_bpf_classify)."""
        contexts = self._contexts
        if contexts is None:
            contexts = self._contexts = SkbContexts(skb.kernel)
        for found in self.filters:
            program: Runnable = found.options["program"]
            skb.tc_classid = found.classid & 0xFFFF if found.options.get("direct-action") else skb.tc_classid
            value = run_program(contexts, program, skb, "cls")
            if found.options.get("direct-action"):
                result.classid = found.classid & _MAJOR | skb.tc_classid & 0xFFFF
                if value in _DIRECT and value != TC_ACT_UNSPEC:
                    return value
                continue
            if value == 0:
                continue
            verdict = self.take(found, skb, result)
            if value != -1:
                result.classid = value & U32_MAX
            if verdict >= 0:
                return verdict
        return -1

    def shown(self, found: Filter, stats: bool) -> list[Part]:
        """Return class, name and id of the program."""
        direct = [Part("direct-action ", "direct-action", True)] if found.options.get("direct-action") else []
        prog = found.options["program"].prog
        return [*super().shown(found, stats), entry("bpf_name", found.options.get("name", "")), *direct,
                *shown_skips(found, "", " "), program_part(prog.id, prog.name)]


# ---- syntax ---------------------------------------------------------------------------------------------------

_BPF_OPTIONS: Final = {"obj": "FILE", "obj=object": "FILE", "obj=object-file": "FILE", "section": "TEXT",
                       "section=sec": "TEXT", "direct-action": "", "direct-action=da": "", **SKIP}


def _bpf_rules() -> list[Rule]:
    """Return rules with own options before actions, because a `bpf` action has the same words."""
    return [("options : head", first), ("options : acted", first), *listing("head", "own"), ("own : class", first),
            ("acted : head act", append), ("acted : acted act", append), ("acted : acted class", append),
            *option_rules("own", _BPF_OPTIONS), *common_rules()]


def _complete(options: dict[str, Any], matches: Sequence[Any], protocol: int, maker: FilterMaker) -> None:
    """Load the program."""
    if "obj" not in options:
        raise UsageError("filter bpf: the object is missing; write bpf obj FILE [section NAME] [direct-action]")
    path, section = options.pop("obj"), options.pop("section", "")
    options["program"] = maker.program(path, section, "cls")
    options["name"] = f"{path.rpartition('/')[2]}:[{section or 'classifier'}]"


CLS_BPF: Final = FilterKind(name="bpf", cls=Bpf, rules=_bpf_rules, complete=_complete)
