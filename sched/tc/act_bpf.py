"""bpf: a program as an action (net/sched/act_bpf.c, Linux 7.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.kernel.ctx import SkbContexts
from ebpfvm.sched.shown import Part, entry, program_part
from ebpfvm.sched.tc.action import Action, shown_verdict
from ebpfvm.sched.tc.action_kind import ActionKind, options_of
from ebpfvm.sched.tc.filter_program import run_program
from ebpfvm.sched.tc.tc_verdict import (
    TC_ACT_OK,
    TC_ACT_PIPE,
    TC_ACT_RECLASSIFY,
    TC_ACT_REDIRECT,
    TC_ACT_SHOT,
    TC_ACT_UNSPEC,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.kernel.program import Runnable
    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.tc.action_kind import Maker
    from ebpfvm.sched.tc.lr import Rule
    from ebpfvm.sched.tc.tc_verdict import TcfResult

_ACTION: Final = frozenset({TC_ACT_PIPE, TC_ACT_RECLASSIFY, TC_ACT_OK, TC_ACT_REDIRECT, TC_ACT_SHOT})


class ActBpf(Action):
    """A program as an action: its result is the verdict, and "continue" means the action's own."""

    kind = "bpf"

    def __init__(self, program: Runnable, control: int = TC_ACT_PIPE, name: str = "") -> None:
        super().__init__(control)
        self.program, self.name = program, name
        self._contexts: SkbContexts | None = None

    def act(self, skb: SkBuff, result: TcfResult) -> int:
        """Run the program (tcf_bpf_act)."""
        if self._contexts is None:
            self._contexts = SkbContexts(skb.kernel)
        value = run_program(self._contexts, self.program, skb, "act")
        if value == TC_ACT_UNSPEC:
            return self.control
        self.stats.drops += value == TC_ACT_SHOT
        return value if value in _ACTION else TC_ACT_UNSPEC

    def shown(self, times: Sequence[Part] = ()) -> list[Part]:
        """Return the action, as in `bpf prog.o:[action] id 5 name act default-action pipe`, and the index."""
        prog = self.program.prog
        return [Part("bpf "), entry("bpf_name", self.name), program_part(prog.id, prog.name), Part("default-action "),
                *shown_verdict(self.control), *self.shown_index("\n\t "), *times]


def _rules() -> list[Rule]:
    return [("action : 'bpf' bpf_options", lambda kind, items: (kind, dict(items))),
            *options_of("bpf", {"obj": "FILE", "obj=object": "FILE", "obj=object-file": "FILE", "section": "TEXT",
                                "section=sec": "TEXT"})]


def _make(given: dict[str, Any], maker: Maker) -> ActBpf:
    if "obj" not in given:
        raise UsageError("action bpf: the object is missing; write action bpf obj FILE [section NAME]")
    path, section = given["obj"], given.get("section", "")
    return ActBpf(maker.program(path, section, "act"), given.get("control", TC_ACT_PIPE),
                  f"{path.rpartition('/')[2]}:[{section or 'action'}]")


ACT_BPF: Final = ActionKind(name="bpf", cls=ActBpf, make=_make, rules=_rules, offload=False)
