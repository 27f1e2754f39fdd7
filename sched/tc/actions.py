"""The list of the kinds of actions, and the syntax of all of them after the word `action` (tc-actions(8))."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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
from ebpfvm.sched.tc.lr import option
from ebpfvm.sched.tc.mirred import MIRRED

if TYPE_CHECKING:
    from ebpfvm.sched.tc.lr import Rule

ACTIONS: Final = {kind.name: kind for kind in (
    ACT_BPF, CONNMARK, CSUM, CTINFO, GACT, MIRRED, NAT, PEDIT, POLICE, SAMPLE, SIMPLE, SKBEDIT, SKBMOD, VLAN)}
"""Every kind of action by its name."""


def action_rules() -> list[Rule]:
    """Return the rules for `action` and `police`."""
    return [("act : 'action~' action", option("action", "action")),
            ("act : police", lambda action: ("police", action)), *control_rules(),
            *(rule for kind in ACTIONS.values() for rule in kind.rules())]
