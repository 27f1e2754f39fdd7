"""Arithmetic: one step function per instruction, created once (check_alu_op, kernel/bpf/verifier.c).

A step takes the walk, changes the current frame's registers, and returns the slot to continue with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.errnos import EACCES, EINVAL
from ebpfvm.errors import InternalError
from ebpfvm.isa import codes as c
from ebpfvm.isa.table import ROWS, row_of
from ebpfvm.verifier.domain import links as linked
from ebpfvm.verifier.domain.arithmetic import CIRCLES, INTERVALS
from ebpfvm.verifier.domain.num import Num, const
from ebpfvm.verifier.domain.width import U32_MAX
from ebpfvm.verifier.machine import properties as p
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.regs import ADD_CONST, SCALAR, UNKNOWN_SCALAR, Reg
from ebpfvm.verifier.machine.signal import Refuse, unsupported
from ebpfvm.verifier.values import pointers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.isa.insn import Insn
    from ebpfvm.isa.table import Row
    from ebpfvm.verifier.machine.walk import Step, Walk

_new = tuple.__new__


def unreadable(number: int) -> Refuse:
    """Return the refusal of a read of a register without a value."""
    return Refuse(p.UNINIT_REGISTER, EACCES, f"R{number} !read_ok", reg=number)


READ_ONLY = "frame pointer is read only"


def check(rows: Iterable[Row]) -> None:
    """Check that each instruction that computes or compares has a transfer function of each arithmetic.

    Raises:
        InternalError: one is missing.
    """
    for arithmetic, where in ((CIRCLES, "circular_alu.py, divide.py, circular_assume.py"),
                              (INTERVALS, "interval_alu.py, interval_assume.py")):
        known = {"alu": arithmetic.alu.keys() | arithmetic.unary.keys() | {("mov", 64)},
                 "jmp": arithmetic.branch.keys()}
        for row in rows:
            if row.kind in known and (row.op, row.width) not in known[row.kind]:
                raise InternalError(f"instruction {row.name!r}: ({row.op!r}, {row.width}) has no transfer function in "
                                    f"ebpfvm/verifier/domain ({where}, outcomes.py for jumps)")


check(ROWS)


def build(w: Walk, pc: int, insn: Insn) -> Step:
    """Return the step of an ALU instruction whose fields are legal."""
    row = row_of(insn)
    assert row is not None
    if row.kind == "addr_space_cast":
        return _arena
    if row.op == "mov":
        return _mov_k(insn, pc) if row.source == "k" else _mov_x(w, insn, pc, row.width)
    if row.op.startswith("movsx"):
        return _movsx(w, insn, pc, row.op, row.width)
    if row.op == "neg" or row.op[:2] in ("le", "be") or row.op.startswith("bswap"):
        return _unary(w, insn, pc, row.op, row.width)
    return _binary(w, insn, pc, row.op, row.width)


def _arena(_walk: Walk) -> int:
    raise Refuse(p.ARENA_REQUIRED, EINVAL,
                 "addr_space_cast insn can only be used in a program that has an associated arena")


def _mov_k(insn: Insn, pc: int) -> Step:
    dst, after = insn.dst, pc + 1
    value = r.known(insn.imm if insn.code & 7 == c.BPF_ALU64 else insn.imm & U32_MAX)

    def step(w: Walk) -> int:
        if dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        w.regs[dst] = value
        return after
    return step


def give_id(w: Walk, reg: Reg) -> Reg:
    """Return the scalar `reg` with an id to share with its copy (assign_scalar_id_before_mov).

    A value that is linked with an added constant gets a new id; a constant gets none.
    """
    if reg.id and not reg.id & ADD_CONST:
        return reg
    if not reg.num.mask:
        return Reg(SCALAR, reg.num) if reg.id else reg
    return Reg(SCALAR, reg.num, 0, w.new_id())


def _mov_x(w: Walk, insn: Insn, pc: int, width: int) -> Step:
    dst, src, after = insn.dst, insn.src, pc + 1
    low32 = w.arithmetic.unary["mov", 32]

    def step(w: Walk) -> int:
        regs = w.regs
        value = regs[src]
        if value is None:
            raise unreadable(src)
        if dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        if value.type == SCALAR and (value.id & ADD_CONST or (value.num.mask and not value.id)):
            regs[src] = value = give_id(w, value)
        regs[dst] = value
        return after

    def step32(w: Walk) -> int:
        regs = w.regs
        value = regs[src]
        if value is None:
            raise unreadable(src)
        if dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        if value.type != SCALAR:
            regs[dst] = Reg(SCALAR, low32(UNKNOWN_SCALAR.num))
        elif value.num.umax <= U32_MAX and w.env.rules.links_halves:
            regs[src] = regs[dst] = give_id(w, value)
        else:
            regs[dst] = Reg(SCALAR, low32(value.num))
        return after
    return step if width == 64 else step32


def _movsx(w: Walk, insn: Insn, pc: int, op: str, width: int) -> Step:
    dst, src, after = insn.dst, insn.src, pc + 1
    extend = w.arithmetic.unary[op, width]
    limit = 1 << (insn.off - 1)

    def step(w: Walk) -> int:
        regs = w.regs
        value = regs[src]
        if value is None:
            raise unreadable(src)
        if dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        if value.type != SCALAR:
            regs[dst] = UNKNOWN_SCALAR if width == 64 else (
                Reg(SCALAR, w.arithmetic.unary["mov", 32](UNKNOWN_SCALAR.num)))
            return after
        if value.num.umax < limit:
            value = give_id(w, value)
            regs[src] = value
            regs[dst] = r.with_num(value, extend(value.num))
        else:
            regs[dst] = Reg(SCALAR, extend(value.num))
        return after
    return step


def _unary(w: Walk, insn: Insn, pc: int, op: str, width: int) -> Step:
    dst, after = insn.dst, pc + 1
    function = w.arithmetic.unary[op, width]
    # Nothing to do on the machines that we know: the number stays linked.
    changes = op != "le64" or not w.env.rules.tracks_byte_order

    def step(w: Walk) -> int:
        regs = w.regs
        value = regs[dst]
        if value is None:
            raise unreadable(dst)
        if dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        if value.type != SCALAR:
            regs[dst] = UNKNOWN_SCALAR
        elif changes:
            regs[dst] = Reg(SCALAR, function(value.num))
        return after
    return step


def _binary(w: Walk, insn: Insn, pc: int, op: str, width: int) -> Step:
    return (_register_form if insn.code & c.BPF_X else _constant_form)(w, insn, pc, op, width)


def _bad_constant(insn: Insn, width: int) -> str | None:
    op = insn.code & 0xF0
    if op in (c.BPF_DIV, c.BPF_MOD) and not insn.imm:
        return "div by zero"
    if op in (c.BPF_LSH, c.BPF_RSH, c.BPF_ARSH) and not 0 <= insn.imm < width:
        return f"invalid shift {insn.imm}"
    return None


def _register_form(w: Walk, insn: Insn, pc: int, op: str, width: int) -> Step:
    function = w.arithmetic.alu[op, width]
    dst, src, after = insn.dst, insn.src, pc + 1
    links, forks = op in w.env.rules.linking, op in ("and", "or")

    def step(w: Walk) -> int:
        regs = w.regs
        b = regs[src]
        if b is None:
            raise unreadable(src)
        a = regs[dst]
        if a is None:
            raise unreadable(dst)
        if dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        if a.type == SCALAR and b.type == SCALAR:
            if forks and a.num.mask and not b.num.mask:
                a = _forked(w, pc, dst, a)
            num = function(a.num, b.num)
            if links and a.id:
                regs[dst] = linked_sum(a, num, op, width, b.num if dst != src else None)
            else:
                regs[dst] = _new(Reg, (SCALAR, num, 0, 0, 0, None, 0))
            return after
        regs[dst] = _with_pointer(w, insn, a, b)
        return after
    return step


def _constant_form(w: Walk, insn: Insn, pc: int, op: str, width: int) -> Step:
    problem, function = _bad_constant(insn, width), w.arithmetic.alu[op, width]
    dst, after = insn.dst, pc + 1
    amount = const(insn.imm)
    links = op in w.env.rules.linking
    forks = op in ("and", "or")

    def step(w: Walk) -> int:
        regs = w.regs
        a = regs[dst]
        if a is None:
            raise unreadable(dst)
        if problem is not None:
            raise Refuse(p.CONSTANT_OPERAND, EINVAL, problem)
        if dst == 10:
            raise Refuse(p.FRAME_POINTER, EACCES, READ_ONLY)
        if a.type == SCALAR:
            if forks and a.num.mask:
                a = _forked(w, pc, dst, a)
            num = function(a.num, amount)
            if links and a.id:
                regs[dst] = linked_sum(a, num, op, width, amount)
            else:
                regs[dst] = _new(Reg, (SCALAR, num, 0, 0, 0, None, 0))
            return after
        regs[dst] = pointers.adjust(w, insn, a, amount, False)
        return after
    return step


def _forked(w: Walk, pc: int, dst: int, reg: Reg) -> Reg:
    """Split the paths for 0 and -1 before a mask, as the kernel does (maybe_fork_scalars)."""
    pair = w.arithmetic.fork(reg.num)
    if pair is None:
        return reg
    other = w.push(pc, pc)
    other.frames[-1].regs[dst] = r.with_num(reg, pair[0])
    return r.with_num(reg, pair[1])


def linked_sum(a: Reg, num: Num, op: str, width: int, amount: Num | None) -> Reg:
    """Return a sum that records by how much it differs from the values that it is linked with.

    Args:
        a, num: the value before, and the sum.
        amount: what was added or subtracted; None: the value itself.
    """
    delta = None if amount is None or a.id & ADD_CONST else linked.delta(op, width, a.num, amount)
    if delta is None:
        return Reg(SCALAR, num)
    return Reg(SCALAR, num, delta, a.id | (r.ADD_CONST64 if width == 64 else r.ADD_CONST32))


def _with_pointer(w: Walk, insn: Insn, a: Reg, b: Reg) -> Reg:
    """Return the result of an operation with at least one pointer operand."""
    if a.type == r.ARENA or b.type == r.ARENA:
        raise unsupported("arena pointers")
    if b.type != SCALAR:
        if a.type != SCALAR:
            if insn.code & 0xF0 == c.BPF_SUB:
                return UNKNOWN_SCALAR
            raise Refuse(p.POINTER_ARITHMETIC, EACCES,
                         f"R{insn.dst} pointer {pointers.SYMBOLS[insn.code & 0xF0]} pointer prohibited")
        w.precise(insn.dst)
        return pointers.adjust(w, insn, b, a.num, True, a.off)
    w.precise(insn.src)
    return pointers.adjust(w, insn, a, b.num, False, b.off)
