"""Guest: what happened to which packet, from the kernel's own trace points."""

from __future__ import annotations

import os

BASE = "/sys/kernel/tracing/"
POINTS = ("net/net_dev_queue", "qdisc/qdisc_enqueue", "qdisc/qdisc_dequeue", "net/net_dev_start_xmit", "skb/kfree_skb")
STEPS = {
    "net_dev_queue": "queue",
    "qdisc_enqueue": "enqueue",
    "qdisc_dequeue": "dequeue",
    "net_dev_start_xmit": "wire",
    "kfree_skb": "free",
}


class Packets:
    """Follows packets by the address of their sk_buff, which is learned when a packet is handed to the device."""

    def __init__(self) -> None:
        self._write("tracing_on", "0")
        self._write("trace_clock", "mono")
        for point in POINTS:
            self._write(f"events/{point}/enable", "1")
        self._pipe = os.open(BASE + "trace_pipe", os.O_RDONLY | os.O_NONBLOCK)
        self._at: dict[str, int] = {}
        self._half = b""

    origin = 0

    def _us(self, head: str) -> float:
        return round(float(head.split()[-1]) * 1e6) - self.origin // 1000

    def start(self) -> None:
        self._write("trace", "")
        self._at.clear()
        self._write("tracing_on", "1")
        self.steps(None)

    def stop(self) -> None:
        self._write("tracing_on", "0")

    def steps(self, sent: int | None) -> list[list]:
        """Return what happened since the last call: [what, packet id] or ["free", id, reason].

        sent: the packet that was just handed over.
        """
        found: list[list] = []
        for line in self._lines():
            head, _, rest = line.partition(": ")
            what, _, text = rest.partition(": ")
            fields = dict(word.split("=", 1) for word in text.replace(",", " ").split() if "=" in word)
            where = fields.get("skbaddr", "")
            if what == "net_dev_queue" and sent is not None:
                self._at[where] = sent
            if what == "qdisc_dequeue" and fields.get("packets") == "0":
                if not int(fields["txq_state"], 0) & 7:
                    found.append([self._us(head), "dequeue", None])
            elif what in STEPS and where in self._at:
                step = [self._us(head), STEPS[what], self._at[where]]
                if what == "kfree_skb":
                    del self._at[where]
                    step.append(text.rpartition("reason: ")[2].strip())
                found.append(step)
        return found

    def _lines(self) -> list[str]:
        data = self._half
        while True:
            try:
                piece = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                break
            if not piece:
                break
            data += piece
        whole, _, self._half = data.rpartition(b"\n")
        return whole.decode(errors="replace").splitlines()

    def _write(self, name: str, text: str) -> None:
        with open(BASE + name, "w") as f:
            f.write(text)
