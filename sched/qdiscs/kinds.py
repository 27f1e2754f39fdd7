"""The list of qdisc kinds; a kind whose file is in this folder and that is missing from the list is an error."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Final

import ebpfvm.sched.qdiscs as folder
from ebpfvm.errors import InternalError
from ebpfvm.sched.qdisc_kind import QdiscKind
from ebpfvm.sched.qdiscs.cake_options import CAKE
from ebpfvm.sched.qdiscs.cbs import CBS
from ebpfvm.sched.qdiscs.choke import CHOKE
from ebpfvm.sched.qdiscs.clsact import CLSACT, INGRESS
from ebpfvm.sched.qdiscs.codel import CODEL
from ebpfvm.sched.qdiscs.drr import DRR
from ebpfvm.sched.qdiscs.etf import ETF
from ebpfvm.sched.qdiscs.ets import ETS
from ebpfvm.sched.qdiscs.fifo import BFIFO, PFIFO, PFIFO_HEAD_DROP
from ebpfvm.sched.qdiscs.fq import FQ
from ebpfvm.sched.qdiscs.fq_codel import FQ_CODEL
from ebpfvm.sched.qdiscs.fq_pie import FQ_PIE
from ebpfvm.sched.qdiscs.gred import GRED
from ebpfvm.sched.qdiscs.hfsc import HFSC
from ebpfvm.sched.qdiscs.hhf import HHF
from ebpfvm.sched.qdiscs.htb import HTB
from ebpfvm.sched.qdiscs.mq import MQ
from ebpfvm.sched.qdiscs.multiq import MULTIQ
from ebpfvm.sched.qdiscs.netem_options import NETEM
from ebpfvm.sched.qdiscs.noqueue import BLACKHOLE, NOQUEUE
from ebpfvm.sched.qdiscs.pie import PIE
from ebpfvm.sched.qdiscs.plug import PLUG
from ebpfvm.sched.qdiscs.prio import PFIFO_FAST, PRIO
from ebpfvm.sched.qdiscs.qfq import QFQ
from ebpfvm.sched.qdiscs.red import RED
from ebpfvm.sched.qdiscs.sfq import SFQ
from ebpfvm.sched.qdiscs.skbprio import SKBPRIO
from ebpfvm.sched.qdiscs.tbf import TBF
from ebpfvm.sched.sch_bpf import BPF

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KINDS: Final = (
    BFIFO, BLACKHOLE, BPF, CAKE, CBS, CHOKE, CLSACT, CODEL, DRR, ETF, ETS, FQ, FQ_CODEL, FQ_PIE, GRED, HFSC, HHF, HTB,
    INGRESS, MQ, MULTIQ, NETEM, NOQUEUE, PFIFO, PFIFO_FAST, PFIFO_HEAD_DROP, PIE, PLUG, PRIO, QFQ, RED, SFQ, SKBPRIO,
    TBF)


def _declared() -> Iterator[tuple[str, QdiscKind]]:
    """Yield the kinds that the files of this folder declare, with the file's module."""
    for item in iter_modules(folder.__path__):
        name = f"{folder.__name__}.{item.name}"
        if name != __name__:
            for found in vars(import_module(name)).values():
                if isinstance(found, QdiscKind):
                    yield name, found


def _by_name() -> Mapping[str, QdiscKind]:
    found: dict[str, QdiscKind] = {}
    for kind in _KINDS:
        if found.setdefault(kind.name, kind) is not kind:
            raise InternalError(f"two qdisc kinds are called {kind.name!r}")
    for module, kind in _declared():
        if found.get(kind.name) is not kind:
            raise InternalError(f"{module} declares the qdisc kind {kind.name!r}, "
                                f"which is not in the list of {__name__}")
    return found


QDISCS: Final = _by_name()
"""Every kind by its name, in order of the alphabet."""
