"""Run one program on one packet, as BPF_PROG_TEST_RUN does (net/bpf/test_run.c, Linux 6.18 and 7.2).

Where Linux looks at a request and says EINVAL, ebpfvm does what was asked and warns (`TestRun.warnings`), as long as
there is a sensible way to do it: any field of the context may be set. A packet that is too short is refused.

What a program sees:

================================  ==========================================================================
sched_cls, sched_act              the packet from the Ethernet header on
xdp                               the same; the first 3520 bytes of a large packet
socket_filter, cgroup_skb, lwt_*  the packet from the network header on; afterwards the Ethernet header is zero
qdisc (RFC)                       its context; the packet belongs to the program in enqueue
================================  ==========================================================================
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ebpfvm import arguments
from ebpfvm.api import dialect_of, only_program
from ebpfvm.arguments import Path
from ebpfvm.btf.types import Btf
from ebpfvm.errors import Rejected, UsageError
from ebpfvm.funcs.timer import timers_of
from ebpfvm.kernel import Kernel, SchBpfCtx, SkbCtx, SkBuff, XdpBuff, XdpCtx
from ebpfvm.kernel.ctx import Layout, layout_of
from ebpfvm.kernel.sock import AF_INET, AF_INET6, Sock
from ebpfvm.limits import DEFAULTS, Limits
from ebpfvm.loaded import ENGINES, Loaded, open_engine
from ebpfvm.loader.object import Object, Program
from ebpfvm.loader.open import load
from ebpfvm.loading import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfvm.contract import Dialect, ProgType
    from ebpfvm.kernel.engine import Runnable
    from ebpfvm.maps import BpfMap
    from ebpfvm.maps.base import Record
    from ebpfvm.verifier import Verdict

ETH_HLEN: Final = 14
LOOPBACK: Final = 1  # ifindex of the device that Linux takes for a test run
HANDLE: Final = 0x80010000  # what `tc qdisc add` gives the first qdisc without a handle
_ETH_P_802_3, _ETH_P_802_2, _ETH_P_802_3_MIN = 0x0001, 0x0004, 0x0600
_PACKET_HOST, _PACKET_MULTICAST, _PACKET_OTHERHOST = 0, 2, 3
_XDP_LINEAR = 4096 - 256 - 320  # page, XDP_PACKET_HEADROOM, struct skb_shared_info
_XDP_META = 256 - 40  # XDP_PACKET_HEADROOM without struct xdp_frame
_SKB_LIMIT = 4096 - 64 - 320  # the same with NET_SKB_PAD; what Linux 6.18 takes at most
_GSO_LEGACY_MAX_SIZE, _GSO_MAX_SEGS = 65536, 65535

START_NS: Final = 1_000_000_000  # the clock of a test run: a machine that has been up for one second
_SETTLE_NS: Final = 1_000_000_000
_MOST_TIMERS: Final = 100_000

# Types that run on an skb -> do they see the Ethernet header?
_SKB_TYPES: Final = {"sched_cls": True, "sched_act": True, "socket_filter": False, "cgroup_skb": False,
                     "lwt_in": False, "lwt_out": False, "lwt_xmit": False}
# Fields of __sk_buff that Linux takes from ctx_in, and gives in ctx_out (convert___skb_to_skb and back).
SKB_IN_OUT: Final = ("mark", "priority", "ingress_ifindex", "ifindex", "cb", "tstamp", "wire_len", "gso_segs",
                     "gso_size", "hwtstamp")
XDP_OUT: Final = ("data", "data_end")
_POINTERS: Final = ("data", "data_end", "data_meta", "flow_keys", "sk")


class _Loopback:
    """The device that a test run's packet is on."""

    name = "lo"
    ifindex = LOOPBACK
    mtu = 65536
    up = True


class MapView(Mapping[bytes, bytes]):
    """What a map holds, key -> value, as bpf(2) shows it; live, without a copy. Maps without keys are empty."""

    def __init__(self, bpf_map: BpfMap) -> None:
        self._map = bpf_map

    def records(self) -> list[Record]:
        """Read what the program wrote into a ring buffer or perf event array, oldest first; each record once."""
        return self._map.records()

    def pending(self) -> list[Record]:
        """Return the records that `records` would read, and leave them there."""
        return self._map.pending()

    def __getitem__(self, key: bytes) -> bytes:
        try:
            return self._map.sys_lookup(key)
        except OSError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[bytes]:
        key: bytes | None = None
        while True:
            try:
                key = self._map.sys_next_key(key)
            except OSError:
                return
            if key in self:  # an array of programs or maps walks its empty slots too
                yield key

    def __contains__(self, key: object) -> bool:
        try:
            return isinstance(key, bytes) and self._map.sys_lookup(key) is not None
        except OSError:
            return False

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"MapView({dict(self)!r})"


class MapViews(dict[int, MapView]):
    """The maps of a program by their index; a name in place of an index works too."""

    def __init__(self, views: dict[int, MapView], bound: Sequence[BpfMap]) -> None:
        super().__init__(views)
        self._bound = bound

    def __missing__(self, which: object) -> MapView:
        found = map_of(self._bound, which)
        return self[self._bound.index(found)]


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a program did with a packet.

    Attributes:
        retval: what it returned, unsigned 32 bits.
        data: the packet afterwards.
        ctx: fields of its context afterwards, by name; arrays as lists. For xdp `data`, `data_end` and `data_meta`
            are offsets from the beginning of `data`.
        maps: index in `Program.maps`, or the map's name -> what the map holds, key -> value.
        trace: lines that it wrote with bpf_trace_printk.
        warnings: what Linux would have refused, a sentence each.
    """

    __test__ = False  # not a class of tests

    retval: int
    data: bytes
    ctx: Mapping[str, Any]
    maps: MapViews
    trace: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Request:
    """One test run while it is prepared and made."""

    kernel: Kernel
    kind: ProgType
    attach: str
    data: bytes
    ctx: dict[str, Any]
    repeat: int
    raw_ctx: bool  # it came as bytes, which may name what cannot be set
    has_ctx: bool
    warnings: list[str] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        """What the program may see of its context."""
        return layout_of(self.kind, self.attach)

    @property
    def whole(self) -> Layout:
        """The context as bpf(2) has it, whatever this type of program may see of it."""
        return self.kernel.skb_layout if self.kind.name in _SKB_TYPES else self.layout


def test_run(program: Program | Object | Path, data: bytes = bytes(64), ctx: Mapping[str, Any] | bytes | None = None,
             maps: Mapping[int | str, Mapping[bytes, bytes]] | None = None, *, engine: str = "interp",
             kernel: str | None = None, btf: Btf | Path | None = None, repeat: int = 1, seed: int = 0,
             source: Object | None = None, clock: int = START_NS, wait: int | None = None, limits: Limits = DEFAULTS,
             unverified: bool = False) -> TestRun:
    """Run a program on one packet, as BPF_PROG_TEST_RUN does.

    Args:
        program: of type sched_cls, sched_act, socket_filter, cgroup_skb, lwt_*, xdp or qdisc; or an object, or its
            path, that holds one program.
        data: the packet, from the Ethernet header on, at least 14 bytes.
        ctx: fields of the context that are set before, by name (`protocol` and `vlan_proto` in network byte order, as
            programs see them; `cb` as five numbers); or the bytes of the context structure, as bpf(2) takes them. For
            a qdisc program, fields of its context and of the packet.
        maps: what maps hold before: index in `program.maps`, or the map's name -> key -> value.
        engine: "interp", which runs programs that were not verified too, or "translate", which verifies first.
        kernel, btf: whose dialect and types; see `ebpfvm.api.dialect_of`.
        repeat: runs on the same packet; the last one's result counts.
        source: the object whose other programs and maps its maps may hold from the start; by default the one that
            it was loaded from.
        clock: ns since boot, as programs read it; it does not move while they run.
        wait: ns that pass after the run, while timers fire, however often they are armed. Without it each timer that
            the run leaves armed fires once, if it comes due within a second.
        limits: what the program and its maps may use of this machine.
        unverified: do not ask the verifier about the targets of tail calls either. Those that it refuses are not
            there, as in a kernel, unless it refuses the program itself.

    Raises:
        UsageError: the type cannot be run so, the packet is too short, a field or map does not exist, or an argument
            has a wrong type or value; the message names it.
        Rejected: the translator was asked for and the verifier refuses the program.
        Fault: the program did what would crash a kernel.
        LimitError: the program or a map reached one of `limits`.
    """
    given, source = _program(program, source)
    data = arguments.raw("data", data)
    _check(ctx, maps, engine, repeat, seed)
    arguments.instance("limits", limits, Limits, "Limits(...)")
    dialect = dialect_of(given, kernel, btf)
    program = prepare(given, dialect)
    machine = Kernel(dialect, seed, limits)
    machine.clock = arguments.time("clock", clock)
    machine.devices[LOOPBACK] = _Loopback()

    judge = _Judge(program, dialect, engine == "translate", unverified)
    loaded = Loaded(machine, open_engine(engine), found=source, judge=judge.other)
    kind = dialect.prog_type(program.type)
    run = _runner(kind.name)
    if len(data) < ETH_HLEN:
        raise UsageError(f"a packet of {len(data)} bytes: at least an Ethernet header of {ETH_HLEN} is needed")
    runnable = loaded.program(program)
    bound = [loaded.map(spec, index) for index, spec in enumerate(program.maps)]
    _fill_maps(bound, maps or {})
    request = _Request(machine, kind, program.attach, data, {}, repeat, isinstance(ctx, bytes),
                       bool(ctx), list(machine.notes))
    request.ctx = _fields(request.whole, ctx, request.warnings) if isinstance(ctx, bytes) else dict(ctx or {})
    retval, left, fields = run(request, runnable)
    _let_timers_fire(machine, None if wait is None else arguments.time("wait", wait), request.warnings)
    views = MapViews({index: MapView(found) for index, found in enumerate(bound)}, bound)
    return TestRun(retval & 0xFFFFFFFF, left, fields, views, tuple(machine.trace), tuple(request.warnings))


class _Judge:
    """What the engine needs to know of a program, and which programs may be targets of tail calls."""

    def __init__(self, program: Program, dialect: Dialect, translates: bool, unverified: bool) -> None:
        self._program, self._dialect, self._translates = program, dialect, translates
        self._verdict: Verdict | None = None
        self._unverified = unverified

    def facts(self) -> Any:
        """Of the program itself; the interpreter runs it unverified."""
        if not self._translates:
            return None
        if self._verdict is None:
            self._verdict = _verify(self._program, self._dialect)
        if not self._verdict.ok:
            raise Rejected(self._verdict)
        return self._verdict.facts

    def other(self, program: Program) -> Any:
        """Of a program that a map names; raises Rejected if no kernel would have it."""
        if program.name == self._program.name:
            return self.facts()
        if self._unverified:
            return None
        if self._verdict is None:
            self._verdict = _verify(self._program, self._dialect)
        if not self._verdict.ok:
            return None
        verdict = _verify(program, self._dialect)
        if not verdict.ok:
            raise Rejected(verdict)
        return verdict.facts if self._translates else None


def _verify(program: Program, dialect: Dialect) -> Verdict:
    from ebpfvm.verifier import verify  # slow to import, and the interpreter needs none
    return verify(program, dialect)


def _let_timers_fire(machine: Kernel, wait: int | None, warnings: list[str]) -> None:
    """Time passes behind the run."""
    timers = timers_of(machine)
    if wait is None:
        timers.finish(machine.clock + _SETTLE_NS)
    elif timers.run_until(machine.clock + wait, _MOST_TIMERS) == _MOST_TIMERS:
        warnings.append(f"timers fired {_MOST_TIMERS} times after the run, and no more: a shorter wait shows less")


def _runner(kind: str) -> Any:
    if kind == "xdp":
        return _run_xdp
    if kind == "qdisc":
        return _run_qdisc
    if kind in _SKB_TYPES:
        return _run_skb
    types = ", ".join((*_SKB_TYPES, "xdp", "qdisc"))
    raise UsageError(f"a program of type {kind} is run by no test run; types: {types}"
                     + ("; `ebpfvm run` runs queueing disciplines" if kind == "struct_ops" else ""))


def _program(asked: object, source: Object | None) -> tuple[Program, Object | None]:
    """Return the program, and the object that it is from if that is known."""
    if isinstance(asked, Program):
        return asked, source if source is not None else asked.home.object
    if isinstance(asked, Object):
        return only_program(asked), asked
    if not isinstance(asked, str | os.PathLike):
        raise arguments.wrong("program", "a program, an object, or the path of one", asked)
    found = load(asked)
    return only_program(found), found


def _check(ctx: object, maps: object, engine: object, repeat: object, seed: object) -> None:
    """Raise UsageError for an argument of a wrong type or range."""
    if ctx is not None and not isinstance(ctx, Mapping | bytes):
        raise arguments.wrong("ctx", "a mapping of fields, or bytes", ctx)
    arguments.choice("engine", engine, ENGINES)
    arguments.whole("repeat", repeat, 1, 1 << 32)
    arguments.whole("seed", seed, *arguments.SEEDS)
    if maps is not None and not isinstance(maps, Mapping):
        raise arguments.wrong("maps", "a mapping from a map's name or index to its entries", maps)
    for which, items in (maps or {}).items():
        if not isinstance(items, Mapping):
            raise arguments.wrong(f"maps[{which!r}]", "a mapping from keys to values, both bytes", items)
        for key, value in items.items():
            arguments.raw(f"maps[{which!r}]: a key", key)
            arguments.raw(f"maps[{which!r}]: a value", value)


def _fill_maps(bound: Sequence[BpfMap], content: Mapping[int | str, Mapping[bytes, bytes]]) -> None:
    for which, items in content.items():
        found = map_of(bound, which)
        for key, value in items.items():
            try:
                found.fill(bytes(key), bytes(value))
            except OSError as error:
                raise UsageError(f"map {which!r}: key {key.hex()} cannot be set: {error.strerror or error}") from error


def map_of(bound: Sequence[BpfMap], which: object) -> BpfMap:
    """Return the map of a program by its index or name.

    Raises:
        UsageError: there is none.
    """
    if isinstance(which, str):
        named = [found for found in bound if found.name == which]
        if named:
            return named[0]
    elif isinstance(which, int) and not isinstance(which, bool) and 0 <= which < len(bound):
        return bound[which]
    have = ", ".join(f"{index} {found.name!r}" if found.name else str(index) for index, found in enumerate(bound))
    raise UsageError(f"the program has no map {which!r}; it has: {have or 'none'}")


def _fields(layout: Layout, raw: bytes, warnings: list[str]) -> dict[str, Any]:
    """The fields of a context structure that are not zero; a short one is taken as zero behind its end."""
    if any(raw[layout.size:]):
        raise UsageError(f"{len(raw)} bytes of context: struct {layout.name} has {layout.size}, and what is behind "
                         "must be zero (E2BIG)")
    raw = raw[:layout.size].ljust(layout.size, b"\0")
    found: dict[str, Any] = {}
    seen = bytearray(layout.size)
    for item in layout.fields.values():
        part = raw[item.off:item.end]
        seen[item.off:item.end] = b"\1" * len(part)
        if any(part):
            element = item.element or item.size
            parts = [int.from_bytes(part[at:at + element], "little") for at in range(0, len(part), element)]
            found[item.name] = parts if element < item.size else parts[0]
    if any(byte for byte, known in zip(raw, seen, strict=True) if not known):
        warnings.append(f"struct {layout.name}: bytes that belong to no field are not zero; Linux gives EINVAL")
    return found


def pack_ctx(program: Program, fields: Mapping[str, Any], ctx_in: bytes = b"", kernel: str | None = None) -> bytes:
    """The context structure as BPF_PROG_TEST_RUN gives it in ctx_out: `ctx_in` with what Linux fills in.

    fields: of a `TestRun`.
    """
    dialect = dialect_of(program, kernel)
    kind = dialect.prog_type(program.type)
    layout = layout_of(dialect.prog_type("sched_cls") if kind.name in _SKB_TYPES else kind, program.attach)
    raw = bytearray(ctx_in[:layout.size].ljust(layout.size, b"\0"))
    filled = {"xdp": XDP_OUT, "qdisc": tuple(layout.fields)}.get(kind.name, SKB_IN_OUT)
    for name, value in fields.items():
        item = layout.fields.get(name)
        if item is None or name not in filled:
            continue
        size = (item.element or item.size) if isinstance(value, list) else item.size
        for index, part in enumerate(value if isinstance(value, list) else [value]):
            raw[item.off + index * size:item.off + (index + 1) * size] = (part & (1 << 8 * size) - 1).to_bytes(
                size, "little")
    return bytes(raw)


# ---- on an skb ----------------------------------------------------------------------------------------------

def _run_skb(request: _Request, run: Runnable) -> tuple[int, bytes, dict[str, Any]]:
    """bpf_prog_test_run_skb."""
    layer2 = _SKB_TYPES[request.kind.name]
    data, ctx = request.data, request.ctx
    if len(data) > _SKB_LIMIT:
        request.warnings.append(f"a packet of {len(data)} bytes: Linux 6.18 takes at most {_SKB_LIMIT} (EINVAL)")
    request.warnings += _short(data)
    skb = made_up_skb(request.kernel, data if layer2 else data[ETH_HLEN:], data)
    skb.wire_len = skb.len if request.has_ctx else 0
    for name in set(_POINTERS) & set(ctx if request.raw_ctx else ()):
        request.warnings += _refused({name: ctx.pop(name)}, skb.len)
    _set_fields(skb, ctx, request.kernel.skb_layout)
    request.warnings += _refused(ctx, skb.len)
    context = SkbCtx(request.kernel, skb, request.layout)
    retval = 0
    for _ in range(request.repeat):
        retval = run(context)
    left = skb.payload() if layer2 else bytes(ETH_HLEN) + skb.payload()
    return retval, left, _shown(skb, request.kernel.skb_layout)


def made_up_skb(kernel: Kernel, visible: bytes, frame: bytes) -> SkBuff:
    """A packet as a test run makes it: `frame` received on the loopback device, of which `visible` is seen.

    Its protocol and packet type are those of eth_type_trans for the device's address, which is zero.
    """
    protocol = int.from_bytes(frame[12:14], "big")
    if protocol < _ETH_P_802_3_MIN:
        protocol = _ETH_P_802_3 if frame[14:16] == b"\xff\xff" else _ETH_P_802_2
    kind = _PACKET_MULTICAST if frame[0] & 1 else _PACKET_OTHERHOST if any(frame[:6]) else _PACKET_HOST
    skb = SkBuff(kernel, frame, protocol=protocol >> 8 | (protocol & 0xFF) << 8, pkt_type=kind, ifindex=LOOPBACK,
                 dev=kernel.devices.get(LOOPBACK))
    skb.sk = _made_up_sock(kernel, frame).ptr
    if len(visible) < len(frame):  # the Ethernet header stays in the room before the packet
        skb.packet.start = skb.packet.meta = skb.packet.start + ETH_HLEN
        skb.len, skb.link_offset = len(visible), -ETH_HLEN
    return skb


def _made_up_sock(kernel: Kernel, frame: bytes) -> Sock:
    """The socket of a test run's packet: closed, with the packet's addresses."""
    sock, packet = Sock(kernel), frame[ETH_HLEN:]
    if frame[12:14] == b"\x08\x00":
        sock.family = AF_INET
        if len(packet) >= 20:
            sock.src_ip4, sock.dst_ip4 = struct.unpack_from("<2I", packet, 12)
    elif frame[12:14] == b"\x86\xdd":
        sock.family = AF_INET6
        if len(packet) >= 40:
            sock.src_ip6, sock.dst_ip6 = struct.unpack_from("<4I", packet, 8), struct.unpack_from("<4I", packet, 24)
    return sock


def _short(data: bytes) -> list[str]:
    for protocol, header, name in ((b"\x08\0", 20, "IPv4"), (b"\x86\xdd", 40, "IPv6")):
        if data[12:14] == protocol and len(data) < ETH_HLEN + header:
            return [f"the Ethernet header says {name}, and {len(data) - ETH_HLEN} bytes follow: Linux wants the whole "
                    f"header of {header} (EINVAL)"]
    return []


def _refused(ctx: Mapping[str, Any], length: int) -> list[str]:
    """Why Linux would not take these fields."""
    found = [f"field {name!r} must be zero in a test run of Linux (EINVAL)" for name, value in ctx.items()
             if name not in SKB_IN_OUT and _nonzero(value)]
    wire_len, segments = ctx.get("wire_len", 0), ctx.get("gso_segs", 0)
    if wire_len and not length <= wire_len <= _GSO_LEGACY_MAX_SIZE:
        found.append(f"wire_len {wire_len}: Linux takes {length} (the packet's length) to {_GSO_LEGACY_MAX_SIZE} "
                     "(EINVAL)")
    if segments > _GSO_MAX_SEGS:
        found.append(f"gso_segs {segments}: Linux takes at most {_GSO_MAX_SEGS} (EINVAL)")
    if ctx.get("ifindex", 0) > LOOPBACK:
        found.append(f"ifindex {ctx['ifindex']}: Linux gives ENODEV if it has no such device")
    return found


def _nonzero(value: Any) -> bool:
    return any(value) if isinstance(value, list | tuple | bytes) else bool(value)


def _set_fields(target: Any, ctx: Mapping[str, Any], layout: Layout) -> None:
    for name, value in ctx.items():
        item = layout.fields.get(name)
        if name in _POINTERS or item is None or not hasattr(target, name):
            names = ", ".join(known for known in layout.fields if known not in _POINTERS and hasattr(target, known))
            raise UsageError(f"the context has no field {name!r} that can be set; it has: {names}")
        checked = _checked(name, value, item.size, item.element)
        if checked or name not in ("wire_len", "ifindex"):  # 0 stands for the packet's length and for loopback
            setattr(target, name, checked)


def _checked(name: str, value: Any, size: int, element: int) -> Any:
    """A value as the attribute holds it: numbers that fit, arrays as lists."""
    if element and element < size:
        if isinstance(value, bytes):
            value = [int.from_bytes(value[at:at + element], "little") for at in range(0, len(value), element)]
        if not isinstance(value, list | tuple) or len(value) > size // element:
            raise UsageError(f"field {name!r} takes up to {size // element} numbers, not {value!r}")
        return [_checked(name, part, element, 0) for part in value] + [0] * (size // element - len(value))
    if not isinstance(value, int) or not -(1 << 8 * size - 1) <= value < 1 << 8 * size:
        raise UsageError(f"field {name!r} takes a number of {8 * size} bits, not {value!r}")
    return value & (1 << 8 * size) - 1


def _shown(target: Any, layout: Layout) -> dict[str, Any]:
    found = {name: getattr(target, name) for name in layout.fields if name not in _POINTERS and hasattr(target, name)}
    return {name: list(value) if isinstance(value, list | tuple) else value for name, value in found.items()}


# ---- on an xdp_buff -----------------------------------------------------------------------------------------

def _run_xdp(request: _Request, run: Runnable) -> tuple[int, bytes, dict[str, Any]]:
    """bpf_prog_test_run_xdp; the first `ctx["data"]` bytes of the packet are metadata."""
    ctx, data = request.ctx, request.data
    meta, linear = _xdp_lengths(request)
    rest = data[linear:]
    buff = XdpBuff(request.kernel, data[meta:linear], ingress_ifindex=LOOPBACK)
    packet = buff.packet
    packet.meta = packet.start - meta
    packet.data[packet.meta:packet.start] = data[:meta]
    _set_fields(buff, ctx, request.layout)
    request.warnings += _refused_xdp(ctx)
    context = XdpCtx(request.kernel, buff, request.layout)
    retval = 0
    for _ in range(request.repeat):
        retval = run(context)
    left = bytes(packet.data[packet.meta:packet.end]) + rest
    fields = _shown(buff, request.layout)
    fields |= {"data_meta": 0, "data": packet.start - packet.meta, "data_end": packet.end - packet.meta}
    if linear == _XDP_LINEAR:
        fields["data_end"] = len(left)
    return retval, left, fields


def _xdp_lengths(request: _Request) -> tuple[int, int]:
    """Bytes of metadata, and of metadata and linear part together; what is behind stays out of sight (a fragment)."""
    ctx, size = request.ctx, len(request.data)
    for name in ("data", "data_end", "data_meta"):
        _checked(name, ctx.get(name, 0), 4, 0)
    meta, end = ctx.pop("data", 0), ctx.pop("data_end", 0 if request.raw_ctx and request.has_ctx else size)
    if ctx.pop("data_meta", 0) or not 0 <= meta <= end <= size or meta % 4 or meta > _XDP_META or (
            size - meta < ETH_HLEN):
        raise UsageError(f"xdp_md with data {meta} and data_end {end} for {size} bytes: data_meta must be 0, data the "
                         f"length of the metadata (a multiple of 4, at most {_XDP_META}), data_end at most the length "
                         "of all (EINVAL)")
    return meta, min(end, _XDP_LINEAR)


def _refused_xdp(ctx: Mapping[str, Any]) -> list[str]:
    found = []
    if ctx.get("egress_ifindex"):
        found.append("field 'egress_ifindex' must be zero in a test run of Linux (EINVAL)")
    if ctx.get("rx_queue_index"):
        found.append(f"rx_queue_index {ctx['rx_queue_index']}: Linux gives EINVAL if the device has no such queue")
    if ctx.get("ingress_ifindex", 0) > LOOPBACK:
        found.append(f"ingress_ifindex {ctx['ingress_ifindex']}: Linux gives ENODEV if it has no such device")
    return found


# ---- on a queueing discipline's context ---------------------------------------------------------------------

def _run_qdisc(request: _Request, run: Runnable) -> tuple[int, bytes, dict[str, Any]]:
    """A program of RFC v6 by itself: dequeue gets NULL, others the packet. No kernel offers this."""
    machine, ctx = request.kernel, request.ctx
    skb = made_up_skb(machine, request.data, request.data)
    own = {name: _checked(name, ctx.pop(name), request.layout.fields[name].size, 0)
           for name in ("classid", "delay") if name in ctx}
    _set_fields(skb, ctx, machine.skb_layout)
    request.warnings.append("Linux has no test run for programs of queueing disciplines")
    context = SchBpfCtx(machine, request.layout)
    retval = 0
    for _ in range(request.repeat):
        context.prepare(None if request.attach == "dequeue" else skb, own.get("classid", HANDLE))
        context.delay = own.get("delay", 0)
        retval = run(context)
    fields = _shown(skb, machine.skb_layout) | {"classid": context.classid, "delay": context.delay,
                                                "skb": int(context.packet is not None)}
    left = context.packet
    return retval, skb.payload() if left is None else left.payload(), fields
