"""Conditional jumps (check_cond_jmp_op, kernel/bpf/verifier.c): which paths are possible, and what each implies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.ints import U32_MAX, U64_MAX
from ebpfvm.isa.table import row_of
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.verifier.domain import Num
from ebpfvm.verifier.domain import links as linked
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.references import drop_ref, replace_regs
from ebpfvm.verifier.machine.regs import ADD_CONST, SCALAR, Reg, known, not_null, with_num
from ebpfvm.verifier.machine.state import DST_STACK, SPILL, SRC_STACK, Slot
from ebpfvm.verifier.values import packet_pointers
from ebpfvm.verifier.values.alu import unreadable

if TYPE_CHECKING:

    from ebpfvm.isa.insn import Insn
    from ebpfvm.verifier.machine.state import State
    from ebpfvm.verifier.machine.walk import Step, Walk

LINKED_MAX = 6


class _Jump(NamedTuple):
    """A conditional jump: its operands, its comparison ("jeq"), whether that is of 64 bits, and where it goes."""

    pc: int
    dst: int
    src: int
    op: str
    wide: bool
    target: int


Link = tuple[int, bool, int]  # frame, is a register, register number or slot


def build(w: Walk, pc: int, insn: Insn) -> Step:
    """Return the step of a conditional jump."""
    row = row_of(insn)
    assert row is not None
    decide = w.arithmetic.branch[row.op, row.width]
    dst, target, after = insn.dst, pc + 1 + insn.off, pc + 1
    jump = _Jump(pc, dst, insn.src, row.op, row.width == 64, target)
    if row.source == "x":
        return _by_register(w, insn, jump)
    amount = known(insn.imm)
    number = amount.num

    def step(w: Walk) -> int:
        regs = w.regs
        a = regs[dst]
        if a is None:
            raise unreadable(dst)
        if a.type != SCALAR:
            return _pointer_constant(w, jump, a, amount)
        taken, yes, no = decide(a.num, number)
        if taken >= 0:
            w.precise(dst)
            return target if taken else after
        links = _links(w, a, None) if a.id else ()
        other = w.push(target, pc)
        other.frames[-1].regs[dst] = found = with_num(a, yes[0])
        if links:
            _sync(w, other, found, links)
        regs[dst] = found = with_num(a, no[0])
        if links:
            _sync(w, w.state, found, links)
        return after
    return step


def _by_register(w: Walk, insn: Insn, jump: _Jump) -> Step:
    key = jump.op, 64 if jump.wide else 32
    decide, decide_itself = w.arithmetic.branch[key], w.arithmetic.branch_itself[key]
    dst, src, target, after = jump.dst, jump.src, jump.target, jump.pc + 1

    def step(w: Walk) -> int:
        regs = w.regs
        a = regs[dst]
        if a is None:
            raise unreadable(dst)
        b = regs[src]
        if b is None:
            raise unreadable(src)
        if a.type != SCALAR or b.type != SCALAR:
            return _pointers(w, insn, jump, a, b)
        taken, yes, no = decide_itself(a.num) if dst == src else decide(a.num, b.num)
        if taken >= 0:
            w.precise(dst)
            w.precise(src)
            return target if taken else after
        _both_ways(w, jump, yes, no)
        return after
    return step


def _both_ways(w: Walk, jump: _Jump, yes: tuple[Num, Num], no: tuple[Num, Num]) -> None:
    dst, src = jump.dst, jump.src
    a, b = w.regs[dst], w.regs[src]
    assert a is not None
    assert b is not None
    links = _links(w, a, b)
    other = w.push(jump.target, jump.pc)
    for state, (num_a, num_b) in ((other, yes), (w.state, no)):
        regs = state.frames[-1].regs
        regs[dst] = with_num(a, num_a)
        if src != dst:
            regs[src] = with_num(b, num_b)
        if links and b.id:
            _sync(w, state, regs[src], links)
        if links and a.id:
            _sync(w, state, regs[dst], links)


# -- linked scalars -------------------------------------------------------------------------------------------------


def _links(w: Walk, a: Reg, b: Reg | None) -> tuple[Link, ...]:
    """Return the values linked with the operands, recorded for backtracking (collect_linked_regs)."""
    found: list[Link] = []
    dropped: list[Link] = []
    for reg in (b, a):
        if reg is None or reg.type != SCALAR or not reg.id:
            continue
        group = reg.id & ~ADD_CONST
        for frame in reversed(w.state.frames):
            live = w.facts.live.regs[_frame_pc(w, frame.no)]
            for number, value in enumerate(frame.regs[:10]):
                if (value is not None and value.id and live >> number & 1
                        and value.type == SCALAR and value.id & ~ADD_CONST == group):
                    _link(found, dropped, (frame.no, True, number))
            for index in sorted(frame.stack):
                slot = frame.stack[index]
                if slot.types[7] == SPILL:
                    value = slot.reg
                    if value.type == SCALAR and value.id and value.id & ~ADD_CONST == group:
                        _link(found, dropped, (frame.no, False, index))
    for link in dropped:
        value = _linked(w.state, link)
        if value is not None:
            _put(w.state, link, Reg(SCALAR, value.num))
    if len(found) < 2:
        return ()
    links = tuple(found)
    if w.env.rules.shows_linked:
        for _frame, is_reg, at in links:
            (w.scratched.reg if is_reg else w.scratched.slot)(at)
    w.remember(0, links)
    return links


def _frame_pc(w: Walk, frame: int) -> int:
    frames = w.state.frames
    return w.pc if frame == len(frames) - 1 else frames[frame + 1].callsite


def _link(found: list[Link], dropped: list[Link], link: Link) -> None:
    if link in found:
        return
    (found if len(found) < LINKED_MAX else dropped).append(link)


def _linked(state: State, link: Link) -> Reg | None:
    frame = state.frames[link[0]]
    if link[1]:
        return frame.regs[link[2]]
    slot = frame.stack.get(link[2])
    return slot.reg if slot is not None and slot.types[7] == SPILL else None


def _put(state: State, link: Link, value: Reg) -> None:
    frame = state.frames[link[0]]
    if link[1]:
        frame.regs[link[2]] = value
    else:
        frame.stack_for_write()[link[2]] = Slot(frame.stack[link[2]].types, value)


def _sync(w: Walk, state: State, learnt: Reg | None, links: tuple[Link, ...]) -> None:
    """Apply what was learnt about one value to all values linked with it (sync_linked_regs)."""
    if learnt is None or not learnt.id:
        return
    group = learnt.id & ~ADD_CONST
    for link in links:
        value = _linked(state, link)
        if value is None or value is learnt or value.type != SCALAR or value.id & ~ADD_CONST != group:
            continue
        if value.id == learnt.id and value.off == learnt.off:
            _put(state, link, learnt)
            continue
        kinds = value.id | learnt.id
        if kinds & ADD_CONST == ADD_CONST:
            continue  # one added at 32 bits, the other at 64
        if not kinds & ADD_CONST or value.off == learnt.off:
            _put(state, link, learnt)
            continue
        num = linked.follow(w.arithmetic, learnt.num, value.off - learnt.off, 32 if kinds & r.ADD_CONST32 else 64)
        _put(state, link, Reg(SCALAR, num, value.off, value.id))


# -- pointers -------------------------------------------------------------------------------------------------------

_NULL_TESTS = {"jeq": 0, "jne": 1}


def _pointer_constant(w: Walk, jump: _Jump, a: Reg, amount: Reg) -> int:
    """Compare a pointer with a constant: only NULL implies anything."""
    pc, op, wide, target = jump.pc, jump.op, jump.wide, jump.target
    if a.type == r.STACK:
        w.remember(DST_STACK)
    zero = not (amount.num.value if wide else amount.num.value & U32_MAX)
    decides = wide or not w.env.rules.null_tests_are_wide
    if zero and decides and op in _NULL_TESTS and not_null(a, w.env.rules.objects_are_not_null):
        return target if _NULL_TESTS[op] else pc + 1
    other = w.push(target, pc)
    if wide and amount.num.value == 0 and op in _NULL_TESTS and a.type & r.MAYBE_NULL:
        mark_or_null(w, w.state, a, op == "jne")
        mark_or_null(w, other, a, op == "jeq")
    return pc + 1


def _pointers(w: Walk, insn: Insn, jump: _Jump, a: Reg, b: Reg) -> int:
    """Compare operands of which at least one is a pointer."""
    pc, op, wide, target = jump.pc, jump.op, jump.wide, jump.target
    marks = (SRC_STACK if b.type == r.STACK else 0) | (DST_STACK if a.type == r.STACK else 0)
    if marks:
        w.remember(marks)
    taken = _taken(w, a, b, op, wide) if wide or not w.env.rules.null_tests_are_wide else -1
    if taken >= 0:
        if a.type == SCALAR:
            w.precise(insn.dst)
        if b.type == SCALAR:
            w.precise(insn.src)
        return target if taken else pc + 1
    null = b.type == SCALAR and not b.num.mask and not b.num.value
    tests_null = wide and null and w.env.rules.null_by_register and op in _NULL_TESTS and a.type & r.MAYBE_NULL
    if tests_null:
        w.precise(insn.src)
    links = _links(w, a, b)
    other = w.push(target, pc)
    del links  # a comparison with a pointer says nothing about a number
    if tests_null:
        mark_or_null(w, w.state, a, op == "jne")
        mark_or_null(w, other, a, op == "jeq")
        return pc + 1
    if wide and a.type != SCALAR and b.type != SCALAR and w.env.rules.equal_is_not_null:
        _nullness(w, jump, a, b, other)
    if wide:
        packet_pointers.compare(w, insn, a, b, other)
    return pc + 1


def _taken(w: Walk, a: Reg, b: Reg, op: str, wide: bool) -> int:
    if wide and a.type in r.PKT_ANY and b.type in r.PKT_ANY:
        return packet_pointers.taken(a, b, op)
    bits = -1 if wide else U32_MAX
    if b.type != SCALAR or b.num.mask & bits:
        a, b = b, a
    if b.type != SCALAR or b.num.mask & bits or a.type == SCALAR:
        return -1
    if not not_null(a, w.env.rules.objects_are_not_null) or b.num.value & bits & U64_MAX:
        return -1
    return _NULL_TESTS.get(op, -1)


def _nullness(w: Walk, jump: _Jump, a: Reg, b: Reg, other: State) -> None:
    """Conclude that a pointer equal to one that is not NULL is not NULL either."""
    if bool(a.type & r.MAYBE_NULL) == bool(b.type & r.MAYBE_NULL):
        return
    if r.BTF_ID in (a.type & r.BASE, b.type & r.BASE) or jump.op not in _NULL_TESTS:
        return
    state = other if jump.op == "jeq" else w.state
    number = jump.src if b.type & r.MAYBE_NULL else jump.dst
    reg = state.frames[-1].regs[number]
    if reg is not None:
        state.frames[-1].regs[number] = not_null_reg(reg)


def not_null_reg(reg: Reg) -> Reg:
    """Return an or_null pointer after the check (mark_ptr_not_null_reg)."""
    if reg.type & r.BASE == r.MAP_VALUE:
        used = reg.what
        if used.inner is not None:
            uid = reg.id if used.inner.field_of("timer", "wq", "task_work") else 0
            return Reg(r.MAP_PTR, reg.num, reg.off, reg.id, reg.ref, used.inner, uid)
        if used.type.gives == "xdp_socket":
            return Reg(r.XDP_SOCK, reg.num, reg.off, reg.id, reg.ref)
        if used.type.gives == "socket":
            return Reg(r.SOCKET, reg.num, reg.off, reg.id, reg.ref)
    return r.with_type(reg, reg.type & ~r.MAYBE_NULL)


def mark_or_null(w: Walk, state: State, tested: Reg, is_null: bool) -> None:
    """Turn all copies of a tested pointer into NULL or valid pointers (mark_ptr_or_null_regs)."""
    id = tested.id
    if tested.ref and tested.ref == id and is_null:
        drop_ref(state, id)
    keep_id = w.env.rules.non_null_keeps_id

    def change(reg: Reg) -> Reg:
        if not reg.type & r.MAYBE_NULL or reg.id != id:
            return reg
        if is_null:
            return known(0)
        found = not_null_reg(reg)
        return found if keep_id or may_hold_lock(found) else r.with_id(found, 0)
    replace_regs(state, change)


def may_hold_lock(reg: Reg) -> bool:
    """Return whether the pointer could be the argument of a spin lock (reg_may_point_to_spin_lock)."""
    base = reg.type & r.BASE
    if base == r.MAP_VALUE:
        return reg.what.field_of("spin_lock", "res_spin_lock") is not None
    return base == r.BTF_ID and bool(reg.type & r.ALLOC)


