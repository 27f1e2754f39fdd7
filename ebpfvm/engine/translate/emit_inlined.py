"""Emit the nodes of inlined functions that do more than their instruction: entering and leaving them, and loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.contract.args import Arg
from ebpfvm.engine.steps import Expr, cut, operand
from ebpfvm.engine.translate import emit_maps
from ebpfvm.engine.translate.emit_keys import swapped_name
from ebpfvm.engine.translate.inlined_facts import TOO_MANY
from ebpfvm.engine.translate.statements import TICK, assign, effect, effect_to, slot_name
from ebpfvm.ints import U64_MAX
from ebpfvm.kernel.emulated import BPF_MAX_LOOPS
from ebpfvm.kernel.memory import REGION_SHIFT

if TYPE_CHECKING:
    from ebpfvm.engine.translate.code_writer import CodeWriter
    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.inlined_nodes import CallbackLoop, InlinedFrame, InlinedStep, Path
    from ebpfvm.engine.translate.unit import Unit

_REGION: Final = REGION_SHIFT  # a frame's region follows that of the frame below it


def emit(em: CodeWriter, inlined: InlinedStep) -> str:
    """Emit a node, and return the condition of the jump at its end, "" without one."""
    loop, frame = inlined.loop, inlined.frame
    if inlined.kind in ("enter", "visit"):
        if loop is not None:
            _visit(em, loop)
        _enter(em, frame)
    elif inlined.kind in ("leave", "again"):
        _leave(em, frame, loop)
        return "r0 != 0" if loop is not None else ""
    elif loop is not None:
        return _around(em, inlined.kind, loop)
    return ""


def frames_that_count(unit: Unit, function: FlowGraph) -> set[Path]:
    """Return the copies during which something may run that has a frame of its own, so that theirs must be counted."""
    found: set[Path] = set()
    for block in function.blocks.values():
        for node in block.pcs:
            frame = unit.frame_of.get(node)
            if frame is not None and node not in unit.steps and _may_use_frames(unit, node):
                found |= {frame.path[:n] for n in range(1, len(frame.path) + 1)}
    return found


def _may_use_frames(unit: Unit, node: int) -> bool:
    row, helper, kfunc = unit.rows[node], unit.helper(node), unit.kfunc(node)
    if row is None or row.kind != "call":
        return False
    if row.op == "call_local" or helper is None:
        return kfunc is None or not kfunc.counts
    return any(spec.kind in (Arg.PTR_TO_FUNC, Arg.PTR_TO_CTX) for spec in helper.args)


def _enter(em: CodeWriter, frame: InlinedFrame) -> None:
    if frame.path in em.counted:
        em.add(effect("STACK.depth += 1", em.pc))
    em.add(assign(f"b_{frame.origin.name}", f"(b_f + {frame.depth << _REGION:#x})", em.pc))
    em.add(assign(f"r{frame.fp}", f"b_{frame.origin.name}", em.pc))
    for atom in em.facts.atoms_of(frame):
        em.add(assign(slot_name(*atom), "0", em.pc))
        if atom in em.frame.swapped:
            em.add(assign(swapped_name(*atom), "0", em.pc))


def _leave(em: CodeWriter, frame: InlinedFrame, loop: CallbackLoop | None) -> None:
    if frame.path in em.counted:
        em.add(effect("STACK.depth -= 1", em.pc))
    if loop is not None and em.unit.may_acquire(loop.target):
        held = f"t_{loop.visit}_held"
        em.names |= {"REFS": em.unit.prog.kernel.refs, "NAME": em.unit.prog.name}
        em.add(effect(f"if REFS.held > {held}: REFS.program_exit({held}, NAME)", em.pc))


def _around(em: CodeWriter, kind: str, loop: CallbackLoop) -> str:
    counts = loop.helper.role == "loop"
    if kind == "begin":
        em.add(assign(f"r{loop.context}", em.reg(3).text, em.pc))
        em.add(assign(f"r{loop.counter}", "0", em.pc))
        bound = cut(em.reg(1), 32) if counts else em.reg(1)
        em.add(assign(f"r{loop.bound}", bound.text, em.pc))
        if not counts and loop.round is None:
            em.add(effect(f"w_{loop.visit} = {_walk(em, loop)}", em.pc))
    elif kind == "check":
        return f"({em.reg(loop.bound).text} > {BPF_MAX_LOOPS})"
    elif kind == "refuse":
        em.set(0, em.number(TOO_MANY.lo))
    elif kind == "done":
        em.set(0, em.reg(loop.counter))
    elif counts:
        return f"({em.reg(loop.counter).text} >= {em.reg(loop.bound).text})"
    elif loop.round is not None:
        key = f"d_{loop.key.name}"
        em.add(assign(key, emit_maps.nth(em, em.state.regs[loop.bound], loop.round), em.pc))
        return f"{key} is None"
    else:
        em.add(effect_to(f"t_{loop.visit}", f"next(w_{loop.visit}, None)", em.pc))
        return f"t_{loop.visit} is None"
    return ""


def _walk(em: CodeWriter, loop: CallbackLoop) -> str:
    """Return the start of a walk."""
    found = em.unit.map_at(em.state.regs[1])
    assert found is not None
    return f"{emit_maps.method(em, em.state.regs[1], found, 'walk')}()"


def _visit(em: CodeWriter, loop: CallbackLoop) -> None:
    """Emit the beginning of a round: what the callback gets."""
    helper = loop.helper
    if sum(successor == loop.visit for _, successor in em.facts.edges) < 2:  # no loop, but a call
        em.add(effect(TICK, em.pc))
    if em.unit.may_acquire(loop.target):
        em.names["REFS"] = em.unit.prog.kernel.refs
        em.add(assign(f"t_{loop.visit}_held", "REFS.held", em.pc))
    context = em.reg(loop.context).text
    if helper.role == "loop":
        em.set(1, em.reg(loop.counter))
    else:
        _, value = helper.memory_to
        found, walked = em.facts.defined[em.pc], em.unit.map_at(em.state.regs[loop.bound])
        name = found.name
        assert walked is not None
        em.keys[loop.key.name] = walked
        key = f"d_{loop.key.name}"
        if loop.round is None:
            em.add(assign(key, f"t_{loop.visit}[0]", em.pc))
            em.add(assign(f"g_{name}", f"t_{loop.visit}[1]", em.pc))
        else:
            of = emit_maps.object_name(em, em.state.regs[loop.bound])
            em.add(assign(f"g_{name}", f"{of}.elems[{key}]", em.pc))
        em.add(assign(f"b_{name}", f"g_{name}.base", em.pc))
        em.describe(found, region=False)
        em.set(1, em.reg(loop.bound))
        em.set(value, em.pointer(found, 0))
    em.set(helper.context_to, Expr(context, 0, U64_MAX))
    em.set(loop.counter, operand(f"({em.reg(loop.counter).text} + 1)"))
