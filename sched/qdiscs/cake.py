"""cake: a shaper with classes of service, isolation of flows and hosts, and COBALT in each flow.

Source: net/sched/sch_cake.c, Linux 7.2. A turn has a whole quantum, where a kernel rounds it by chance. Without
conntrack, `nat` changes nothing; packets are not split, whatever `split-gso` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.ints import U32_MAX
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.classful import ClassfulQdisc, tree_reduce_backlog
from ebpfvm.sched.classify import taken, tcf_classify
from ebpfvm.sched.psched import in_cells
from ebpfvm.sched.qdiscs.cake_ack import AGGRESSIVE, OFF, superseded
from ebpfvm.sched.qdiscs.cake_ack import MODES as ACK_MODES
from ebpfvm.sched.qdiscs.cake_autorate import Autorate
from ebpfvm.sched.qdiscs.cake_dump import dumped
from ebpfvm.sched.qdiscs.cake_overflow import OverflowHeap
from ebpfvm.sched.qdiscs.cake_tin import DST, FLOWS, MODES, QUEUES, SRC, CakeFlow, CakeTin
from ebpfvm.sched.qdiscs.fifo import psched_mtu
from ebpfvm.sched.sch_generic import NET_XMIT_CN, NET_XMIT_SUCCESS, TC_H_MAJ_MASK, Stats
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.block import Block
from ebpfvm.sched.tc.dissect import dissect, flow_hash, set_dscp
from ebpfvm.sched.tc.tc_verdict import TcfResult
from ebpfvm.sched.truesize import truesize
from ebpfvm.sched.units import format_size, format_tc_rate, tc_us_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.sched.account import Packet
    from ebpfvm.sched.sch_generic import QdiscDevice

_LIMIT = 10240
_LEAST_BUFFER = 4 << 20
FLOW_MODES = {"flowblind": 0, "srchost": SRC, "dsthost": DST, "hosts": SRC | DST, "flows": FLOWS,
              "dual-srchost": SRC | FLOWS, "dual-dsthost": DST | FLOWS, "triple-isolate": SRC | DST | FLOWS}


class CakeOptions(TypedDict, total=False):
    """The parameters of a cake.

    Attributes:
        bandwidth: bytes per second, 0 for unlimited.
        tins, isolation: names of modes.
        nat, wash, split_gso, ingress, raw: flags.
        rtt, target: ns.
        overhead, mpu: bytes.
        atm: "atm", "ptm" or "noatm".
        memlimit: bytes, 0 for what follows from the rate.
        fwmark: mask of skb->mark that selects the tin.
        ack_filter: a word of `ebpfvm.sched.qdiscs.cake_ack.MODES`.
        autorate: whether the bandwidth follows what arrives.
    """

    bandwidth: int
    tins: str
    isolation: str
    nat: bool
    wash: bool
    split_gso: bool
    ingress: bool
    raw: bool
    rtt: int
    target: int
    overhead: int
    mpu: int
    atm: str
    memlimit: int
    fwmark: int
    ack_filter: str
    autorate: bool


class CakeClass(NamedTuple):
    """A flow as `tc class show` sees it at a time (ns)."""

    classid: int
    flow: CakeFlow
    now: int
    child: None = None


class Cake(ClassfulQdisc):
    """Common applications kept enhanced.

    Args:
        dev, handle: as for `Qdisc`.
        options: see `CakeOptions`.
    """

    kind = "cake"
    classes_count_sent = False

    def __init__(self, dev: QdiscDevice, handle: int = 0, **options: Unpack[CakeOptions]) -> None:
        super().__init__(dev, handle)
        self.block = Block(self)
        self.settings: CakeOptions = {
            "bandwidth": 0, "tins": "diffserv3", "isolation": "triple-isolate", "nat": False, "wash": False,
            "split_gso": True, "ingress": False, "raw": True, "rtt": 100_000_000, "target": 5_000_000, "overhead": 0,
            "mpu": 0, "atm": "noatm", "memlimit": 0, "fwmark": 0,
            "ack_filter": OFF, "autorate": False}
        self.tins = [CakeTin() for _ in range(8)]
        self.heap = OverflowHeap(lambda: self.tins)
        self.buffer_used = self.buffer_most = 0
        self.next_time = self.failsafe = self._current = self._offset = 0
        self._seed = dev.account.kernel.random.getrandbits(32)
        self.change(**options)
        self.autorate = Autorate(self.settings["bandwidth"])

    def change(self, **options: Unpack[CakeOptions]) -> None:
        """Set the named parameters (cake_change)."""
        known("cake", options, CakeOptions.__annotations__)
        self.settings.update(options)
        if not options.keys().isdisjoint({"overhead", "mpu", "atm", "raw"}) or not hasattr(self, "sizes"):
            self.sizes = [65535, 0, 65535, 0]
        self._configure()

    def _configure(self) -> None:
        """Set what follows from the parameters (cake_reconfigure)."""
        settings = self.settings
        self.mode, self.isolation = MODES[settings["tins"]], FLOW_MODES[settings["isolation"]]
        rate, mtu = settings["bandwidth"], psched_mtu(self.dev)
        for tin, (share, quantum) in zip(self.tins, self.mode.rates(rate), strict=False):
            tin.set_rate(share, quantum, mtu, settings["target"], settings["rtt"])
        for tin in self.tins[len(self.mode.order):]:
            self._clear(tin)
        buffer = settings["memlimit"]
        if not buffer:
            buffer = max(rate * settings["rtt"] // 250_000_000, _LEAST_BUFFER) if rate else U32_MAX
        self.buffer_limit = min(buffer, max(_LIMIT * mtu, settings["memlimit"]))

    def _clear(self, tin: CakeTin) -> None:
        """Drop what a tin holds that is no longer used."""
        for flow in tin.flows.values():
            while flow.queue:
                skb = self._pop(tin, flow)[0]
                self.kernel_view.drops += 1
                tree_reduce_backlog(self, 1, skb.wire_len)
                self.dev.drop(skb, self.holder)

    # ---- arrival ----------------------------------------------------------------------------------------------

    def _tin_of(self, skb: Packet) -> CakeTin:
        """Return the tin that mark, priority or code point select (cake_select_tin)."""
        settings, count = self.settings, len(self.mode.order)
        tos = dissect(skb).tos or 0
        if settings["wash"]:
            set_dscp(skb, 0)
        mask = settings["fwmark"]
        mark = (skb.mark & mask) // (mask & -mask) if mask else 0
        minor = skb.priority & 0xFFFF
        if count == 1:
            return self.tins[0]
        if 0 < mark <= count:
            return self.tins[self.mode.order[mark - 1]]
        if skb.priority & TC_H_MAJ_MASK == self.handle and 0 < minor <= count:
            return self.tins[self.mode.order[minor - 1]]
        return self.tins[self.mode.index[tos >> 2]]

    def classify(self, skb: Packet) -> tuple[int, int, int]:
        """Return numbers of flow and host that filters select (0: by hash), and what enqueue returns, if not 0."""
        if self.block is None or not self.block.chains:
            return 0, 0, 0
        result = TcfResult()
        verdict = tcf_classify(skb, self.block, result)
        if verdict < 0 or taken(verdict):
            return 0, 0, taken(verdict)
        flow, host = result.classid & 0xFFFF, result.classid >> 16
        return flow if flow <= QUEUES else 0, host if host <= QUEUES else 0, 0

    def _flow_of(self, tin: CakeTin, skb: Packet, flow: int, host: int) -> CakeFlow:
        if not self.isolation:
            return tin.flows.setdefault(0, CakeFlow(0))
        headers = dissect(skb)
        src, dst = (host - 1, host - 1) if host else (hash(("src", headers.src)) & U32_MAX,
                                                      hash(("dst", headers.dst)) & U32_MAX)
        found = flow - 1 if flow else flow_hash(skb, self._seed) if self.isolation & FLOWS else 0
        if not self.isolation & FLOWS:
            found ^= (src if self.isolation & SRC else 0) ^ (dst if self.isolation & DST else 0)
        return tin.flow_of(found, (src, dst), self.isolation)

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        """Queue the packet in its flow; without memory, the longest flows lose packets (cake_enqueue)."""
        hops, now = skb.hops, self.dev.loop.now
        number, host, result = self.classify(skb)
        if result:
            return self.unclassified(skb, hops, result, to_free)
        tin = self._tin_of(skb)
        flow = self._flow_of(tin, skb, number, host)
        self._refresh(tin, now)
        tin.max_len = max(tin.max_len, skb.wire_len)
        flow.queue.append((skb, now, self._adjusted(skb)))
        self._count(tin, flow, skb)
        gone = self._filter_acks(tin, flow, now)
        rate = self.autorate.arrived(skb.wire_len - gone, now, self.settings["autorate"])
        if rate is not None:
            self.settings["bandwidth"] = rate
            self._configure()
        self.heap.grown(tin, flow)
        tin.arrived(flow, self.isolation)
        self.buffer_most = max(self.buffer_most, self.buffer_used)
        return self._overflow(flow, to_free) if self.buffer_used > self.buffer_limit else NET_XMIT_SUCCESS

    def _count(self, tin: CakeTin, flow: CakeFlow, skb: Packet) -> None:
        """Count a packet that has been queued."""
        size = skb.wire_len
        self.kernel_view.qlen += 1
        self.kernel_view.backlog += size
        self.buffer_used += truesize(skb)
        tin.packets += 1
        tin.bytes += size
        tin.backlog += size
        flow.backlog += size

    def _filter_acks(self, tin: CakeTin, flow: CakeFlow, now: int) -> int:
        """Drop an acknowledgment that the new packet makes superfluous, and return its length, 0 without one."""
        mode = self.settings["ack_filter"]
        place = superseded([item[0] for item in flow.queue], mode == AGGRESSIVE) if mode != OFF else None
        if place is None:
            return 0
        skb, _, on_link = flow.queue[place]
        del flow.queue[place]
        size = skb.wire_len
        for holder in (self.kernel_view, tin, flow):
            holder.backlog -= size
        self.kernel_view.qlen -= 1
        self.kernel_view.drops += 1
        self.buffer_used -= truesize(skb)
        tin.acks_dropped += 1
        if self.settings["ingress"]:
            self._advance(tin, on_link, now, True)
        tree_reduce_backlog(self, 1, size)
        self.dev.drop(skb, self.holder)
        return size

    def _refresh(self, tin: CakeTin, now: int) -> None:
        """Let the schedule of an idle tin, and of an idle qdisc, begin now."""
        if tin.backlog:
            return
        tin.next_time = max(tin.next_time, now)
        if self.kernel_view.qlen:
            return
        if self.next_time < now:
            self.next_time = self.failsafe = now
        elif self.next_time > now and self.failsafe > now:
            self.kernel_view.overlimits += 1
            self.watchdog.schedule(min(self.next_time, self.failsafe))

    def _adjusted(self, skb: Packet) -> int:
        """Return what a packet counts on the link (cake_overhead)."""
        settings, offset = self.settings, self.dev.hard_header_len
        self._offset = self._offset - (self._offset >> 8) + (offset << 16 >> 8)
        size = skb.wire_len - (0 if settings["raw"] else offset)
        self.sizes[:2] = min(self.sizes[0], size), max(self.sizes[1], size)
        size = max(size + settings["overhead"], settings["mpu"])
        if settings["atm"] == "atm":
            size = in_cells(size)
        elif settings["atm"] == "ptm":
            size += -(-size // 64)
        self.sizes[2:] = min(self.sizes[2], size), max(self.sizes[3], size)
        return size

    def _overflow(self, arrived: CakeFlow, to_free: list[Packet]) -> int:
        """Drop from the longest flows until memory suffices (cake_drop)."""
        result, packets, size, now = NET_XMIT_SUCCESS, 0, 0, self.dev.loop.now
        while self.buffer_used > self.buffer_limit:
            tin, flow = self.heap.longest()
            skb, _, on_link = self._pop(tin, flow)
            tin.unresponsive += flow.cobalt.full(tin.params, now)
            if self.settings["ingress"]:
                self._advance(tin, on_link, now, True)
            flow.dropped += 1
            tin.dropped += 1
            self.kernel_view.drops += 1
            to_free.append(skb)
            packets, size = packets + 1, size + skb.wire_len
            if flow is arrived:
                result = NET_XMIT_CN
        own = result == NET_XMIT_CN
        tree_reduce_backlog(self, packets - own, size - (to_free[-1].wire_len if own else 0))
        return result

    # ---- departure --------------------------------------------------------------------------------------------

    def _pop(self, tin: CakeTin, flow: CakeFlow) -> tuple[Packet, int, int]:
        skb, came, size = flow.queue.popleft()
        flow.backlog -= skb.wire_len
        tin.backlog -= skb.wire_len
        self.kernel_view.backlog -= skb.wire_len
        self.kernel_view.qlen -= 1
        self.buffer_used -= truesize(skb)
        self.heap.shrunk(tin, flow)
        return skb, came, size

    def dequeue(self) -> Packet | None:
        """Return the next packet, if the shaper allows one (cake_dequeue)."""
        now, first = self.dev.loop.now, True
        while self.kernel_view.qlen:
            if self.next_time > now and self.failsafe > now:
                self.kernel_view.overlimits += 1
                self.watchdog.schedule(min(self.next_time, self.failsafe))
                return None
            tin = self._choose(now)
            if tin is None:
                return None
            while (heads := tin.heads(first)) is not None:
                first = False
                flow = heads[0]
                if flow.deficit <= 0:
                    tin.next_turn(flow, heads, self.isolation)
                    continue
                found = self._of_flow(tin, flow, now)
                if found is None:
                    tin.emptied(flow, heads, now, self.isolation)
                    break
                if found[2]:
                    return self._send(tin, flow, found, now)
        return None

    def _choose(self, now: int) -> CakeTin | None:
        """Return the tin to serve: in turns without a rate, otherwise by schedule."""
        tins = self.tins[:len(self.mode.order)]
        if not any(tin.waiting for tin in tins):
            return None
        if not self.settings["bandwidth"]:
            while (tin := tins[self._current]).deficit < 0 or not tin.waiting:
                if tin.deficit <= 0:
                    tin.deficit += tin.quantum
                self._current = (self._current + 1) % len(tins)
            return tin
        best: CakeTin | None = None
        for tin in tins:
            if tin.waiting and (best is None or tin.next_time <= max(now, best.next_time)):
                best = tin
        return best

    def _of_flow(self, tin: CakeTin, flow: CakeFlow, now: int) -> tuple[Packet, int, int] | None:
        """Return the packet of a flow that COBALT leaves, with its time and length; None for an empty flow.

        A length of 0 means that a dropped packet was charged to the shaper, so that the flow has to be chosen anew.
        """
        random = self.dev.account.kernel.random
        ingress = self.settings["ingress"]
        while flow.queue:
            skb, came, size = self._pop(tin, flow)
            drop = flow.cobalt.drops(tin.params, now, skb, came, tin.bulk * ingress, lambda: random.getrandbits(32))
            if not drop or not flow.queue:
                return skb, came, size
            flow.dropped += 1
            tin.dropped += 1
            self.kernel_view.drops += 1
            tree_reduce_backlog(self, 1, skb.wire_len)
            self.dev.drop(skb, self.holder)
            if ingress:
                self._advance(tin, size, now, True)
                flow.deficit -= size
                tin.deficit -= size
                return skb, came, 0
        return None

    def _send(self, tin: CakeTin, flow: CakeFlow, found: tuple[Packet, int, int], now: int) -> Packet:
        skb, came, size = found
        tin.marked += flow.cobalt.marked
        self.kernel_view.packets += 1
        self.kernel_view.bytes += skb.wire_len
        tin.measure(now - came)
        self._advance(tin, size, now, False)
        flow.deficit -= size
        tin.deficit -= size
        if self.next_time > now and self.kernel_view.qlen:
            self.watchdog.schedule(min(self.next_time, self.failsafe))
        elif not self.kernel_view.qlen:
            decaying = next((tin for tin in self.tins[:len(self.mode.order)] if tin.decaying), None)
            if decaying is not None:
                self.watchdog.schedule(now + decaying.params.target)
        self.heap.sent()
        return skb

    def _advance(self, tin: CakeTin, size: int, now: int, drop: bool) -> None:
        """Let a packet use up time of its tin and of the shaper (cake_advance_shaper)."""
        if not self.settings["bandwidth"]:
            return
        time = tin.time_of(size)
        if tin.next_time < now:
            tin.next_time += time
        elif tin.next_time < now + time:
            tin.next_time = now + time
        time = self.tins[0].time_of(size)
        self.next_time += time
        if not drop:
            self.failsafe += time + (time >> 1)

    def reset(self) -> None:
        """Drop what is queued, and forget the flows."""
        for tin in self.tins:
            for flow in tin.flows.values():
                while flow.queue:
                    self.dev.drop(self._pop(tin, flow)[0], self.holder)
        self.tins = [CakeTin() for _ in range(8)]
        super().reset()
        self.change()

    # ---- what tc shows ----------------------------------------------------------------------------------------

    def walk(self) -> Iterator[CakeClass]:
        """Yield the flows that are in a rotation; they are classes that nothing can be attached to."""
        return (self._class(number, flow) for number, flows in enumerate(self._rotations()) for flow in flows)

    def dumped(self) -> Iterator[CakeClass]:
        """Yield the flows that a kernel lists; below other qdiscs, whose classes fill messages too, all of them."""
        if self.upper is not None:
            return self.walk()
        return (self._class(number, flow) for number, flow in dumped(self._rotations()))

    def _rotations(self) -> list[list[CakeFlow]]:
        """Return the flows of each tin by their index."""
        tins = (self.tins[place] for place in self.mode.order)
        return [sorted((*tin.new, *tin.old, *tin.decaying_flows), key=lambda flow: flow.index) for tin in tins]

    def _class(self, number: int, flow: CakeFlow) -> CakeClass:
        return CakeClass(self.handle | number * QUEUES + flow.index + 1, flow, self.dev.loop.now)

    def class_stats(self, cl: CakeClass) -> Stats:
        """Return what is queued and was dropped in a flow."""
        return Stats(qlen=len(cl.flow.queue), backlog=cl.flow.backlog, drops=cl.flow.dropped)

    def class_xstats(self, cl: CakeClass) -> list[Part]:
        """Return the state of a flow."""
        cobalt = cl.flow.cobalt
        parts = [entry("deficit", cl.flow.deficit, "\n  deficit {}"), entry("count", cobalt.count, " count {}")]
        if cobalt.dropping:
            parts += [Part(" dropping", "dropping", True), _since("drop_next", cl.now - cobalt.drop_next)]
        parts.append(entry("blue_prob", cobalt.p_drop, " blue_prob {}"))
        return [*parts, _since("blue_timer", cl.now - cobalt.blue_timer)] if cobalt.p_drop else parts

    def shown(self, details: bool = False) -> list[Part]:
        """Return the parameters."""
        settings = self.settings
        rate = settings["bandwidth"]
        flags = (("nat" if settings["nat"] else "nonat"), ("wash" if settings["wash"] else "nowash"))
        autorate = [Part("autorate-ingress ", "autorate", "autorate-ingress")] if settings["autorate"] else []
        parts = [Part(f"bandwidth {format_tc_rate(8 * rate)} " if rate else "bandwidth unlimited ", "bandwidth",
                      rate or "unlimited"), *autorate,
                 Part(f"{settings['tins']} ", "diffserv", settings["tins"]),
                 Part(f"{settings['isolation']} ", "flowmode", settings["isolation"]),
                 Part(f"{flags[0]} ", "nat", settings["nat"]), Part(f"{flags[1]} ", "wash", settings["wash"])]
        parts += [Part("ingress " if settings["ingress"] else "", "ingress", settings["ingress"]),
                  Part(f"{settings['ack_filter']} ", "ack-filter", ACK_MODES[settings["ack_filter"]]),
                  Part("split-gso " if settings["split_gso"] else "no-split-gso ", "split_gso", settings["split_gso"]),
                  Part(f"rtt {tc_us_text(settings['rtt'] // 1000)} ", "rtt", settings["rtt"] // 1000)]
        if settings["raw"]:
            parts.append(Part("raw ", "raw", True))
        if settings["atm"] != "noatm" or not settings["raw"]:
            parts.append(Part(f"{settings['atm']} ", "atm", settings["atm"]))
        parts.append(worded("overhead", settings["overhead"]))
        if settings["mpu"]:
            parts.append(worded("mpu", settings["mpu"]))
        if settings["memlimit"]:
            parts.append(Part(f"memlimit {format_size(settings['memlimit'])} ", "memlimit", settings["memlimit"]))
        mark = settings["fwmark"]
        return [*parts, Part(f"fwmark {mark:#x} " if mark else "", "fwmark", f"{mark:#x}" if mark else "0")]

    def xstats(self) -> list[Part]:
        """Return memory, sizes, and the counters of each tin."""
        capacity = self.autorate.peak
        least, most, least_link, most_link = self.sizes
        parts = [Part(f"\n memory used: {format_size(self.buffer_most)}", "memory_used", self.buffer_most),
                 Part(f" of {format_size(self.buffer_limit)}", "memory_limit", self.buffer_limit),
                 Part(f"\n capacity estimate: {format_tc_rate(8 * capacity)}", "capacity_estimate", capacity),
                 entry("min_network_size", least, "\n min/max network layer size: {:12}"),
                 entry("max_network_size", most, " /{:8}"),
                 entry("min_adj_size", least_link, "\n min/max overhead-adjusted size: {:8}"),
                 entry("max_adj_size", most_link, " /{:8}"), Part(f"\n active queues: {0:25}", "", None),
                 entry("avg_hdr_offset", self._offset + 0x8000 >> 16, "\n average network hdr offset: {:12}")]
        tins = [self.tins[place] for place in self.mode.order]
        titles = self.mode.titles or [f"Tin {number}" for number in range(len(tins))]
        table = [("", titles), *(_rows(tins))]
        text = "\n".join(f"{f'  {name}' if name else '':10}" + "".join(f"{cell:>13}" for cell in cells)
                         for name, cells in table)
        return [*parts, Part(f"\n\n{text}\n", "tins", [_tin_object(tin) for tin in tins])]


def _since(key: str, ns: int) -> Part:
    time = _whole_us(ns)
    return Part(f" {key} {'-' if time < 0 else ''}{tc_us_text(abs(time))}", key, time)


def _whole_us(time: int) -> int:
    return time // 1000 if time >= 0 else -(-time // 1000)


def _counters(tin: CakeTin) -> list[tuple[str, str, int, str]]:
    """Return what is shown of a tin: name in the text, key in JSON, value, and how the text writes it."""
    times = [("target", "target_us", tin.params.target), ("interval", "interval_us", tin.params.interval),
             ("pk_delay", "peak_delay_us", tin.peak), ("av_delay", "avg_delay_us", tin.average),
             ("sp_delay", "base_delay_us", tin.base)]
    numbers = [("pkts", "sent_packets", tin.packets), ("bytes", "sent_bytes", tin.bytes),
               ("way_inds", "way_indirect_hits", tin.hits), ("way_miss", "way_misses", tin.misses),
               ("way_cols", "way_collisions", tin.collisions), ("drops", "drops", tin.dropped),
               ("marks", "ecn_mark", tin.marked), ("ack_drop", "ack_drops", tin.acks_dropped),
               ("sp_flows", "sparse_flows", tin.sparse + tin.decaying), ("bk_flows", "bulk_flows", tin.bulk),
               ("un_flows", "unresponsive_flows", tin.unresponsive), ("max_len", "max_pkt_len", tin.max_len),
               ("quantum", "flow_quantum", tin.flow_quantum)]
    return [("thresh", "threshold_rate", tin.rate, format_tc_rate(8 * tin.rate)),
            *((name, key, time // 1000, tc_us_text(time // 1000)) for name, key, time in times),
            ("backlog", "backlog_bytes", tin.backlog, format_size(tin.backlog)),
            *((name, key, value, str(value)) for name, key, value in numbers)]


def _rows(tins: list[CakeTin]) -> Iterator[tuple[str, list[str]]]:
    for cells in zip(*(_counters(tin) for tin in tins), strict=True):
        yield cells[0][0], [cell[3] for cell in cells]


def _tin_object(tin: CakeTin) -> tuple[tuple[str, Any], ...]:
    return tuple((key, value) for _, key, value, _ in _counters(tin))


