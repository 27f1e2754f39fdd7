"""clsact and ingress: places on a device for filters, without queues (net/sched/sch_ingress.c, Linux 7.2).

The filters themselves belong to the device (`hooks` of `ebpfvm.sched.netdev.NetDev`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption

if TYPE_CHECKING:
    from collections.abc import Sequence


def nothing(items: Sequence[tuple[str, Any]], folder: str) -> dict[str, Any]:
    """Return no arguments, because `ingress` has only one possible handle."""
    return {}


CLSACT: Final = QdiscKind(name="clsact", make=None, hooks=("ingress", "egress"), arguments=nothing,
                          doc="Filters for what arrives at a device and for what leaves by it.")
INGRESS: Final = QdiscKind(
    name="ingress", make=None, hooks=("ingress",), arguments=nothing, doc="Filters for what arrives at a device.",
    options=(QdiscOption(word="handle", value="HANDLE", argument="", default="ffff:",
                         doc="is taken and does nothing: the handle is always ffff:"),))
