"""The result of a simulation: as data, as text in the format of `tc -s qdisc show`, and as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.lazy_dataclasses import dataclass, field, replace
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.sched.flow_report import FlowReport, flow_table
from ebpfvm.sched.sch_generic import Stats
from ebpfvm.sched.senders.sender_report import sender_table
from ebpfvm.sched.units import format_rate, format_size, format_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.kernel.objects_left import ObjectsLeft
    from ebpfvm.maps.map_dump import MapDump
    from ebpfvm.sched.account import Problem
    from ebpfvm.sched.senders.sender_report import SenderReport
    from ebpfvm.sched.senders.video import VideoReport

SCHEMA = "ebpfvm.run/1"


class PacketRecord(NamedTuple):
    """What happened to one packet. Times are in ns from the beginning of the run.

    Attributes:
        number: from 1, in order of arrival.
        flow: name of its flow.
        length: bytes on the wire.
        arrival: when it arrived at the device.
        departure: when its last bit left, None if it did not leave.
        fate: "sent", "dropped", "freed by the program" or "held".
    """

    number: int
    flow: str
    length: int
    arrival: int
    departure: int | None
    fate: str


@dataclass(frozen=True, slots=True)
class Result:
    """A finished simulation. Counts are in packets, times in ns, rates in bits per second.

    Attributes:
        ok: whether every packet is accounted for.
        in_packets, out_packets, dropped, freed, held: unless there is an error, the first is the sum of the others.
            `freed` counts packets whose last reference a program released; no counter of the qdisc includes them.
        too_big: how many of the `dropped` packets were larger than the MTU.
        holders: number of held packets by holder.
        problems: packets that were lost or disposed of twice, the first 1000 of `problem_count`.
        duration: from the first arrival to the last packet at the other end (or the end asked for).
        kernel_view: the qdisc's counters as the kernel shows them: the RFC's kernel counts packets that pass it, and a
            program that fills `Qdisc_ops` counts for itself.
        truth: the same counters, computed from what really happened.
        flows: one report for each flow, in the order of their first packets.
        fairness: Jain's index over the flows' throughput.
        trace: what programs wrote with bpf_trace_printk.
        variables: numbers in the programs' `.data` and `.bss` at the end, where programs keep statistics.
        packets: one record for each packet, if requested.
        shown: output of the `show` commands of a tc script after the run.
        objects: the objects of bpf_obj_new that are left, None if no program allocates any.
        maps: contents of maps as user space reads them at the end, if requested.
        stopped: why the run was stopped before its end, "" if it was not.
        senders: one report for each TCP connection that was simulated.
        videos: one report for each player of video.
        counting: who keeps the counters of `kernel_view`, in a few words.
        notes: what was left out when programs were loaded (tail calls to rejected programs), one sentence each.
    """

    device: str
    qdisc: str
    rate: int
    delay: int
    mtu: int | None
    seed: int
    duration: int
    in_packets: int
    in_bytes: int
    out_packets: int
    out_bytes: int
    dropped: int
    freed: int
    held: int
    too_big: int
    holders: Mapping[str, int]
    problems: tuple[Problem, ...]
    problem_count: int
    kernel_view: Stats
    truth: Stats
    flows: Sequence[FlowReport]
    fairness: float
    trace: tuple[str, ...] = ()
    variables: Mapping[str, int] = field(default_factory=dict)
    packets: tuple[PacketRecord, ...] | None = field(default=None, repr=False)
    shown: tuple[str, ...] = field(default=(), repr=False)
    maps: tuple[MapDump, ...] | None = field(default=None, repr=False)
    objects: tuple[ObjectsLeft, ...] | None = None
    stopped: str = ""
    notes: tuple[str, ...] = ()
    senders: tuple[SenderReport, ...] = ()
    videos: tuple[VideoReport, ...] = ()
    counting: str = "the RFC leaves statistics to maps"

    @property
    def ok(self) -> bool:
        """Whether every packet is accounted for, exactly once."""
        return not self.problem_count and (self.in_packets == self.out_packets + self.dropped + self.freed + self.held)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON data of schema "ebpfvm.run/1"."""
        from dataclasses import asdict

        # asdict takes 100 us for each flow.
        data = asdict(replace(self, flows=(), packets=None, maps=None, objects=None))
        del data["counting"]
        data["flows"] = tuple(flow.as_dict() for flow in self.flows)
        if self.packets is not None:
            data["packets"] = [record._asdict() for record in self.packets]
        if self.senders:
            data["senders"] = [sender._asdict() for sender in self.senders]
        else:
            del data["senders"]
        if self.videos:
            data["videos"] = [video._asdict() for video in self.videos]
        else:
            del data["videos"]
        if self.objects is None:
            del data["objects"]
        else:
            data["objects"] = [item.as_dict() for item in self.objects]
        if self.maps is None:
            del data["maps"]
        else:
            data["maps"] = [item.as_dict() for item in self.maps]
        return {"schema": SCHEMA, "ok": self.ok, **data}

    def text(self, width: int = 100) -> str:
        """Return the statistics as text; flow names are shortened so that the table fits in `width` columns."""
        return "\n".join([*_qdisc_lines(self), *_balance_lines(self), "", *flow_table(self.flows, width),
                          f"fairness (Jain) {self.fairness:.3f}", *sender_table(self.senders),
                          *_videos(self.videos),
                          *(("", *self.shown) if self.shown else ()),
                          *(line for item in self.maps or () for line in ("", *item.lines()))])


def _videos(videos: Sequence[VideoReport]) -> list[str]:
    if not videos:
        return []
    from ebpfvm.sched.senders.video import video_table  # imported here, because few runs have any
    return video_table(videos)


def _qdisc_lines(result: Result) -> list[str]:
    truth, kernel = result.truth, result.kernel_view
    return [result.qdisc, *_stats_lines(truth), f" kernel view ({result.counting}):",
            *(" " + line for line in _stats_lines(kernel))]


def _stats_lines(stats: Stats) -> list[str]:
    return [f" Sent {stats.bytes} bytes {stats.packets} pkt (dropped {stats.drops}, overlimits {stats.overlimits} "
            f"requeues {stats.requeues})",
            f" backlog {format_size(stats.backlog)} {stats.qlen}p requeues {stats.requeues}"]


def _balance_lines(result: Result) -> list[str]:
    mtu = f" mtu {result.mtu}" if result.mtu is not None else ""
    link = f"link {format_rate(result.rate)} delay {format_time(result.delay)}{mtu}, {format_time(result.duration)}"
    sign = "=" if result.ok else "!="
    lines = [f"{link}: {result.in_packets} in {sign} {result.out_packets} out + {result.dropped} dropped + "
             f"{result.freed} freed by the program + {result.held} held"]
    if result.too_big:
        lines.append(f" {result.too_big} of the dropped were above the MTU")
    lines += [f" {count} held by {holder}" for holder, count in result.holders.items()]
    lines += [f" {item}" for item in result.objects or ()]
    if result.variables:
        lines.append("variables: " + ", ".join(f"{name} {value}" for name, value in result.variables.items()))
    return lines
