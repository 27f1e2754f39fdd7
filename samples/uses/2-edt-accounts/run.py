"""Use 2: an EDT limiter whose token accounts stay right when the queue drops, beside the plain one."""

from __future__ import annotations

import struct
from pathlib import Path

from check import Figures

from ebpfvm.api import load, simulate
from ebpfvm.loader.variables import set_variables
from ebpfvm.sched.run_report import Result

HERE = Path(__file__).resolve().parent
ACCOUNT = struct.Struct("<QQQ")
SECONDS = 10
LIMIT = 2e6  # bits a second, `rate` of accounts.h
FLOWS = [f"cbr:rate=8mbit,stop={SECONDS}s", f"cbr:rate=6mbit,stop={SECONDS}s"]


def run(give_back: int) -> Result:
    """The same traffic and clsact program, with or without the repair in the qdisc."""
    found = set_variables(load(HERE / "queue.o"), {"give_back": give_back})
    return simulate(found, tc=HERE / "setup.tc", flows=FLOWS, rate="100mbit", dump_maps=["accounts"], record=True)


def rates(result: Result) -> list[float]:
    """Bits a second of each sender between the first and the last second."""
    sums = {flow.flow: 0 for flow in result.flows}
    for packet in result.packets or ():
        if packet.departure and 1e9 <= packet.departure < (SECONDS - 1) * 1e9:
            sums[packet.flow] += packet.length
    return [8 * size / (SECONDS - 2) for size in sums.values()]


def paid_for_nothing(result: Result) -> list[int]:
    """Bytes that each sender's account has paid for and that never left."""
    assert result.maps is not None
    accounts = {element.key: ACCOUNT.unpack(element.value) for element in result.maps[0].elements}
    sent = {flow.flow: flow.out_bytes for flow in result.flows}
    found = []
    for index, flow in enumerate(result.flows):
        _, taken, given_back = accounts[bytes((10, 0, index, 1))]
        found.append(taken - given_back - sent[flow.flow])
    return found


figures = Figures("use 2: EDT token accounts shared by clsact and the qdisc")
plain, repaired = run(0), run(1)
figures.true("every packet accounted for", plain.ok and repaired.ok)
for name, got in zip(("first", "second"), rates(repaired), strict=True):
    figures.within(f"repaired: rate of the {name} sender", got, 0.99 * LIMIT, 1.01 * LIMIT, "bit/s")
figures.same("repaired: bytes paid for that never left", paid_for_nothing(repaired), [0, 0])
figures.within("plain: rate of both senders together", sum(rates(plain)), 0, 0.25 * 2 * LIMIT, "bit/s")
figures.true("plain: bytes paid for that never left", min(paid_for_nothing(plain)) > 10 ** 6, paid_for_nothing(plain))
figures.within("repaired : plain, throughput", sum(rates(repaired)) / sum(rates(plain)), 4, 100)
figures.done()
