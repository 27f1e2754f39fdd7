"""All laws of congestion control by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.sched.senders.bbr import Bbr
from ebpfvm.sched.senders.congestion import Cubic, Dctcp, Prague, Reno

if TYPE_CHECKING:
    from ebpfvm.sched.senders.congestion import Congestion


def laws() -> dict[str, type[Congestion]]:
    """Return the laws by their names, in the order in which they are listed for users."""
    return {law.name: law for law in (Reno, Cubic, Dctcp, Prague, Bbr)}
