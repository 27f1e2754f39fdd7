"""The list of the kinds of actions, and the syntax of all of them after the word `action` (tc-actions(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.sched.tc.act_bpf import ACT_BPF
from ebpfvm.sched.tc.act_connmark import CONNMARK
from ebpfvm.sched.tc.act_csum import CSUM
from ebpfvm.sched.tc.act_ctinfo import CTINFO
from ebpfvm.sched.tc.act_edit import PEDIT, VLAN
from ebpfvm.sched.tc.act_gact import GACT
from ebpfvm.sched.tc.act_nat import NAT
from ebpfvm.sched.tc.act_police import POLICE
from ebpfvm.sched.tc.act_sample import SAMPLE
from ebpfvm.sched.tc.act_simple import SIMPLE
from ebpfvm.sched.tc.act_skbedit import SKBEDIT
from ebpfvm.sched.tc.act_skbmod import SKBMOD
from ebpfvm.sched.tc.action_kind import control_rules
from ebpfvm.sched.tc.lr import first, option
from ebpfvm.sched.tc.mirred import MIRRED

if TYPE_CHECKING:
    from ebpfvm.sched.tc.lr import Rule

ACTIONS: Final = {kind.name: kind for kind in (
    ACT_BPF, CONNMARK, CSUM, CTINFO, GACT, MIRRED, NAT, PEDIT, POLICE, SAMPLE, SIMPLE, SKBEDIT, SKBMOD, VLAN)}
"""Every kind of action by its name."""

_FOLLOWING: Final = (*(name for name in ACTIONS if name not in ("police", "sample")), "redirect")
"""The words that may begin another action without the word `action`; `sample` is also a word of u32."""


def action_rules() -> list[Rule]:
    """Return the rules for `action` and `police`."""
    kinds = [rule for kind in ACTIONS.values() for rule in kind.rules()]
    return [("act : 'action~' action", option("action", "action")),
            ("act : police", lambda action: ("police", action)), ("act : act following", _joined),
            ("action : following", first), *control_rules(), *map(_following, kinds)]


def _joined(before: tuple[str, Any], action: Any) -> tuple[str, list[Any]]:
    """Return an action together with those before it."""
    word, value = before
    return "actions", [*(value if word == "actions" else [value]), action]


def _following(rule: Rule) -> Rule:
    """Return a rule for `action` as one for `following`, if its first word may begin another action; others as is."""
    text, act = rule
    head, _, tail = text.partition(" : ")
    follows = head == "action" and tail.split()[0].strip("'") in _FOLLOWING
    return (f"following : {tail}" if follows else text), act
