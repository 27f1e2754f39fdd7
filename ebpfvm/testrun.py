"""Run one program on one packet, as BPF_PROG_TEST_RUN does (net/bpf/test_run.c, Linux 6.18 and 7.2).

If Linux would refuse a request with EINVAL, ebpfvm warns (`TestRun.warnings`) and executes it nevertheless if that
makes sense: any field of the context may be set. A packet that is too short is refused.

What a program sees:

================================  ==========================================================================
sched_cls, sched_act              the packet, starting at the Ethernet header
xdp                               the same; the first 3520 bytes of a large packet
socket_filter, cgroup_skb, lwt_*  the packet, starting at the network header; the Ethernet header is zero on return
qdisc (RFC)                       its context; the packet belongs to the program in enqueue
flow_dissector                    the packet; `struct bpf_flow_keys` is returned as data
sk_lookup                         addresses and ports, as fields of its context
syscall, raw_tracepoint           memory, passed as the bytes of its context
================================  ==========================================================================
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack, cast

from ebpfvm import arguments
from ebpfvm.api import dialect_of, only_program
from ebpfvm.arguments import Path
from ebpfvm.btf.types import Btf
from ebpfvm.engine import Hooks
from ebpfvm.errors import Rejected, UsageError
from ebpfvm.funcs.timer import timers_of
from ebpfvm.ints import U32_MAX
from ebpfvm.kernel import Kernel
from ebpfvm.lazy_dataclasses import dataclass, replace
from ebpfvm.limits import DEFAULTS, Limits
from ebpfvm.loaded import ENGINES, Loaded, open_engine
from ebpfvm.loader.object import Object, Program
from ebpfvm.loader.open import load
from ebpfvm.loading import prepare
from ebpfvm.map_views import MapView as MapView
from ebpfvm.map_views import MapViews, check_content, fill_maps, map_of
from ebpfvm.net import ETH_HLEN
from ebpfvm.runners import LOOPBACK, Loopback, Request, runner, set_ctx
from ebpfvm.runners import SKB_IN_OUT as SKB_IN_OUT
from ebpfvm.runners import pack_ctx as pack_ctx

if TYPE_CHECKING:

    from ebpfvm.contract import Dialect
    from ebpfvm.maps import BpfMap
    from ebpfvm.verifier import Verdict

START_NS: Final = 1_000_000_000  # the clock of a test run: a machine that has been up for one second
_SETTLE_NS: Final = 1_000_000_000
_MOST_TIMERS: Final = 100_000


@dataclass(frozen=True, slots=True)
class TestRun:
    """The result of running a program on a packet.

    Attributes:
        retval: the return value, unsigned 32 bits.
        data: the packet afterwards.
        ctx: the fields of the context afterwards, by name; arrays are lists. For xdp, `data`, `data_end` and
            `data_meta` are offsets from the start of `data`.
        maps: index in `Program.maps`, or name of the map -> its content, key -> value.
        trace: the lines that the program wrote with bpf_trace_printk.
        warnings: what Linux would have refused, one sentence each.
    """

    __test__ = False  # not a class of tests

    retval: int
    data: bytes
    ctx: Mapping[str, Any]
    maps: MapViews
    trace: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class SessionOptions(TypedDict, total=False):
    """The options that `Session` and `test_run` share; see `test_run`."""

    engine: str
    kernel: str | None
    btf: Btf | Path | None
    seed: int
    source: Object | None
    clock: int | str
    limits: Limits
    unverified: bool
    hooks: Hooks | None


class TestRunOptions(SessionOptions, total=False):
    """The options of `test_run`."""

    repeat: int
    wait: int | str | None


def test_run(program: Program | Object | Path, data: bytes = bytes(64), ctx: Mapping[str, Any] | bytes | None = None,
             maps: Mapping[int | str, Mapping[bytes, bytes]] | None = None,
             **options: Unpack[TestRunOptions]) -> TestRun:
    """Run a program on one packet, as BPF_PROG_TEST_RUN does.

    Args:
        program: a program of type sched_cls, sched_act, socket_filter, cgroup_skb, lwt_*, xdp, qdisc, flow_dissector,
            sk_lookup, syscall or raw_tracepoint; or an object, or its path, that holds one program.
        data: the packet, starting at the Ethernet header, at least 14 bytes.
        ctx: initial fields of the context, by name (`protocol` and `vlan_proto` in network byte order, as programs see
            them; `cb` as five numbers); or the bytes of the context structure, as for bpf(2). For a qdisc program,
            fields of its context and of the packet.
        maps: initial content of maps: index in `program.maps`, or name of the map -> key -> value.
        engine: "interp" (the default), which also runs unverified programs, or "translate", which verifies the program
            first.
        kernel, btf: kernel version and types; see `ebpfvm.api.dialect_of`.
        repeat: number of runs on the same packet (default: 1); the result is that of the last one.
        seed: random seed (default: 0).
        source: the object whose other programs and maps its maps may hold initially (default: the one that the program
            was loaded from).
        clock: time since boot in ns (default: 1 s), as programs read it; it does not advance while they run.
        wait: time in ns that passes after the run while timers fire, however often they are armed (default: each timer
            that the run leaves armed fires once, if it expires within a second).
        limits: limits on what the program and its maps may use of this machine.
        unverified: load the targets of tail calls without verifying them. Otherwise a target that the verifier rejects
            is missing, as in a kernel, unless the verifier rejects the program itself.

    Raises:
        UsageError: test runs do not support the type, the packet is too short, a field or map does not exist, or an
            argument has a wrong type or value; the message names it.
        Rejected: the engine is "translate" and the verifier rejects the program.
        Fault: the program did what would crash a kernel.
        LimitError: the program or a map reached one of `limits`.
    """
    arguments.known("test_run", options, TestRunOptions.__annotations__)
    shared = {name: value for name, value in options.items() if name not in ("repeat", "wait")}
    session, wait = Session(program, maps, **cast("SessionOptions", shared)), options.get("wait")
    result = session.run(data, ctx, repeat=options.get("repeat", 1))
    more = session.settle() if wait is None else session.wait(wait)
    return replace(result, trace=result.trace + more.trace, warnings=result.warnings + more.warnings)


@dataclass(frozen=True, slots=True)
class Passed:
    """What happened while time passed: the lines of bpf_trace_printk, and warnings."""

    trace: tuple[str, ...]
    warnings: tuple[str, ...]


class Session:
    """A program that stays loaded, to run on a sequence of packets with the same maps and one clock.

    Args:
        program, maps: as for `test_run`.
        options: `engine`, `kernel`, `btf`, `seed`, `source`, `clock`, `limits` and `unverified` as for `test_run`.
        hooks: observer of every instruction (`ebpfvm.engine.Hooks`); requires the engine "interp".

    Attributes:
        maps: the content of the maps, by index or name, as in `TestRun.maps`; use the `sys_*` methods of `map(NAME)` to
            write them.

    Raises:
        UsageError: as for `test_run`.
        Rejected: as for `test_run`.

    >>> from ebpfvm import Program
    >>> session = Session(Program.from_bytes(bytes.fromhex("b700000002000000 9500000000000000"), type="xdp"))
    >>> [session.run(bytes(64)).retval for _ in range(3)]
    [2, 2, 2]
    """

    def __init__(self, program: Program | Object | Path,
                 maps: Mapping[int | str, Mapping[bytes, bytes]] | None = None,
                 **options: Unpack[SessionOptions]) -> None:
        arguments.known("Session", options, SessionOptions.__annotations__)
        engine, hooks = options.get("engine", "interp"), options.get("hooks")
        limits, seed = options.get("limits", DEFAULTS), options.get("seed", 0)
        given, source = _program(program, options.get("source"))
        _check(maps, engine, seed, hooks)
        arguments.instance("limits", limits, Limits, "Limits(...)")
        dialect = dialect_of(given, options.get("kernel"), options.get("btf"))
        self.program = prepare(given, dialect)
        self._machine = machine = Kernel(dialect, seed, limits)
        machine.clock = arguments.time("clock", options.get("clock", START_NS))
        machine.devices[LOOPBACK] = Loopback()
        self._kind = dialect.prog_type(self.program.type)
        self._runner = runner(self._kind.name)
        judge = _Judge(self.program, dialect, limits, engine == "translate",
                       arguments.flag("unverified", options.get("unverified", False)))
        opened = open_engine(engine, hooks)
        self._loaded = Loaded(machine, opened, found=source, judge=judge.other)
        self._runnable = self._loaded.program(self.program)
        self._bound = [self._loaded.map(spec, index) for index, spec in enumerate(self.program.maps)]
        self.maps = MapViews(self._bound)
        fill_maps(self._bound, maps or {})

    @property
    def clock(self) -> int:
        """The time in ns, as programs read it; only `wait` advances it."""
        return self._machine.clock

    def map(self, which: int | str) -> BpfMap:
        """Return a map by index or name, for reading and writing as through bpf(2).

        Raises:
            UsageError: the program has no such map.
        """
        return map_of(self._bound, which)

    def run(self, data: bytes = bytes(64), ctx: Mapping[str, Any] | bytes | None = None, *, repeat: int = 1) -> TestRun:
        """Run the program on one packet.

        Args:
            data, ctx, repeat: as for `test_run`.

        Raises:
            UsageError: the packet is too short; or as for `test_run`.
            Fault: the program did what would crash a kernel.
            LimitError: the program or a map reached a limit.
        """
        data = arguments.raw("data", data)
        if ctx is not None and not isinstance(ctx, Mapping | bytes):
            raise arguments.wrong("ctx", "a mapping of fields, or bytes", ctx)
        arguments.whole("repeat", repeat, 1, 1 << 32)
        if len(data) < ETH_HLEN:
            raise UsageError(f"a packet of {len(data)} bytes is too short; it needs an Ethernet header of {ETH_HLEN}")
        machine = self._machine
        written = len(machine.trace)
        request = Request(machine, self._kind, self.program.attach, data, {}, repeat, isinstance(ctx, bytes), bool(ctx),
                          list(machine.notes))
        set_ctx(request, ctx)
        retval, left, fields = self._runner(request, self._runnable)
        return TestRun(retval & U32_MAX, left, fields, self.maps, tuple(machine.trace[written:]),
                       tuple(request.warnings))

    def wait(self, time: int | str) -> Passed:
        """Let time pass, in ns or as `tc` writes it; timers fire, however often they are armed."""
        machine = self._machine
        ns, written = arguments.time("wait", time), len(machine.trace)
        warnings: tuple[str, ...] = ()
        end = machine.clock + ns
        if timers_of(machine).run_until(end, _MOST_TIMERS) == _MOST_TIMERS:
            warnings = (f"timers fired {_MOST_TIMERS} times while time passed, and no more: wait in smaller steps",)
        machine.clock = max(machine.clock, end)
        return Passed(tuple(machine.trace[written:]), warnings)

    def settle(self) -> Passed:
        """Let each armed timer fire once, if it expires within a second."""
        machine = self._machine
        written = len(machine.trace)
        timers_of(machine).finish(machine.clock + _SETTLE_NS)
        return Passed(tuple(machine.trace[written:]), ())


class _Judge:
    """Provides an engine with facts about programs, and decides which may be targets of tail calls."""

    def __init__(self, program: Program, dialect: Dialect, limits: Limits, translates: bool, unverified: bool) -> None:
        self._limits = limits
        self._program, self._dialect, self._translates = program, dialect, translates
        self._verdict: Verdict | None = None
        self._unverified = unverified

    def facts(self) -> Any:
        """Return the verifier's facts about the program itself; None for the interpreter, which needs none."""
        if not self._translates:
            return None
        if self._verdict is None:
            self._verdict = _verify(self._program, self._dialect, self._limits)
        if not self._verdict.ok:
            raise Rejected(self._verdict)
        return self._verdict.facts

    def other(self, program: Program) -> Any:
        """Return the facts about a program that is in a map; raise Rejected if the kernel would reject it."""
        if program.name == self._program.name:
            return self.facts()
        if self._unverified:
            return None
        if self._verdict is None:
            self._verdict = _verify(self._program, self._dialect, self._limits)
        if not self._verdict.ok:
            return None
        verdict = _verify(program, self._dialect, self._limits)
        if not verdict.ok:
            raise Rejected(verdict)
        return verdict.facts if self._translates else None


def _verify(program: Program, dialect: Dialect, limits: Limits) -> Verdict:
    from ebpfvm.verifier import verify  # slow to import, and the interpreter needs none
    return verify(program, dialect, limits=limits)


def _program(asked: object, source: Object | None) -> tuple[Program, Object | None]:
    """Return the program, and the object that it comes from if that is known."""
    if isinstance(asked, Program):
        return asked, source if source is not None else asked.home.object
    if isinstance(asked, Object):
        return only_program(asked), asked
    if not isinstance(asked, str | os.PathLike):
        raise arguments.wrong("program", "a program, an object, or the path of one", asked)
    found = load(asked)
    return only_program(found), found


def _check(maps: object, engine: object, seed: object, hooks: object) -> None:
    """Raise UsageError for an argument of a wrong type or range."""
    arguments.choice("engine", engine, ENGINES)
    arguments.whole("seed", seed, *arguments.SEEDS)
    if hooks is not None:
        arguments.instance("hooks", hooks, Hooks, "Hooks")
        if engine != "interp":
            raise UsageError(f"hooks: the engine {engine} does not support them; use the engine interp")
    check_content(maps)
