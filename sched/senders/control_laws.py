"""All laws of congestion control by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.errors import UsageError
from ebpfvm.sched.senders.bbr import Bbr
from ebpfvm.sched.senders.congestion import Cubic, Dctcp, Prague, Reno

if TYPE_CHECKING:
    from ebpfvm.sched.senders.congestion import Congestion


LAWS: Final[dict[str, type[Congestion]]] = {law.name: law for law in (Reno, Cubic, Dctcp, Prague, Bbr)}
"""The laws by their names, in the order in which they are listed for users."""


def law_named(name: str) -> type[Congestion]:
    """Return the law of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in LAWS:
        raise UsageError(f"cc={name} is none of {', '.join(LAWS)}")
    return LAWS[name]
