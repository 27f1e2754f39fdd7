"""`tc actions`: actions that no filter has created (tc_ctl_action, net/sched/act_api.c, Linux 7.2)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errnos import EEXIST, ENOENT, EPERM
from ebpfvm.sched.shown import Part, entry, list_of, printed
from ebpfvm.sched.tc.actions import ACTIONS, action_rules
from ebpfvm.sched.tc.command import Commands, refuse
from ebpfvm.sched.tc.lr import TcGrammar, append
from ebpfvm.sched.tc.manual_words import manual_words
from ebpfvm.sched.tc.show_filter import action_parts
from ebpfvm.sched.tc.word_kinds import VALUES

if TYPE_CHECKING:
    from collections.abc import Collection

    from ebpfvm.sched.tc.action import Action
    from ebpfvm.sched.tc.grammar import Command

_KEPT: Final = ("index", "bound", "own", "stats", "made", "used", "first_used")


@cache
def actions_grammar() -> TcGrammar:
    """Return the grammar of the arguments of `add`, `change` and `replace`."""
    return TcGrammar([("acts : act", lambda item: [item]), ("acts : acts act", append), *action_rules()], VALUES,
                     manual_words("actions"))


@cache
def named_grammar(index: bool) -> TcGrammar:
    """Return the grammar of `action KIND`, with `index N` or without."""
    tail = " 'index' NUMBER" if index else ""
    return TcGrammar([(f"what : 'action' kind{tail}", lambda _, kind, *more: (kind, *more[1:])),
                    *((f"kind : '{kind}'", lambda kind: kind) for kind in ACTIONS)], VALUES)


class ActionCommands(Commands):
    """Execute `tc actions`."""

    def run(self, command: Command) -> list[str]:
        """Execute a command, and return the lines that it prints."""
        if command.verb in ("add", "change", "replace"):
            items = actions_grammar().parse(command.options, command.at, self.source)
            for word, value in items:
                for kind, options in value if word == "actions" else [value]:
                    self._add(kind, options, command.verb == "add")
            return []
        single = command.verb in ("get", "del")
        kind, *index = named_grammar(single).parse(command.options, command.at, self.source)
        if single:
            return self._one(command, kind, index[0])
        found = sorted((action for (known, _), action in self.net.actions.items() if known == kind),
                       key=lambda action: action.index)
        return self._flush(found) if command.verb == "flush" else self._show(found, command.flags)

    def _add(self, kind: str, options: dict[str, Any], exclusive: bool) -> None:
        old = self.net.actions.get((kind, options.get("index", 0)))
        if old is None:
            self.builder.action(kind, options).own = True
            return
        if exclusive:
            refuse(EEXIST, "File exists", f"action {kind} index {old.index}")
        new = self.builder.make_action(kind, options)
        vars(old).update({name: value for name, value in vars(new).items() if name not in _KEPT})
        old.replaced = True

    def _one(self, command: Command, kind: str, index: int) -> list[str]:
        found = self.net.actions.get((kind, index))
        if found is None:
            refuse(ENOENT, "TC action with specified index not found", f"action {kind} index {index}")
        if command.verb == "get":
            return self._printed(0, [_with_hardware(found, 1, self.net.kernel.clock, False)], command.flags)
        if found.bound:
            refuse(EPERM, "Failed to delete TC action", f"{found.bound} filters use it")
        del self.net.actions[kind, index]
        return []

    def _flush(self, found: list[Action]) -> list[str]:
        for action in found:
            if not action.bound:
                del self.net.actions[action.kind, action.index]
        if any(action.bound for action in found):
            refuse(EPERM, "Operation not permitted", "filters use some of these actions")
        return []

    def _show(self, found: list[Action], flags: Collection[str]) -> list[str]:
        """Return the lines of a list, which is empty if there are no actions."""
        now, stats = self.net.kernel.clock, "s" in flags
        items = [_with_hardware(action, order, now, stats) for order, action in enumerate(found)]
        return self._printed(len(items), items, flags) if found else printed([], flags)

    def _printed(self, count: int, items: list[list[Part]], flags: Collection[str]) -> list[str]:
        total = entry("total acts", count, "total acts {}")
        acts = list_of("actions", items)
        return printed([[total], [acts]] if "j" in flags else [[total, acts]], flags)


_NOT_IN_HW: Final = Part("\n\tnot_in_hw", "not_in_hw", True)
_NO_HW_STATS: Final = Part("\n\tused_hw_stats disabled", "used_hw_stats", ["disabled"])


def _with_hardware(action: Action, order: int, now: int, stats: bool) -> list[Part]:
    """Return an action, and that no hardware applies it."""
    silent = action.replaced or not ACTIONS[action.kind].offload
    return [*_listed(action, order, now, stats), _NOT_IN_HW, *([] if silent else [_NO_HW_STATS])]


def _listed(action: Action, order: int, now: int, stats: bool) -> list[Part]:
    return [entry("order", order, "\n\n\taction order {}: "), *action_parts(action, now, stats)]
