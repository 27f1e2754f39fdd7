"""What follows from a packet's flow, computed once for each flow instead of for each packet."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from ebpfvm.engine.translate.emit_calls import OF_FLOW
from ebpfvm.engine.translate.statements import Stmt, effect, effect_to
from ebpfvm.sched.fused.parsed import name_of, unmasked

if TYPE_CHECKING:
    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.flows import Flow
    from ebpfvm.sched.fused.path_facts import PathFacts


class FlowSteps:
    """See `Steps`. Of a packet that has just arrived, the function has the flow in the variable `flow`."""

    def step(self, line: Stmt, node: ast.stmt, facts: PathFacts) -> list[Stmt] | None:
        """Return what becomes of a call for the hash of the packet that has just arrived; None for anything else."""
        call = unmasked(node.value) if isinstance(node, ast.Assign) else None
        if not isinstance(call, ast.Call) or not name_of(call.func).startswith(OF_FLOW) or line.also:
            return None
        if len(call.args) != 2 or facts.root(name_of(call.args[1])) != "o_skb":
            return None
        facts.forget(line.writes)
        return [effect_to(line.writes, "flow.frame_hash or HASHED(flow, o_skb)", line.pc),
                effect(f"o_skb.hash = {line.writes}", line.pc)]


def hashed(flow: Flow, skb: SkBuff) -> int:
    """Return the hash of the packets of a flow that bring no bytes of their own, and keep it with the flow."""
    from ebpfvm.funcs.skb_meta import hash_of
    found = flow.frame_hash = hash_of(skb)
    return found
