"""The scenario in SimPy with callbacks instead of processes, which is the fastest way to use it (optional)."""

from __future__ import annotations

import importlib
import time
from collections import deque
from typing import Any

from tests.bench.figures import Missing
from tests.bench.plain_loop import BIT_NS, Outcome


def simpy() -> Any:
    """Return the module.

    Raises:
        Missing: it is not installed.
    """
    try:
        return importlib.import_module("simpy")
    except ImportError:
        raise Missing("install SimPy: pip install simpy (or the extra: pip install -e .[bench])") from None


class SimpyLink:
    """As `plain_loop.run_plain` with a FIFO, on SimPy's event queue."""

    def __init__(self, *, limit: int, sources: int, length: int, flow_rate: int, rate: int, delay: int,
                 stop: int) -> None:
        module = simpy()
        self.timeout, self.env = module.Timeout, module.Environment()
        self.limit, self.gap, self.delay, self.stop = limit, length * BIT_NS, delay, stop
        self.flow_rate, self.sending_time = flow_rate, length * BIT_NS // rate
        self.queue: deque[tuple[int, int]] = deque()
        self.sent_by = [0] * sources
        self.offered = self.dropped = self.received = 0
        self.busy = False
        for flow in range(sources):
            self.after(0, self.arrive, flow)

    def after(self, wait: int, action: Any, value: Any) -> None:
        self.timeout(self.env, wait, value).callbacks.append(action)

    def arrive(self, event: Any) -> None:
        flow, now = event.value, self.env.now
        self.offered += 1
        self.sent_by[flow] += 1
        following = self.sent_by[flow] * self.gap // self.flow_rate
        if following < self.stop:
            self.after(following - now, self.arrive, flow)
        if len(self.queue) >= self.limit:
            self.dropped += 1
        else:
            self.queue.append((flow, now))
        if not self.busy:
            self.send()

    def send(self) -> None:
        self.busy = bool(self.queue)
        if self.busy:
            self.after(self.sending_time, self.sent, self.queue.popleft())

    def sent(self, event: Any) -> None:
        self.after(self.delay, self.receive, event.value)
        self.send()

    def receive(self, event: Any) -> None:
        self.received += 1

    def run(self) -> Outcome:
        begin = time.process_time()
        self.env.run()
        return Outcome(self.offered, self.dropped, self.received, time.process_time() - begin)
