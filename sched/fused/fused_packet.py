"""The class of the packets of one fused run: what all of them have in common is an attribute of the class."""

from __future__ import annotations

from typing import Any

from ebpfvm.sched.account import Packet


def packet_class(common: dict[str, Any]) -> type[Packet]:
    """Return a class of packets that have the attributes `common`.

    A packet that is given another value keeps it in its `__dict__`, except for the flow hash, which has a slot.
    """
    return type("Packet", (Packet,), {"__slots__": ("hash",), "__module__": Packet.__module__, **common})
