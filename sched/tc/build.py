"""Build qdiscs, actions and comparisons of filters from the options of a command.

Defaults and checks are those of `tc` and the kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.errnos import EINVAL, EOPNOTSUPP
from ebpfvm.errors import UsageError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.sched.qdiscs.kinds import QDISCS
from ebpfvm.sched.sch_generic import TC_H_ROOT
from ebpfvm.sched.tc.action_kind import COMMON
from ebpfvm.sched.tc.actions import ACTIONS
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.filters import FILTERS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.kernel.program import Runnable
    from ebpfvm.sched.netdev import Namespace, NetDev
    from ebpfvm.sched.sch_generic import Qdisc
    from ebpfvm.sched.tc.action import Action

    Options = Mapping[str, Any]



@dataclass(frozen=True)
class TcBuilder:
    """Builds objects for a namespace.

    Attributes:
        net: the namespace.
        folder: the folder from which relative paths of objects start.
    """

    net: Namespace
    folder: str = ""

    def program(self, path: str, section: str, hook: str) -> Runnable:
        """Return a program of an object.

        It is found by section or function name, or as the only one that fits the hook ("enqueue", "dequeue", "cls",
        "act").

        Raises:
            UsageError: the namespace cannot load programs.
        """
        if self.net.load_program is None:
            raise UsageError(f"object {path}: this namespace cannot load programs")
        return self.net.load_program(self._full(path), section, hook)

    def block(self, index: int) -> Block:
        """Return the shared block of a number, which may be new."""
        return self.net.blocks.setdefault(index, Block(index=index))

    def register(self, path: str, links: str = "") -> list[str]:
        """Register the qdiscs of an object that fills struct_ops, and return the lines that bpftool prints.

        Links of variables in .struct_ops.link are pinned in the folder `links`.

        Raises:
            UsageError: the namespace cannot load programs.
        """
        if self.net.register is None:
            raise UsageError(f"object {path}: this namespace cannot load programs")
        return self.net.register(self._full(path), links)

    def _full(self, path: str) -> str:
        return path if path.startswith("/") or not self.folder else f"{self.folder}/{path}"

    # ---- qdiscs -------------------------------------------------------------------------------------------

    def qdisc_options(self, kind: str, items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        """Return the arguments of a kind's class, only for options that are given.

        Raises:
            UsageError: `tc` would refuse the options.
        """
        return QDISCS[kind].arguments(items, self.folder)

    def qdisc(self, kind: str, dev: NetDev, handle: int, options: Options, parent: int = TC_H_ROOT,
              upper: Qdisc | None = None) -> Qdisc:
        """Return a new qdisc, which will be attached to the class `parent` of `upper`.

        Raises:
            OSError: EINVAL or EOPNOTSUPP if the kind refuses the options.
        """
        if kind in self.net.qdisc_kinds:
            return self.net.qdisc_kinds[kind](dev, handle, parent, upper)
        found = QDISCS[kind]
        assert found.make is not None  # ingress and clsact belong to the device
        return found.make(dev, handle, **found.resolve(dict(options), self))

    def change_qdisc(self, qdisc: Qdisc, options: Options) -> None:
        """Change the options of a qdisc; raise as `qdisc` does."""
        found = QDISCS.get(qdisc.kind)
        qdisc.change(**(options if found is None else found.resolve(dict(options), self)))

    # ---- actions ------------------------------------------------------------------------------------------

    def action(self, kind: str, options: Options) -> Action:
        """Return a new action, or the one that has the requested index."""
        known = self.net.actions
        index = options.get("index", 0)
        found = known.get((kind, index))
        if found is None:
            found = self.make_action(kind, options)
            found.made = self.net.kernel.clock
            found.cookie = options.get("cookie", b"")
            found.no_percpu, found.hw_stats = options.get("no_percpu", False), options.get("hw_stats")
            found.index = index or next(n for n in range(1, len(known) + 2) if (kind, n) not in known)
            known[kind, found.index] = found
        return found

    def make_action(self, kind: str, options: Options) -> Action:
        """Return a new action, which has no index yet."""
        given = {word: value for word, value in options.items() if word not in COMMON}
        if ACTIONS[kind].by_index and not given:
            raise OSError(EINVAL, f"Invalid argument: there is no action {kind} of index {options['index']}")
        return ACTIONS[kind].make(given, self)

    # ---- filters ------------------------------------------------------------------------------------------

    def filter(self, kind: str, protocol: int, items: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        """Return the options of a filter, by word, with actions built and keys packed, and raise for contradictions."""
        options: dict[str, Any] = {word: value for word, value in items if word not in ("action", "match")}
        if "skip_sw" in options and "skip_hw" in options:
            raise UsageError("skip_hw and skip_sw are mutually exclusive")
        if "skip_sw" in options and not FILTERS[kind].skip_sw:
            raise OSError(EOPNOTSUPP, "Operation not supported: there is no hardware that could match instead")
        options.pop("police", None)
        acts = [word for word, _ in items if word in ("action", "police")]
        options.pop("actions", None)
        wanted = [action for word, value in items for action in (
            value if word == "actions" else [value] if word in ("action", "police") else [])]
        actions = [self.action(*action) for action in wanted]
        if acts == ["police"] and FILTERS[kind].police:
            options["police"] = True  # shown as it was written
        if actions:
            options["actions"] = actions
        if "indev" in options:
            options["indev"] = self.net.device(options["indev"])
        matches = [value for word, value in items if word == "match"]
        FILTERS[kind].complete(options, matches, protocol, self)
        return options
