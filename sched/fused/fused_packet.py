"""The class of the packets of one fused run: what all of them have in common is an attribute of the class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ebpfvm.sched.account import Packet

UNUSUAL: Final = "wire_len", "gso_segs", "tstamp", "sk", "mark", "tc_index", "vlan_tci", "napi_id", "tstamp_type"
"""What the packets that sources send have the usual value of: none, or the length."""


class _Usual:
    """An attribute that has its usual value, until somebody gives a packet another one.

    Args:
        name: its name.
        told: what is called then.
    """

    def __init__(self, name: str, told: Callable[[], None]) -> None:
        self._name, self._told = name, told

    def __get__(self, skb: Packet | None, owner: type[Packet]) -> Any:
        usual = 0 if skb is None or self._name != "wire_len" else skb.len
        return usual if skb is None else skb.__dict__.get(self._name, usual)

    def __set__(self, skb: Packet, value: Any) -> None:
        skb.__dict__[self._name] = value
        self._told()


def packet_class(base: type[Packet], common: dict[str, Any], usual: Iterable[str] = (),
                 told: Callable[[], None] | None = None) -> type[Packet]:
    """Return a class of packets, derived from `base`, that have the attributes `common`.

    A packet that is given another value keeps it in its `__dict__`, except for the flow hash, which has a slot. `told`
    is called if it is one of the attributes `usual`.
    """
    watched = {name: _Usual(name, told) for name in usual} if told is not None else {}
    return type("Packet", (base,), {"__slots__": ("hash",), "__module__": base.__module__, **common, **watched})


def is_usual(skb: Packet, name: str) -> bool:
    """Return whether an attribute of a packet has its usual value."""
    return bool(getattr(skb, name) == (skb.len if name == "wire_len" else 0))
