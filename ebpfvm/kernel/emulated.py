"""The emulated kernel: everything that outlives a program run."""

from __future__ import annotations

import random
from bisect import bisect_left
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from ebpfvm import checked
from ebpfvm.contract.dialect import Dialect
from ebpfvm.contract.rules import LINUX_7_2
from ebpfvm.errors import Fault, UsageError
from ebpfvm.kernel.layouts import Layout, ObjectRegion, layout_of
from ebpfvm.kernel.memory import OBJECT_IDS, SERIALS, Memory, Region, base_of
from ebpfvm.kernel.object_graph import Graph
from ebpfvm.kernel.pointer_slots import exchanger, swapper, taker
from ebpfvm.kernel.refs import RefCounted, Refs
from ebpfvm.kernel.services import Network, UserRecords
from ebpfvm.kernel.sock import Sockets
from ebpfvm.kernel.task import Tasks
from ebpfvm.limits import DEFAULTS, Limits

if TYPE_CHECKING:
    from ebpfvm.kernel.services import Timers

MAX_TAIL_CALL_CNT: Final = 33  # include/linux/bpf.h
BPF_MAX_LOOPS: Final = 8 * 1024 * 1024  # include/linux/bpf.h; of bpf_loop, a numbers' iterator, may_goto in a frame
FRAME_SIZE: Final = 512  # MAX_BPF_STACK
_FRAMES: Final = 512  # of all nested runs together

_ZEROS = bytes(FRAME_SIZE)
_NO_BYTES = bytearray()
_bare = object.__new__
_BIRTH: Final = attrgetter("serial")


# The bytes of a frame; as numbers of 8, 4 and 2 bytes in the host's order; the frame pointer.
FrameViews = tuple[bytearray, memoryview, memoryview, memoryview, int]


def _views(frame: Region) -> FrameViews:
    view = memoryview(frame.data)
    return frame.data, view.cast("Q"), view.cast("I"), view.cast("H"), frame.base + FRAME_SIZE


class CallStack:
    """The stack frames of all running programs; frame n has the same address in every run and on both engines.

    Attributes:
        frames: the frames created so far; only those below `depth` are alive.
        depth: number of frames in use.
    """

    def __init__(self, memory: Memory) -> None:
        self.frames: list[Region] = []
        self.depth = 0
        self._regions = memory.regions
        self._first = memory.reserve(_FRAMES)
        self._views: list[tuple[Region, FrameViews]] = []

    def push(self) -> Region:
        """Return a new frame filled with zeros; raise Fault if there are too many."""
        depth = self.depth
        while depth >= len(self.frames):
            self._make()
        frame = self.frames[depth]
        frame.data[:] = _ZEROS
        frame.alive = True
        self._regions[frame.id] = frame
        self.depth = depth + 1
        return frame

    def enter(self) -> FrameViews:
        """Return a new frame as `push` does, for generated code, which releases the frame by decrementing `depth`.

        Generated code never uses a pointer to a dead frame.
        """
        depth = self.depth
        try:
            region, views = self._views[depth]
        except IndexError:
            self.push()
            self.pop(depth)
            self._views += [(frame, _views(frame)) for frame in self.frames[len(self._views):]]
            region, views = self._views[depth]
        region.data[:] = _ZEROS
        region.alive = True
        self._regions[region.id] = region
        self.depth = depth + 1
        return views

    def _make(self) -> None:
        n = len(self.frames)
        if n == _FRAMES:
            raise Fault("call", f"more than {_FRAMES} stack frames are in use")
        frame = Region("stack", bytearray(FRAME_SIZE), name=f"frame {n}")
        frame.id = self._first + n
        frame.base = base_of(frame.id)
        frame.alive = False
        self.frames.append(frame)

    def pop(self, depth: int) -> None:
        """Drop frames until only `depth` are in use; pointers into the dropped ones become invalid."""
        while self.depth > depth:
            self.depth -= 1
            if self.depth < len(self.frames):
                frame = self.frames[self.depth]
                frame.alive = False
                self._regions.pop(frame.id, None)


class Kernel:
    """What exists at run time.

    Args:
        dialect: what this kernel offers.
        seed: seed of `random`.
        limits: limits on the resources that programs and maps may use.

    Attributes:
        memory: all regions.
        clock: simulated time, ns.
        random: the seeded source.
        refs: the ledger of references.
        exchange, swap, taken: exchange the pointer of a slot, see `ebpfvm.kernel.pointer_slots`.
        stack: frames of the running programs.
        devices: ifindex -> device.
        maps: id -> map, as `bpf_map_get_fd_by_id` would find it.
        trace: lines that bpf_trace_printk wrote.
        notes: remarks for whoever loads programs, one sentence each.
        ksyms: name -> address of kernel variables that programs may refer to.
        tail_calls: how many the running program has made.
        skb_layout: the fields of a packet that programs may read and write.
        graph: the lists and trees of allocated objects.
        tasks, sockets: the existing tasks and sockets.
        records: records that programs write for user space.
        net: the network around programs.
        timers: the timers of map values, None before the first one.
        structs: the `KernelStructs` of this kernel, None before a program has asked for one.
        cgroup_retval: the result of the running system call that its cgroup's programs have set.
    """

    def __init__(self, dialect: Dialect | None = None, seed: int = 0, limits: Limits = DEFAULTS) -> None:
        if dialect is not None:
            checked.instance("dialect", dialect, Dialect, "a dialect, as ebpfvm.dialects.linux() makes it")
        checked.whole("seed", seed, *checked.SEEDS)
        checked.instance("limits", limits, Limits, "Limits(...)")
        self.dialect = dialect or Dialect("none", LINUX_7_2)
        self.limits = limits
        self.memory = Memory()
        self.clock = 0
        self.random: random.Random = random.Random(seed)
        self.refs = Refs()
        self.memory.unseen = self._unseen_packet
        self.exchange = exchanger(self.memory, self.refs)
        self.swap = swapper(self.memory, self.refs, self.exchange)
        self.taken = taker(self.memory, self.refs)
        self.stack = CallStack(self.memory)
        self.devices: dict[int, Any] = {}
        self.maps: dict[int, Any] = {}
        self.trace: list[str] = []
        self.notes: list[str] = []
        self.ksyms: dict[str, int] = {}
        self.tail_calls = 0
        self.skb_layout = _skb_layout(self.dialect)
        self.graph = Graph(self.memory, self.refs)
        self.tasks = Tasks(self.memory, self.refs)
        self.sockets = Sockets(self.memory, self.dialect)
        self.records = UserRecords(limits)
        self.net = Network()
        self.timers: Timers | None = None
        self.structs: Any = None
        self.cgroup_retval = 0

    def printk(self, line: str) -> None:
        """Append a line to the trace.

        Raises:
            LimitError: it has as many lines as `Limits.trace_lines` allows.
        """
        if len(self.trace) >= self.limits.trace_lines:
            raise self.limits.reached("trace_lines", "the trace of bpf_printk")
        self.trace.append(line)

    def object_region(self, skb: RefCounted) -> Region:
        """Return the region that a pointer to the packet `skb` refers to, read and written by `skb_layout`."""
        memory = self.memory
        region = _bare(ObjectRegion)  # inlines its constructor, because each packet may need one
        region.layout = layout = self.skb_layout
        region.kind = region.name = "sk_buff"
        region.data, region.size, region.owner = _NO_BYTES, layout.size, skb
        region.writable = region.alive = True
        return memory.place(region, OBJECT_IDS, skb.serial)

    def _unseen_packet(self, serial: int) -> Region | None:
        """Return the region of a live packet, whose address is in a slot though nobody has asked for it."""
        refs = self.refs
        serial += refs.serial - serial & ~SERIALS  # the latest with these digits
        at = bisect_left(refs.born, serial, key=_BIRTH)
        found: Any = refs.born[at] if at < len(refs.born) else None
        if found is not None and found.serial == serial and found.refs:
            region: Region = found.region
            return region
        if 0 < serial <= refs.serial:
            self.memory.placed = max(self.memory.placed, serial & SERIALS)  # it was freed
        return None


def _skb_layout(dialect: Dialect) -> Layout:
    """Return `struct __sk_buff` with the rules of tc_cls_act, whose access callbacks the RFC reuses for its skb."""
    try:
        return layout_of(dialect.prog_type("sched_cls"))
    except UsageError:
        return Layout("__sk_buff", ())
