"""Use 6: TCP's retransmission queue as a program over the rbtree map."""

from __future__ import annotations

import random
from pathlib import Path

from check import Figures

from ebpfvm.api import open_namespace
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.tc.script import run_script_file
from ebpfvm.sched.tcp import Receiver, TcpSender
from ebpfvm.sched.wire import Link

HERE = Path(__file__).resolve().parent
RTX = str(HERE / "rtx.o")
DATA = random.Random(6).randbytes(1_000_000)
ISN = (1 << 32) - 100_000  # sequence numbers wrap around after a tenth of the data
DELAY = 10_000_000  # ns, each way
WINDOW = 20


def connection(seed: int) -> tuple[Namespace, TcpSender, Receiver]:
    """A sender behind a lossy path of 10 Mbit/s and 20 ms; run to its end."""
    net = open_namespace(seed=seed)
    assert net.load_program is not None
    receiver = Receiver(ISN, DELAY)
    dev = net.add_device("eth0", link=Link(10_000_000, DELAY), sink=receiver, up=True)
    run_script_file(HERE / "setup.tc", net)
    sender = TcpSender(dev, net.load_program(RTX, "", "enqueue"), net.load_program(RTX, "", "dequeue"), receiver, DATA,
                       isn=ISN, window=WINDOW)
    net.stack = sender.acknowledged
    sender.start()
    net.loop.run()
    return net, sender, receiver


def variables(net: Namespace) -> dict[str, int]:
    """The program's counters, as user space reads them."""
    from ebpfvm.loader.open import load
    from ebpfvm.loader.variables import variables as declared
    bss = next(item for item in net.kernel.maps.values() if item.name == "rtx.bss")
    value = bss.sys_lookup(bytes(4))
    return {item.name: int.from_bytes(value[item.offset:item.offset + item.size], "little")
            for item in declared(load(RTX)) if item.map == "rtx.bss"}


figures = Figures("use 6: the TCP retransmission queue on the rbtree map")
net, sender, receiver = connection(seed=1)
said, stats = variables(net), sender.stats
lost = sender.dev.qdisc.kernel_view.drops
unacked = next(item for item in net.kernel.maps.values() if item.name == "unacked")
figures.within("packets that the path has lost", lost, 20, 120)
figures.true("every byte has arrived, in order", bytes(receiver.data) == DATA, f"{len(receiver.data)} bytes")
figures.same("segments that the program kept and freed", [said["stored"], said["freed"]], [1000, 1000])
figures.same("retransmissions by the program and by TCP", said["retransmissions"], stats.fast + stats.timeouts)
figures.within("retransmissions for each lost packet", said["retransmissions"] / lost, 1.0, 1.3)
figures.within("most segments in the map", said["most_held"], 2, WINDOW)
figures.same("segments left in the map", len(list(unacked.keys())), 0)
net.account.close()
figures.same("packets lost or disposed of twice by the programs", net.account.problem_count, 0)
figures.within("time for 1 MB", stats.done / 1e9 - 1, 1, 10, "s")
again = connection(seed=1)[1].stats
figures.true("a second run of the same seed is the same", again == stats)
figures.done()
