"""The registered structs of operations, which are maps to user space: what `bpftool struct_ops` lists and removes.

Source: kernel/bpf/bpf_struct_ops.c, tools/bpf/bpftool/struct_ops.c, Linux 7.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.sched.sch_struct_ops import SchStructOps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.sched.sch_generic import Qdisc, QdiscDevice
    from ebpfvm.sched.sch_struct_ops import QdiscOps


@dataclass(slots=True)
class StructOpsMap:
    """A struct that was registered.

    Attributes:
        id: its number; a kernel counts all maps, so its numbers are higher.
        name: name of the variable.
        kind: the kind of qdisc.
        link: the folder of the link that holds it, "" for none.
        registered: whether new qdiscs of the kind can be made; otherwise only those that exist keep it alive.
    """

    id: int
    name: str
    kind: QdiscOps
    link: str = ""
    registered: bool = True


class StructOpsMaps:
    """The structs that were registered in a namespace.

    Args:
        kinds: its further kinds of qdiscs, to which these are added.
        qdiscs: returns all its qdiscs.
    """

    def __init__(self, kinds: dict[str, Callable[[QdiscDevice, int, int, Qdisc | None], Qdisc]],
                 qdiscs: Callable[[], Iterator[Qdisc]]) -> None:
        self._kinds, self._qdiscs = kinds, qdiscs
        self._maps: list[StructOpsMap] = []
        self._last = 0

    def add(self, name: str, kind: QdiscOps, link: str = "") -> StructOpsMap:
        """Register a kind of qdisc, whose name is not taken."""
        self._last += 1
        made = StructOpsMap(self._last, name, kind, link)
        self._maps.append(made)
        self._kinds[kind.id] = lambda dev, handle, parent, upper: SchStructOps(dev, handle, kind, parent, upper)
        return made

    def remove(self, item: StructOpsMap) -> None:
        """Remove a kind of qdisc; the qdiscs that exist stay."""
        item.registered = False
        del self._kinds[item.kind.id]

    def listed(self) -> list[StructOpsMap]:
        """Return those that exist: registered, or used by a qdisc."""
        used = [qdisc.ops for qdisc in self._qdiscs() if isinstance(qdisc, SchStructOps)]
        self._maps = [item for item in self._maps if item.registered or item.kind in used]
        return self._maps
