"""Report the packets that a program still stores after reset: the kernel sets the length to 0, whatever is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.kernel.objects_left import objects_left
from ebpfvm.kernel.refs import MEMORY
from ebpfvm.sched.account import Packet
from ebpfvm.sched.sch_generic import handle_text

if TYPE_CHECKING:
    from ebpfvm.sched.sch_generic import Qdisc


def note_kept_packets(qdisc: Qdisc) -> None:
    """Add a note to the run if packets of the qdisc's device are still in maps or objects of programs."""
    kernel = qdisc.dev.account.kernel
    refs = kernel.refs
    count = sum(isinstance(packet, Packet) and packet.fate is None and packet.dev is qdisc.dev
                and all(refs.by_name[name].rank == MEMORY for name in refs.names(packet)) for packet in refs.live())
    if not count:
        return
    objects = [str(item) for item in objects_left(kernel) if item.packets]
    where = "; ".join(objects) or "they are in maps"
    kernel.notes.append(f"reset of qdisc {qdisc.kind} {handle_text(qdisc.handle)} keeps {count} "
                        f"packet{'s' if count > 1 else ''}, which will leave when the program is used again: {where}")
