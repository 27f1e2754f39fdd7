"""Guest: plays a schedule of sends and receives through a root qdisc and writes down what happened at each event."""

from __future__ import annotations

import base64
import time

import libbpf
import netlink
import wire
from tracing import Packets

HANDLE = 0x100000  # 10:
SETTLE = 0.002  # an empty queue: the worker that restarts the device needs this long
_wires: dict[int, wire.Wire] = {}
_packets: list[Packets] = []


def answer(case: dict) -> dict:
    """See step-qdisc for the fields of a case."""
    mtu = case.get("mtu", 9000)
    if mtu not in _wires:
        _wires[mtu] = wire.Wire(mtu)
    if not _packets:
        _packets.append(Packets())
    return _Case(case, _wires[mtu], _packets[0]).play()


class _Case:
    def __init__(self, case: dict, line: wire.Wire, packets: Packets):
        self.case, self.line, self.packets = case, line, packets
        self._objects: list[int] = []
        self._links: list[int] = []

    def play(self) -> dict:
        started = time.monotonic()
        try:
            self.line.hash_is_mark(self.case.get("hash", "mark") == "mark", self.case.get("tcindex", False))
            self._clean()
            for encoded in self.case.get("objects", ()):
                self._register(encoded)
            self._add()
            for command in self.case.get("setup", ()):
                wire.run(f"tc {command.replace('DEV', self.line.device)}")
            self._offset = self.line.clock(self.case.get("clock", "mono"), self.case.get("deadline", False))
            self.packets.start()
            self._origin = time.monotonic_ns()
            self.packets.origin = self._origin
            events = [self._event(event) for event in self.case["events"]]
            after = netlink.read(self.line.ifindex) or {}
            reply = {"events": events, "options": after.get("options"), "xstats": after.get("xstats")}
            reply["show"] = {
                what: wire.run(f"tc -s -d {what} show dev {self.line.device}")
                for what in self.case.get("show", ("qdisc", "class", "filter"))
            }
            wire.run(f"tc qdisc del dev {self.line.device} root")
            reply["end"] = self.packets.steps(None)
            return {**reply, "seconds": round(time.monotonic() - started, 3)}
        except (RuntimeError, OSError) as wrong:
            return {"error": str(wrong)}
        finally:
            self.packets.stop()
            self._clean()
            for link in self._links:
                libbpf.bpf_link__destroy(link)
            for obj in self._objects:
                libbpf.bpf_object__close(obj)

    def _clean(self) -> None:
        wire.run(f"tc qdisc del dev {self.line.device} root 2>/dev/null || true")
        self.line.drain()

    def _register(self, encoded: str) -> None:
        with open("/tmp/qdisc.o", "wb") as out:
            out.write(base64.b64decode(encoded))
        obj = libbpf.open_object("/tmp/qdisc.o", "qdisc")
        if not obj:
            raise RuntimeError(f"object cannot be opened: {libbpf.messages[-3:]}")
        self._objects.append(obj)
        failed = libbpf.bpf_object__load(obj)
        if failed:
            raise RuntimeError(f"object is not loaded ({failed}): {libbpf.messages[-3:]}")
        for table in libbpf.maps(obj):
            if libbpf.bpf_map__type(table) == libbpf.STRUCT_OPS_MAP:
                link = libbpf.bpf_map__attach_struct_ops(table)
                if not link:
                    raise RuntimeError(
                        f"{libbpf.map_name(table)} cannot be registered: {netlink.reason(libbpf.errno())}"
                    )
                self._links.append(link)

    def _add(self) -> None:
        if "kind" in self.case:
            options = self.case.get("options")
            errno = netlink.set_qdisc(
                self.line.ifindex, HANDLE, self.case["kind"], None if options is None else bytes.fromhex(options)
            )
            if errno:
                raise OSError(errno, f"RTM_NEWQDISC {self.case['kind']}: {netlink.reason(errno)}")
        else:
            wire.run(f"tc qdisc add dev {self.line.device} root handle 10: {self.case['qdisc']}")

    def _event(self, event: dict) -> dict:
        done = {key: event[key] for key in ("send", "recv", "sleep_ms", "tc", "options") if key in event}
        if "send" in event:
            done["dropped"], done["errno"] = self._send(event["send"])
            if not done["errno"]:
                del done["errno"]
        elif "recv" in event:
            done["recv"] = self._receive(event.get("wait_ms"))
        elif "sleep_ms" in event:
            time.sleep(event["sleep_ms"] / 1000)
        elif "tc" in event:
            try:
                wire.run(f"tc {event['tc'].replace('DEV', self.line.device)}")
            except RuntimeError as refused:
                done["error"] = str(refused)
        elif "options" in event:
            done["errno"] = netlink.set_qdisc(
                self.line.ifindex, HANDLE, event["kind"], bytes.fromhex(event["options"]), create=False
            )
        after = netlink.read(self.line.ifindex)
        done["steps"] = self.packets.steps(event["send"]["id"] if "send" in event else None)
        done["stats"] = after and after["stats"]
        if self.case.get("xstats") and after:
            done["xstats"] = after["xstats"]
        if self.case.get("classes"):
            done["classes"] = netlink.classes(self.line.ifindex)
        if self.case.get("times"):
            done["us"] = (time.monotonic_ns() - self._origin) // 1000
        return done

    def _send(self, given: dict) -> tuple[bool, int]:
        txtime = self._offset + self._origin + int(given["txtime_ms"] * 1e6) if "txtime_ms" in given else None
        errno = self.line.send(
            given["id"],
            given["len"],
            mark=given.get("mark", 0),
            priority=given.get("priority", 0),
            tos=given.get("tos", 0),
            sport=given.get("sport", 1000),
            dport=given.get("dport", 2000),
            txtime=txtime,
        )
        return errno == 105, errno

    def _receive(self, wait_ms: float | None) -> dict | None:
        """Wait long only while packets are queued; then let the next dequeue, which a worker does, come to its end."""
        if wait_ms is None:
            wait_ms = 50 if self._queued() else 4
        found = self.line.receive(wait_ms / 1000)
        if found is not None:
            if self._queued():
                self.line.something(0.05)
            else:
                time.sleep(SETTLE)
        return found

    def _queued(self) -> int:
        now = netlink.read(self.line.ifindex)
        return now["stats"]["qlen"] if now else 0
