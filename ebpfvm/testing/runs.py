"""Run a program for tests: a sequence of inputs on one kernel, with any engine.

`Machine` keeps kernel, maps and engine between runs, so that each run sees the maps as the previous one left them.
`Given` is an input, and `RunOutcome` everything that can be observed afterwards; engines that agree yield equal
outcomes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.errors import Fault, UsageError
from ebpfvm.kernel import Kernel, SchBpfCtx, SkbCtx, XdpBuff, XdpCtx
from ebpfvm.kernel.layouts import layout_of
from ebpfvm.kernel.memory import BUFFER_IDS, REGION_SHIFT
from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.loaded import Loaded
from ebpfvm.net import ETH_HLEN, ETH_P_8021Q, ETH_P_ARP, ETH_P_IP, ETH_P_IPV6
from ebpfvm.runners import HANDLE, made_up_skb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from ebpfvm.contract import Dialect
    from ebpfvm.kernel.memory import Region
    from ebpfvm.kernel.program import Engine
    from ebpfvm.loader.object import Program

_SKB_TYPES = frozenset({"sched_cls", "sched_act", "socket_filter", "cgroup_skb"})
# Fields of a packet that an input may set, and their sizes in bits.
_FIELDS = {"mark": 32, "priority": 32, "tc_index": 16, "hash": 32, "pkt_type": 3, "tstamp": 63, "queue_mapping": 12,
           "vlan_tci": 16, "ingress_ifindex": 8, "tc_classid": 16, "napi_id": 16}

_ETHERTYPES = tuple(kind.to_bytes(2, "big") for kind in (ETH_P_IP, ETH_P_IPV6, ETH_P_ARP, ETH_P_8021Q))


@dataclass(frozen=True, slots=True)
class Given:
    """The input of one run.

    Attributes:
        data: the packet, starting at the Ethernet header, at least 14 bytes.
        fields: attributes of the packet.
        maps: elements that are set before the run: index -> key -> value.
    """

    data: bytes
    fields: Mapping[str, Any] = field(default_factory=dict)
    maps: Mapping[int, Mapping[bytes, bytes]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """The outcome of one run.

    Attributes:
        result: r0, or the memory and the offset of an address in r0, or the kind of the fault and its slot.
        data: the packet afterwards.
        maps: by index: every live value, in the map's order.
        trace: lines written with bpf_trace_printk.
        held: references that the program still holds; packets by serial and their holders.
    """

    result: int | tuple[str, int | None]
    data: bytes
    maps: tuple[tuple[bytes, ...], ...]
    trace: tuple[str, ...]
    held: tuple[tuple[int, tuple[str, ...]], ...]
    fault: str = field(default="", compare=False)


class Machine:
    """A kernel with one program in one engine.

    Args:
        program: a program of type sched_cls, sched_act, socket_filter, cgroup_skb, xdp or qdisc.
        dialect: the kernel's dialect.
        engine: the engine, possibly with hooks.
        seed: random seed.

    Raises:
        UsageError: test runs do not support the type.
    """

    def __init__(self, program: Program, dialect: Dialect, engine: Engine, seed: int = 0) -> None:
        self.program = program
        self.kernel = Kernel(dialect, seed)
        self.loaded = Loaded(self.kernel, engine, judge=lambda program: ())  # the program has already been verified
        self.type = dialect.prog_type(program.type)
        if self.type.name not in _SKB_TYPES | {"xdp", "qdisc"}:
            raise UsageError(f"a program of type {self.type.name} cannot be run on a packet")
        self.layout = layout_of(self.type, program.attach)
        self.run = self.loaded.program(program)
        self.program = self.run.prog.program
        self.maps = [self.loaded.map(spec, index) for index, spec in enumerate(self.program.maps)]

    def __call__(self, given: Given) -> RunOutcome:
        """Run the program once and return the outcome."""
        self._fill(given)
        context, packet = self._context(given)
        fault, result = "", 0
        before = len(self.kernel.trace)
        try:
            result = self.run(context)
        except Fault as error:
            fault, ended = str(error), (error.kind, error.pc)
        maps = self._contents()
        refs = self.kernel.refs
        held = tuple((obj.serial, tuple(refs.names(obj))) for obj in refs.live())
        return RunOutcome(ended if fault else self._told(result), packet.payload(), maps,
                          tuple(self.kernel.trace[before:]), held, fault)

    def _told(self, result: int) -> int | tuple[str, int]:
        """Return a result; an address is told by the memory's kind and the offset, because engines may differ in it."""
        found = self._place(result)
        return result if found is None else (f"{found.kind} {found.name}", result - found.base)

    def _place(self, number: int) -> Region | None:
        """Return the memory in which an address is, but none for packets and objects, whose addresses are fixed."""
        found = self.kernel.memory.regions.get(number >> REGION_SHIFT) if number >> REGION_SHIFT < BUFFER_IDS else None
        return found if found is not None and 0 <= number - found.base <= found.size else None

    def _contents(self) -> tuple[tuple[bytes, ...], ...]:
        """Return the values of the maps; an address in an aligned word is told by the memory's name and the offset.

        Memory is numbered when it is first asked for, so engines may differ in addresses, except in those of packets
        and objects.
        """
        return tuple(tuple(self._comparable(bytes(region.data)) for region in found.values()) for found in self.maps)

    def _comparable(self, data: bytes) -> bytes:
        words = [data[at:at + 8] for at in range(0, len(data), 8)]
        for at, word in enumerate(words):
            number = int.from_bytes(word, "little")
            found = self._place(number)
            if found is not None:
                words[at] = f"{found.name}+{number - found.base}".encode()
        return b"".join(words)

    def _fill(self, given: Given) -> None:
        for index, items in given.maps.items():
            for key, value in items.items():
                try:
                    self.maps[index].sys_update(key, value)
                except OSError:
                    continue  # full, frozen, or not writable by user space: the map is left unchanged

    def _context(self, given: Given) -> tuple[Any, Any]:
        kernel = self.kernel
        if self.type.name == "xdp":
            buff = XdpBuff(kernel, given.data, ingress_ifindex=1)
            return XdpCtx(kernel, buff, self.layout), buff
        visible = given.data if self.type.name in ("sched_cls", "sched_act", "qdisc") else given.data[ETH_HLEN:]
        skb = made_up_skb(kernel, visible, given.data)
        for name, value in given.fields.items():
            setattr(skb, name, value)
        if self.type.name != "qdisc":
            return SkbCtx(kernel, skb, self.layout), skb
        context = SchBpfCtx(kernel, self.layout)
        context.prepare(skb if self.program.attach == "enqueue" else None, HANDLE)
        return context, skb


def given(random: Random, program: Program) -> Given:
    """Return a random input for a program: packets of any length from 14 bytes on, mostly short ones."""
    length = random.choice((14, 14, 15, 20, 34, 42, 60, 64, random.randrange(14, 128), random.randrange(14, 400)))
    data = bytearray(random.randbytes(length))
    if random.random() < 0.5:
        data[12:14] = random.choice(_ETHERTYPES)
        data[14:16] = random.choice((b"\x45\x00", b"\x46\x00", b"\x60\x00", bytes(2)))[:max(length - 14, 0)]
    names = random.sample(sorted(_FIELDS), random.randrange(4))
    fields: dict[str, Any] = {name: _number(random, _FIELDS[name]) for name in names}
    fields |= {"cb": [_number(random, 32) for _ in range(5)]} if random.random() < 0.3 else {}
    return Given(bytes(data), fields, _elements(random, program))


def _elements(random: Random, program: Program) -> dict[int, dict[bytes, bytes]]:
    found: dict[int, dict[bytes, bytes]] = {}
    for index, spec in enumerate(program.maps):
        if spec.data is not None or not spec.key_size or random.random() < 0.3:
            continue
        elements = found.setdefault(index, {})
        for _ in range(random.randrange(3)):
            key = random.choice((0, 1, 2, _number(random, 8 * spec.key_size))) & (1 << 8 * spec.key_size) - 1
            value = _number(random, 8 * spec.value_size) if random.random() < 0.5 else random.getrandbits(
                8 * spec.value_size)
            elements[key.to_bytes(spec.key_size, "little")] = value.to_bytes(spec.value_size, "little")
    return found


def _number(random: Random, bits: int) -> int:
    """Return a number of up to `bits` bits, often one at an edge."""
    kind = random.randrange(4)
    if kind == 0:
        return random.choice((0, 1, 2, 4, 7, 8, 16, 64, 255)) & (1 << bits) - 1
    if kind == 1:
        return (1 << random.randrange(bits + 1)) - random.randrange(2) & (1 << bits) - 1
    return random.getrandbits(random.randrange(bits) + 1)
