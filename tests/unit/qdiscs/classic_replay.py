"""Replay recorded schedules of a Linux 7.2 kernel's queueing disciplines with the built-in ones, step by step.

The files `*classic_traces.json.gz` in `tests/data` have, for each case, the commands that set a device up, and every
enqueue, dequeue and drop that the kernel made, with its time. `differences` makes the same calls at the same times and
yields what came out otherwise: answers, packets, drops, counters of qdisc and classes, and the text of
`tc -s -d ... show`. The cases of the second file change, replace and delete qdiscs, classes and filters on the way;
some were refused. Those of the third have tables of sizes (`stab`), and long lists of classes.

Run as a program, it prints how many cases of each kind are equal; names of kinds or cases select some, `-v` tells the
first differences.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.kernel import Kernel
from ebpfvm.net import ETH_P_IP, IPPROTO_UDP
from ebpfvm.sched.account import SENT, Packet
from ebpfvm.sched.classful import ClassfulQdisc
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.packet import ether, ipv4, udp
from ebpfvm.sched.sch_generic import NET_XMIT_DROP, Qdisc, Stats
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script

if TYPE_CHECKING:
    from collections.abc import Iterator

Case = dict[str, Any]
Event = dict[str, Any]
Counters = dict[str, dict[str, Any]]

DATA: Final = Path(__file__).parents[2] / "data"
FILES: Final = ("classic_traces.json.gz", "more_classic_traces.json.gz", "further_classic_traces.json.gz")
ORIGIN: Final = 1_000_000_000
_PAUSE_US: Final = 200  # so much later than the step before it, a step is the work of a timer
_FIELDS: Final = ("qlen", "backlog", "packets", "bytes", "drops", "requeues", "overlimits")
_CLASS_FIELDS: Final = ("bytes", "packets", "qlen", "backlog", "drops", "overlimits")


def cases() -> list[Case]:
    """Return the recorded cases."""
    found: list[Case] = []
    for name in FILES:
        with gzip.open(DATA / name, "rt") as file:
            found += json.load(file)["cases"]
    return found


class Replay:
    """One case: a device with one packet on the wire, no link header and a queue of 10 packets."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.net = Namespace(Kernel())
        self.net.kernel.clock = ORIGIN
        self.dev = self.net.add_device("DEV", hard_header_len=0)
        self.dev.tx_queue_len = 10
        self.dev.set_mtu(case["mtu"])
        self.dev.observer = self._observe
        self.freed: list[int] = []
        self.wire: Packet | None = None
        self.wired_by = ""  # who held it
        self.missed = False
        self.packets: dict[int, Packet] = {}
        for command in (f"qdisc add dev DEV root handle 10: {case['qdisc']}", *case.get("setup", ())):
            self.tc(command)

    @property
    def qdisc(self) -> Qdisc:
        """The root qdisc."""
        return self.dev.qdisc

    def tc(self, command: str) -> list[str]:
        """Run a command of `tc`."""
        return run_script(f"tc {command}", self.net)

    def _observe(self, event: str, time: int, skb: Packet | None, result: str, ctx: Any) -> None:
        if event == "drop" and skb is not None:
            self.freed.append(skb.id)

    def _packet(self, sent: dict[str, Any]) -> Packet:
        data = ether(ETH_P_IP, ipv4(udp(sent.get("sport", 1000), 2000, bytes(sent["len"] - 28)), IPPROTO_UDP,
                                    "10.0.0.1", "10.0.0.2", tos=sent.get("tos", 0)))
        more = {"tc_index": sent["mark"] & 15} if self.case.get("tcindex") else {}
        if "txtime_ms" in sent:
            more["tstamp"] = ORIGIN + round(sent["txtime_ms"] * 1_000_000)
        return self.net.packet(data, len=sent["len"], mark=sent["mark"], hash=sent["mark"], priority=sent["priority"],
                               id=sent["id"], **more)

    def send(self, sent: dict[str, Any]) -> int:
        """Hand a packet to the root qdisc, as __dev_xmit_skb does; a bypass is as good as a success."""
        skb, qdisc = self._packet(sent), self.qdisc
        self.packets[skb.id] = skb
        self.net.hand(skb, qdisc.holder)
        skb.dev = self.dev
        if qdisc.stab is not None:
            skb.wire_len = qdisc.stab.size(skb.len)
        stats = qdisc.kernel_view
        if qdisc.can_bypass and not stats.qlen and not self.missed:
            stats.packets += 1
            stats.bytes += skb.wire_len
            if self.wire is None:
                self.wire, self.wired_by = skb, qdisc.holder
            else:
                qdisc.gso_skb = skb
                stats.requeues += 1
                stats.qlen += 1
                stats.backlog += skb.wire_len
                self.missed = qdisc.kind == "pfifo_fast"  # it has no lock: __QDISC_STATE_MISSED
            return -1
        to_free: list[Packet] = []
        result = qdisc.enqueue(skb, to_free)
        for packet in to_free:
            self.dev.drop(packet, qdisc.holder)
        return result

    def dequeue(self) -> int | None:
        """Ask for a packet, and put it on the wire."""
        skb = self.qdisc.dequeue_peeked()
        if skb is None:
            self.missed = False
            return None
        self.wire, self.wired_by = skb, self.qdisc.holder
        return skb.id

    def receive(self) -> dict[str, int] | None:
        """Take the packet from the wire."""
        skb, self.wire = self.wire, None
        if skb is None:
            return None
        self.net.account.dispose(skb, SENT, self.wired_by)
        tos = skb.payload()[15]
        return {"id": skb.id, "len": skb.len} | ({"tos": tos} if tos else {})

    def class_counters(self) -> dict[str, list[int]]:
        """Return the counters of each class by its id, in the order of the recording; without any, zeros."""
        return {f"{cl.classid >> 16:x}:{cl.classid & 0xFFFF:x}":
                [getattr(_unsigned(qdisc.class_stats(cl)), name, 0) for name in _CLASS_FIELDS]
                for qdisc in self.net.qdiscs(self.dev) if isinstance(qdisc, ClassfulQdisc) for cl in qdisc.walk()}

    def counters(self) -> Counters:
        """Return all counters of this moment: "stats", "classes" and "xstats"."""
        stats = self.qdisc.shown_stats
        return {"stats": {name: getattr(stats, name) for name in _FIELDS}, "classes": self.class_counters(),
                "xstats": {item.key: item.value for item in self.qdisc.xstats()}}

    def at(self, us: int) -> None:
        """Set the clock."""
        self.net.kernel.clock = ORIGIN + 1000 * us


def _unsigned(stats: Stats | None) -> Stats | None:
    return stats.unsigned() if stats is not None else None


def differences(case: Case) -> Iterator[str]:
    """Yield what comes out otherwise than it was recorded."""
    try:
        replay = Replay(case)
    except ScriptError as error:
        if "error" not in case:
            yield f"refused: {error}"
        return
    if "error" in case:
        yield f"accepted, but recorded: {case['error']}"
        return
    for number, event in enumerate(case["events"]):
        yield from (f"event {number} {_words(event)}: {what}" for what in _event(replay, event))
    replay.at(case["events"][-1]["us"])
    yield from _shown(replay)


def _words(event: Event) -> str:
    return next(f"{word} {event[word]}" for word in ("send", "recv", "sleep_ms", "tc") if word in event)


def _event(replay: Replay, event: Event) -> Iterator[str]:
    replay.freed.clear()
    result = 0
    waiting = bool(event.get("recv"))  # for a packet that may not be on the wire yet
    if "tc" in event:
        replay.at(event["us"])
        yield from _commanded(replay, event)
    earlier: Counters | None = None
    last = 0
    enqueued = {identity: us for us, what, identity in event["steps"] if what == "enqueue"}
    for us, what, identity in event["steps"]:
        if waiting and replay.wire is not None:
            waiting = False
            yield from _received(replay, event)
        if us - last > _PAUSE_US:
            earlier = replay.counters()
        last = us
        if what == "queue":
            replay.at(enqueued.get(identity, us))
            result = replay.send(event["send"])
        if what == "dequeue":
            replay.at(us)
            found = replay.dequeue()
            if found != identity:
                yield f"at {us} us dequeue returned {found}, not {identity}"
    if waiting:
        yield from _received(replay, event)
    if "send" in event and (result == NET_XMIT_DROP) != event["dropped"]:
        yield f"enqueue returned {result:#x}, dropped was {event['dropped']}"
    yield from _counted(replay, event, earlier)


def _commanded(replay: Replay, event: Event) -> Iterator[str]:
    try:
        replay.tc(event["tc"])
    except ScriptError as error:
        if "error" not in event:
            yield f"refused: {error}"
    else:
        if "error" in event:
            yield f"accepted, but recorded: {event['error']}"


def _received(replay: Replay, event: Event) -> Iterator[str]:
    got = replay.receive()
    if got != event["recv"]:
        yield f"received {got}"


def _counted(replay: Replay, event: Event, earlier: Counters | None) -> Iterator[str]:
    """Compare drops and counters; those may have been read before a timer that fired at the end of the event."""
    freed = [identity for _, what, identity in event["steps"] if what == "free"]
    if Counter(replay.freed) != Counter(freed):
        yield f"freed {replay.freed}, not {freed}"
    found = replay.counters()
    inexact = {name.removeprefix("xstats.") for name in replay.case.get("inexact", ())}
    for what in ("stats", "classes", "xstats"):
        recorded = {name: value for name, value in event.get(what, {}).items() if name not in inexact}
        wrong = {name: (found[what].get(name), value) for name, value in recorded.items()
                 if found[what].get(name, value if what == "xstats" else None) != value}
        if wrong and not (earlier is not None and all(earlier[what].get(name) == value
                                                      for name, value in recorded.items())):
            yield f"{what} (found, recorded): {wrong}"


def _shown(replay: Replay) -> Iterator[str]:
    for what in ("qdisc", "class", "filter"):
        recorded = replay.case["show"][what].split("\n")
        got = replay.tc(f"-s -d {what} show dev DEV")
        want = recorded[:-1] if recorded[-1] == "" else recorded
        if [_exact(replay, what, line) for line in got] != [_exact(replay, what, line) for line in want]:
            yield f"tc {what} show:\n" + "\n".join(_diff(replay, what, got, want))


def _diff(replay: Replay, what: str, got: list[str], want: list[str]) -> Iterator[str]:
    for number in range(max(len(got), len(want))):
        left, right = (lines[number] if number < len(lines) else None for lines in (got, want))
        if left is None or right is None or _exact(replay, what, left) != _exact(replay, what, right):
            yield f"  found    {left!r}\n  recorded {right!r}"


def _exact(replay: Replay, what: str, line: str) -> str:
    """Return a line without what depends on more than the recorded times, or did not come out twice the same."""
    patterns = _CAKE_TIMES if replay.case["kind"] == "cake" else ()
    if f"show.{what}" in replay.case.get("inexact", ()):
        patterns = (*patterns, *_INEXACT)
    for pattern, text in patterns:
        line = re.sub(pattern, text, line)
    return line


_CAKE_TIMES: Final = ((r"(pk|av|sp)_delay .*", r"\1_delay"), (r"(drop_next|blue_timer) -?\S+", r"\1"))
_INEXACT: Final = ((r"class sfq 10:\w+", "class sfq"), (r"seed \d+", "seed N"), (r"  deficit -?\d+ (.*blue)", r"\1"),
                   (r"tokens: -?\d+ ctokens: -?\d+", "tokens"), (r" next_packet_delay \S+", ""),
                   (r"(ldelay|drop_next|delay) \S+", r"\1"), (r"latency \S+", "latency"))


def main(words: list[str]) -> None:
    """Print equal and total of each kind."""
    verbose = "-v" in words
    wanted = [word for word in words if word != "-v"]
    equal: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for case in cases():
        if wanted and not {case["kind"], case["name"]} & set(wanted):
            continue
        total[case["kind"]] += 1
        try:
            wrong = list(differences(case))
        except Exception as error:  # a kind that is missing, or one that fails: both are differences
            if verbose and "-x" in words:
                raise
            wrong = [f"{type(error).__name__}: {error}"]
        equal[case["kind"]] += not wrong
        if verbose and wrong:
            print(case["name"], case["qdisc"], *case.get("setup", ()), *wrong[:6], sep="\n    ")
    for kind in sorted(total):
        print(f"{kind:16} {equal[kind]:3} of {total[kind]:3}")
    print(f"{'all':16} {sum(equal.values()):3} of {sum(total.values()):3}")


if __name__ == "__main__":
    main(sys.argv[1:])
