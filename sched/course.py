"""Several links in a row, with a device and a qdisc in front of each, and a way back for acknowledgments.

The first link is that of the simulation, in front of which eth0 stands. Each further one has a device: hop1, hop2, ...
A packet that has left a link arrives at the next device after the propagation delay. Traffic may enter at a later link
and leave at an earlier one (`Routed`), so that flows that cross one bottleneck each meet one that crosses all of them
(a parking lot). With a way back, acknowledgments are packets in the queue of the device back0.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.traffic import group_source
from ebpfvm.sched.traffic_words import Traffic, TrafficKey
from ebpfvm.sched.wire import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.flows import Flow
    from ebpfvm.sched.netdev import Namespace, NetDev
    from ebpfvm.sched.tc.grammar import Command

BACK: Final = "back0"
_MOST: Final = 64  # links
ROUTE: Final = (
    TrafficKey("enter", "number", "link at which it enters, of several in a row", None, "0, the first", (0, _MOST)),
    TrafficKey("leave", "number", "link behind which it leaves", None, "the last", (0, _MOST)))
"""The keys of all traffic that say which links it crosses."""


class HopSpec(NamedTuple):
    """A link, and the qdisc in front of it.

    Attributes:
        rate: bits per second.
        delay: propagation delay (ns).
        mtu: largest packet in bytes, None for no limit.
        tc: words of `tc qdisc add dev ... root`; empty for the default qdisc.
    """

    rate: int
    delay: int = 0
    mtu: int | None = None
    tc: str = ""


@dataclass(frozen=True, slots=True)
class Routed(Traffic):
    """Traffic that crosses some links of several.

    Attributes:
        traffic: the traffic.
        enter, leave: numbers of the first and the last link, from 0; None for those of all traffic.
    """

    traffic: Traffic
    enter: int | None
    leave: int | None

    @property
    def label(self) -> str:
        """What it is, in short."""
        return (f"{self.traffic.label} {self.enter or 0}"
                f"-{'' if self.leave is None else self.leave}")

    @property
    def expected(self) -> int:
        """About how many packets it will send."""
        return self.traffic.expected

    def expected_alone(self, rate: int, end: int | None) -> int:
        """Return about how many packets more it will send, as if it crossed the first link only."""
        return self.traffic.expected_alone(rate, end)

    def add_to(self, simulation: Any, seed: int, group: int) -> None:
        """Add it to a simulation, whose course has to have these links."""
        simulation.course.route(group, self.enter, self.leave)
        self.traffic.add_to(simulation, seed, group)


def routed(make: Callable[[Mapping[str, Any]], Traffic]) -> Callable[[Mapping[str, Any]], Traffic]:
    """Return what makes traffic as `make` does, and lets it enter and leave as the keys of `ROUTE` say."""
    def made(values: Mapping[str, Any]) -> Traffic:
        traffic, enter, leave = make(values), values["enter"], values["leave"]
        return traffic if enter is leave is None else Routed(traffic, enter, leave)
    return made


class Course:
    """The links that packets of a simulation cross.

    Args:
        first: the link of the simulation.
        hops: the links behind it.
        back: the way back of acknowledgments, None for one without a queue.

    Attributes:
        back: the same.
        plain: whether there is the first link only.
        passed, passed_bytes: packets that the first link has sent, and their bytes.
    """

    def __init__(self, first: Link, hops: Sequence[HopSpec] = (), back: HopSpec | None = None) -> None:
        self._first, self._hops, self.back = first, tuple(hops), back
        self.plain = not hops and back is None
        self.passed = self.passed_bytes = 0
        self._devices: list[NetDev] = []
        self._routes: dict[int, tuple[int, int]] = {}  # by group
        self._known: dict[Flow, tuple[int, int]] = {}
        self._back_device: NetDev | None = None
        self._sources: dict[bytes, tuple[int, int]] = {}

    def route(self, group: int, enter: int | None, leave: int | None) -> None:
        """Let the traffic of a group enter and leave at these links.

        Raises:
            UsageError: there is no such link, or it would leave before it enters.
        """
        last = len(self._hops)
        first, end = enter or 0, last if leave is None else leave
        if not first <= end <= last:
            raise UsageError(f"traffic enters at link {first} and leaves at link {end}; there "
                             f"{'is only link 0' if not last else f'are links 0 to {last}'}")
        self._routes[group] = first, end

    def delay(self, group: int) -> int:
        """Return the propagation delay (ns) of the links that the traffic of a group crosses."""
        first, end = self._routes.get(group, (0, len(self._hops)))
        return sum([self._first.delay, *(hop.delay for hop in self._hops)][first:end + 1])

    def build(self, net: Namespace, later: list[Command]) -> None:
        """Create the devices behind eth0, and let their counters be shown after the run.

        Raises:
            ScriptError: a qdisc cannot be created.
        """
        self._devices = [net.device("eth0"), *(self._device(net, f"hop{number}", hop, later)
                                               for number, hop in enumerate(self._hops, 1))]
        if self._hops:
            for device in self._devices:
                device.onward = self._pass_on
        if self.back is not None:
            self._back_device = self._device(net, BACK, self.back, later)
        self._sources = {IPv4Address(group_source(group)).packed: route for group, route in self._routes.items()}

    def _device(self, net: Namespace, name: str, hop: HopSpec, later: list[Command]) -> NetDev:
        from ebpfvm.sched.tc.script import run_script  # imported here, because most runs have one link
        device = net.add_device(name, link=Link(hop.rate, hop.delay, hop.mtu), up=True)
        if hop.tc:
            run_script(f"tc qdisc add dev {name} root {hop.tc}", net, name)
        run_script(f"tc -s qdisc show dev {name}", net, name, later=later)
        return device

    def _route_of(self, flow: Flow) -> tuple[int, int]:
        found = self._known.get(flow)
        if found is None:
            found = self._known[flow] = self._sources.get(flow.key.src, (0, len(self._hops)))
        return found

    def enter(self, skb: Packet) -> None:
        """Let a packet arrive at the first of its links."""
        self._devices[self._route_of(skb.flow)[0]].xmit(skb)

    def acknowledge(self, skb: Packet) -> None:
        """Let an acknowledgment arrive at the way back."""
        assert self._back_device is not None
        self._back_device.xmit(skb)

    def _pass_on(self, device: NetDev, skb: Packet) -> bool:
        """Let a packet that has left a link arrive at the next; return whether there is one for it."""
        at = self._devices.index(device)
        if not at:
            self.passed += 1
            self.passed_bytes += skb.len
        if at >= self._route_of(skb.flow)[1]:
            return False
        device.net.hand(skb, f"link {device.name}")
        device.loop.at(device.loop.now + device.link.delay, self._devices[at + 1].xmit, skb)
        return True

    def dropped_behind(self) -> int:
        """Return how many packets the qdiscs behind the first link have dropped."""
        devices = [*self._devices[1:], *([self._back_device] if self._back_device is not None else [])]
        return sum(device.qdisc.kernel_view.drops + device.too_big for device in devices)
