"""Write the function of a fused run whose qdisc is of struct_ops.

`fusing` imports this for such a run only: what it needs has many patterns, which take longer to compile than the
programs of many another run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.sched.fused.ops_glue import ARRIVES, OpsCalls, OpsGlue, prepared
from ebpfvm.sched.fused.run_source import HOOKS, RunSource
from ebpfvm.sched.sch_struct_ops import SchStructOps

if TYPE_CHECKING:
    from ebpfvm.sched.account import Packet


class OpsSource(RunSource):
    """See `RunSource`."""

    arrives = ARRIVES
    clock = "KERNEL.clock = now",

    def _names(self, packet: type[Packet]) -> dict[str, Any]:
        qdisc = self.run.qdisc
        assert isinstance(qdisc, SchStructOps)
        return super()._names(packet) | OpsCalls(self.run, qdisc, self.programs).names()

    def _glues(self) -> tuple[OpsGlue, OpsGlue]:
        qdisc = self.run.qdisc
        assert isinstance(qdisc, SchStructOps)
        first, second = (OpsGlue(body, suffix, program.budget)
                         for body, suffix, program in zip(self.bodies, "ed", self.programs, strict=True))
        for glue, hook in zip((first, second), HOOKS, strict=True):
            glue.arguments = tuple(qdisc.layouts[hook].fields)
            glue.own, glue.constant_size = self.holder.unit, self.spec is not None
        form, calls = prepared(first, second, self.run)
        self.kept = form, calls
        self.names |= calls.names
        return first, second

    def _maps(self) -> tuple[str, str]:
        return "", ""
