"""State machines for hypothesis: a map beside a dictionary, and a qdisc whose packets must all be accounted for.

Derive a class, set its attributes, and give its `TestCase` to pytest:

>>> from ebpfvm.testing.state_machines import MapMachine
>>> class MyMap(MapMachine):
...     type = "lru_hash"
...     evicts = True
>>> TestMyMap = MyMap.TestCase
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ebpfvm.dialects import linux
from ebpfvm.errnos import E2BIG, EEXIST, ENOENT
from ebpfvm.experiments import open_namespace
from ebpfvm.kernel import Kernel
from ebpfvm.loader.object import MapSpec
from ebpfvm.maps import make_map
from ebpfvm.sched.packet import build
from ebpfvm.sched.tc.script import run_script

if TYPE_CHECKING:
    from ebpfvm.contract import Dialect
    from ebpfvm.sched.netdev import Namespace

_ANY, _NOEXIST, _EXIST = 0, 1, 2
_DEVICE: Final = "ip link add eth0 type dummy; ip link set eth0 up\n"


class MapMachine(RuleBasedStateMachine):
    """Operations of user space on a map with keys, beside a dictionary that gets the same.

    Attributes:
        type: name of the map type.
        entries: size of the map; keys are numbers below twice that.
        evicts: whether a full map drops an old element for a new one, as maps of type lru_hash do.
    """

    type = "hash"
    entries = 4
    evicts = False

    def open(self) -> Any:
        """Return the map: something with `sys_update`, `sys_lookup`, `sys_delete` and `keys`, which raise OSError."""
        spec = MapSpec(self.type, 4, 8, self.entries, name="tested")
        return make_map(Kernel(self.dialect()), spec)

    def dialect(self) -> Dialect:
        """Return the kernel that the map belongs to."""
        return linux()

    @initialize()
    def begin(self) -> None:
        """Create the map."""
        self.map, self.model = self.open(), dict[bytes, bytes]()

    def _keys(self, number: int) -> bytes:
        return (number % (2 * self.entries)).to_bytes(4, "little")

    @rule(number=st.integers(0, 63), value=st.integers(0, 255), flags=st.sampled_from((_ANY, _ANY, _NOEXIST, _EXIST)))
    def update(self, number: int, value: int, flags: int) -> None:
        """Write an element; what is returned depends on the flags, and on whether the map is full."""
        key, data = self._keys(number), value.to_bytes(8, "little")
        expected = (EEXIST if flags == _NOEXIST and key in self.model else
                    ENOENT if flags == _EXIST and key not in self.model else
                    E2BIG if key not in self.model and len(self.model) >= self.entries and not self.evicts else 0)
        assert _errno(lambda: self.map.sys_update(key, data, flags)) == expected
        if not expected:
            self.model[key] = data
            if self.evicts:
                kept = set(self.map.keys())
                assert key in kept
                self.model = {one: other for one, other in self.model.items() if one in kept}

    @rule(number=st.integers(0, 63))
    def delete(self, number: int) -> None:
        """Delete an element."""
        key = self._keys(number)
        assert _errno(lambda: self.map.sys_delete(key)) == (0 if key in self.model else ENOENT)
        self.model.pop(key, None)

    @rule(number=st.integers(0, 63))
    def lookup(self, number: int) -> None:
        """Read an element."""
        key = self._keys(number)
        if key in self.model:
            assert bytes(self.map.sys_lookup(key)) == self.model[key]
        else:
            assert _errno(lambda: self.map.sys_lookup(key)) == ENOENT

    @invariant()
    def same_keys(self) -> None:
        """Check that the map has the keys of the dictionary."""
        assert sorted(self.map.keys()) == sorted(self.model)


def _errno(act: Any) -> int:
    """Return the errno that an operation raises, 0 for none."""
    try:
        act()
    except OSError as error:
        return error.errno or 0
    return 0


class SentPacketsMachine(RuleBasedStateMachine):
    """Packets that are sent through a qdisc at any time: none is lost, freed twice, or made.

    Attributes:
        script: commands that set up the qdisc of device eth0, as in a file for `--tc`.
        folder: where paths of object files in the script begin.
        mainline: whether the kernel is Linux; otherwise it is that of the RFC.
        drains: whether the queue is empty when nothing has been sent for a long time.
    """

    script = "tc qdisc add dev eth0 root tbf rate 1mbit burst 3000 limit 20000"
    folder = ""
    mainline = True
    drains = True

    @initialize()
    def begin(self) -> None:
        """Set up the device and its qdisc."""
        self.net: Namespace = open_namespace(mainline=self.mainline)
        run_script(_DEVICE + self.script, self.net, folder=self.folder)
        self.given = 0

    @rule(length=st.integers(60, 1514), priority=st.integers(0, 7), mark=st.integers(0, 3), count=st.integers(1, 8),
          sport=st.integers(1000, 1003))
    def send(self, length: int, priority: int, mark: int, count: int, sport: int) -> None:
        """Send a few packets of one flow."""
        for _ in range(count):
            self.given += 1
            packet = self.net.packet(build("udp", sport=sport, length=length), priority=priority, mark=mark)
            self.net.device("eth0").xmit(packet)

    @rule(time=st.integers(0, 20_000_000))
    def wait(self, time: int) -> None:
        """Let time pass, in ns."""
        self.net.loop.run(until=self.net.kernel.clock + time)

    @invariant()
    def all_accounted_for(self) -> None:
        """Check that each packet is still inside, or has left or been dropped once."""
        account = self.net.account
        assert not account.problems, [item.message for item in account.problems]
        assert self.given == account.sent + account.dropped + account.freed_packets + len(list(account.waiting()))

    def teardown(self) -> None:
        """Wait until the queue is empty, if it should get so."""
        if self.drains and hasattr(self, "net"):
            self.net.loop.run()
            assert not list(self.net.account.waiting())
