"""Find the cause of a rejection on the path that was walked: the line that acquired, moved the packet, or never ends.

The message says what is wrong where the walk stopped; the cause is often on another line. These explanations rely on
the walk and on the declarations of helpers and contexts. If they do not show the cause, nothing is said: wrong advice
is worse than none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ebpfvm.isa import codes as c
from ebpfvm.loading.missing_structs import missing_in
from ebpfvm.verifier.explanation.walked import origin, path
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.passes.cfg import loops
from ebpfvm.verifier.passes.subprogs import is_call, is_kfunc_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.contract.progtype import CtxField
    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.walk import Walk

_EXIT: Final = c.BPF_JMP | c.BPF_EXIT
_PACKET_BOUNDS: Final = frozenset({"pkt", "pkt_meta", "pkt_end"})
_SIZES: Final = {c.BPF_B: 1, c.BPF_H: 2, c.BPF_W: 4, c.BPF_DW: 8}
_MOST_LINES: Final = 8


def cause(w: Walk, violated: p.Property, message: str) -> str:
    """Return sentences about the cause of a rejection at the walk's current instruction, "" if it is unknown."""
    pattern, told = _CAUSES.get(violated, ("", None))
    found = re.search(pattern, message)
    return told(w, found) if told is not None and found else ""


def _place(w: Walk, pc: int) -> str:
    line = w.env.program.line_at(pc)
    return f"line {line.line}" if line is not None else f"instruction {pc}"


def _call(w: Walk, insn: Insn) -> str:
    """Return the name of what an instruction calls, as in C."""
    if is_kfunc_call(insn):
        return f"{w.env.program.kfuncs.get(insn.imm, 'a kernel function')}()"
    if is_call(insn):
        return "a function of the program"
    helper = w.env.dialect.helpers.get(insn.imm)
    return f"{helper.name}()" if helper is not None else "a helper"


# ---- memory that is a number ----------------------------------------------------------------------------------------

def _scalar(w: Walk, found: re.Match[str]) -> str:
    """Explain a pointer into the packet that a call invalidated, or where the number was made."""
    insns, walked = w.env.program.insns, path(w)
    made = origin(insns, walked, len(walked) - 1, int(found[1]))
    if made.at < 0:
        return ""
    maker = insns[walked[made.at]]
    if maker.code == c.BPF_JMP | c.BPF_CALL:
        return _released(w, walked, made.at)
    if not _loads_packet_pointer(w, walked, made.at):
        taken = _released(w, walked, made.at) if _loads_argument(w, walked, made.at) else ""
        return taken or f"The number was made at {_place(w, walked[made.at])}."
    movers = [pc for pc in walked[made.at:-1] if _moves_packet(w, insns[pc])]
    if not movers:
        return ""
    name = _call(w, insns[movers[0]])
    return (f"It pointed into the packet until {name} at {_place(w, movers[0])}, which may move the packet and so "
            "invalidates every pointer into it. Read skb->data and skb->data_end again after the call, and compare "
            "them again.")


def _released(w: Walk, walked: list[int], acquired: int) -> str:
    """Explain the call that took what was acquired at `walked[acquired]`, by a call or as an argument."""
    insns = w.env.program.insns
    source = _call(w, insns[walked[acquired]]) if _calls(insns[walked[acquired]]) else "the context"
    for at in range(acquired + 1, len(walked) - 1):
        insn = insns[walked[at]]
        if insn.code != c.BPF_JMP | c.BPF_CALL or is_call(insn):
            continue
        if any(origin(insns, walked, at, reg).at == acquired for reg in _given(w, insn)):
            return (f"It came from {source} at {_place(w, walked[acquired])}, and "
                    f"{_call(w, insn)} at {_place(w, walked[at])} released it.")
    return ""


def _given(w: Walk, insn: Insn) -> list[int]:
    """Return the registers whose references a call takes."""
    if is_kfunc_call(insn):
        kfunc = w.env.kfuncs.get(insn.imm)
        return list(range(1, 6)) if kfunc is not None and "release" in kfunc.flags else []
    helper = w.env.dialect.helpers.get(insn.imm)
    return [number for number, arg in enumerate(helper.args, 1) if arg.release] if helper is not None else []


def _calls(insn: Insn) -> bool:
    return insn.code == c.BPF_JMP | c.BPF_CALL


def _loads_argument(w: Walk, walked: list[int], at: int) -> bool:
    """Return whether an instruction of the path loads an argument that the program owns from the start."""
    field = _loaded(w, walked, at)
    return field is not None and field.owned


def _moves_packet(w: Walk, insn: Insn) -> bool:
    if insn.code != c.BPF_JMP | c.BPF_CALL or is_kfunc_call(insn):
        return False
    if is_call(insn):
        return False
    helper = w.env.dialect.helpers.get(insn.imm)
    return helper is not None and helper.changes_packet


def _loads_packet_pointer(w: Walk, walked: list[int], at: int) -> bool:
    """Return whether an instruction of the path loads skb->data or its like from the context."""
    field = _loaded(w, walked, at)
    return field is not None and field.access in _PACKET_BOUNDS


# ---- the context ----------------------------------------------------------------------------------------------------

def _loaded(w: Walk, walked: list[int], at: int) -> CtxField | None:
    """Return the field of the context that an instruction of the path loads, None if it does something else."""
    insns = w.env.program.insns
    insn = insns[walked[at]]
    if insn.code & 7 != c.BPF_LDX:
        return None
    base = origin(insns, walked, at, insn.src)
    return _field(w, insn.off) if base.at < 0 and base.reg == 1 else None


def _field(w: Walk, off: int) -> CtxField | None:
    fields = w.env.prog_type.ctx_fields(w.env.program.attach)
    return next((item for item in fields if item.off <= off < item.end), None)


def _context(w: Walk, found: re.Match[str]) -> str:
    """Name the field of the context, and the accesses that it allows."""
    off, size = int(found[1]), int(found[2])
    field, insn = _field(w, off), w.insn
    struct = w.env.prog_type.ctx
    writes = insn.code & 7 in (c.BPF_ST, c.BPF_STX)
    if not struct:
        return ""
    if field is None:
        return f"struct {struct} has no field at offset {off} that programs of this type can use."
    if writes and not field.write:
        return f"{struct}->{field.name} is read-only for programs of this type."
    if not writes and not field.read:
        return f"{struct}->{field.name} cannot be read by programs of this type."
    unit = field.element or field.size
    return (f"{struct}->{field.name} is {field.size} bytes at offset {field.off} and is "
            f"{'written' if writes else 'read'} {unit} bytes at a time; this is an access of {size} bytes at offset "
            f"{off}." if unit != size or off % unit else "")


# ---- what is owned --------------------------------------------------------------------------------------------------

def _leak(w: Walk, found: re.Match[str]) -> str:
    """Name the line that acquired, and the lines on which the path continued without a release."""
    acquired = int(found[2])
    insns, walked = w.env.program.insns, path(w)
    if acquired not in walked:
        return ""
    start = len(walked) - 1 - walked[::-1].index(acquired)
    if _calls(insns[acquired]):
        text = f"It was acquired by {_call(w, insns[acquired])} at {_place(w, acquired)}"
    else:
        text = "It is an argument that the program owns from the start"
    branches = [_place(w, pc) for pc in walked[start + 1:] if _is_branch(insns[pc])]
    shown = list(dict.fromkeys(branches))
    if not shown:
        return text + "."
    more = ", ..." if len(shown) > _MOST_LINES else ""
    return (f"{text} and is not released on the path that leads here by the branch{'es' if len(shown) > 1 else ''} at "
            f"{', '.join(shown[:_MOST_LINES])}{more}.")


def _is_branch(insn: Insn) -> bool:
    return insn.code & 7 in (c.BPF_JMP, c.BPF_JMP32) and insn.code & 0xF0 not in (c.BPF_JA, c.BPF_CALL, c.BPF_EXIT)


# ---- too much to walk -----------------------------------------------------------------------------------------------

def _too_large(w: Walk, found: re.Match[str]) -> str:
    """Name the loop that the walk was in, and what its condition compares."""
    insns, number = w.env.program.insns, loops(w.env)
    inside = number[w.pc]
    if not inside:
        return "No loop is to blame where the walk ended: the branches before it multiply the paths."
    body = [pc for pc, loop in enumerate(number) if loop == inside]
    leaves = [pc for pc in body if _is_branch(insns[pc]) and _leaves(insns, pc, number)]
    where = sorted({line.line for pc in leaves if (line := w.env.program.line_at(pc)) is not None})
    if not where:
        return f"The walk was in the loop of the instructions {body[0]} to {body[-1]}."
    plural = "s" if len(where) > 1 else ""
    return (f"The walk was in the loop that ends at line{plural} {', '.join(map(str, where))}: each round is walked, "
            "and nothing known there limits their number. Compare the counter with a constant too, or use bpf_loop().")


def _leaves(insns: tuple[Insn, ...], pc: int, number: list[int]) -> bool:
    return any(0 <= to < len(number) and number[to] != number[pc] for to in (pc + 1, pc + 1 + insns[pc].off))


# ---- registers without a value --------------------------------------------------------------------------------------

def _unread(w: Walk, found: re.Match[str]) -> str:
    """Explain a result that nothing sets, which is what clang makes of undefined behaviour."""
    insns, walked = w.env.program.insns, path(w)
    if int(found[1]) or w.insn.code != _EXIT:
        return _cleared(w, walked, int(found[1]))
    if origin(insns, walked, len(walked) - 1, 0).at >= 0:
        return ""
    return ("No instruction on this path sets the result. If the C code returns a value here, clang removed it, "
            "because something before it is undefined behaviour, such as a division by 0 or the use of an "
            "uninitialized variable.")


def _cleared(w: Walk, walked: list[int], number: int) -> str:
    insns = w.env.program.insns
    if number > 5 or not number:
        return ""
    for pc in walked[-2::-1]:
        insn = insns[pc]
        if insn.code == c.BPF_JMP | c.BPF_CALL and not is_call(insn):
            return f"The call of {_call(w, insn)} at {_place(w, pc)} cleared R1 to R5."
        if insn.dst == number and insn.code & 7 in (c.BPF_ALU, c.BPF_ALU64, c.BPF_LDX, c.BPF_LD):
            return ""
    return ""


def _misspelt(w: Walk, found: re.Match[str]) -> str:
    """Name the kernel function that was probably meant."""
    near = w.env.dialect.similar_kfunc(found[1])
    return f"Did you mean {near}()?" if near else ""


def _dropped_fields(w: Walk, found: re.Match[str]) -> str:
    """Explain that the kernel drops all fields of a map if a list or tree contains a struct that is not described."""
    specs = [spec for spec in w.env.program.maps if spec.name == found[1]]
    reasons = [text for spec in specs for text in missing_in(spec)]
    return (f"{reasons[0]}. The kernel then drops all fields of the map. Use the struct, for instance with "
            "bpf_obj_new().") if reasons else ""


# How each property's cause is told, with the values that it takes from the message.
_CAUSES: Final[dict[p.Property, tuple[str, Callable[[Walk, re.Match[str]], str]]]] = {
    p.NOT_A_POINTER: (r"R(\d+) invalid mem access", _scalar),
    p.CONTEXT_ACCESS: (r"invalid bpf_context access off=(-?\d+) size=(\d+)", _context),
    p.REFERENCE_LEAK: (r"Unreleased reference id=(\d+) alloc_insn=(\d+)", _leak),
    p.UNRESOLVED_KFUNC: (r"kfunc '(.+)' is referenced", _misspelt),
    p.FIELD_ARGUMENT: (r"map '(.+)' has no valid", _dropped_fields),
    p.TOO_COMPLEX: (r"BPF program is too large|sequence of \d+ jumps is too complex", _too_large),
    p.UNINIT_REGISTER: (r"R(\d+) !read_ok", _unread)}
