"""Emit one function of a program as lines of Python, block by block; control flow comes later (`structure`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine import common
from ebpfvm.engine.steps import Expr, condition, cut, lower, number, operand
from ebpfvm.engine.translate import emit_calls, emit_held, emit_inlined, emit_maps, emit_memory, emit_objects
from ebpfvm.engine.translate.code_writer import POINTER_MAX, CodeWriter, Place
from ebpfvm.engine.translate.emit_keys import from_key, swap_size, swapped_name, unswap
from ebpfvm.engine.translate.ranges import FP, PtrOrigin, PtrRange, is_object, slot_at
from ebpfvm.engine.translate.statements import BlockCode, Stmt, assign, effect, reads_of
from ebpfvm.errors import Fault
from ebpfvm.ints import U64_MAX
from ebpfvm.isa.table import all_kinds

if TYPE_CHECKING:
    from ebpfvm.engine.translate.flow_graph import BasicBlock
    from ebpfvm.engine.translate.frame import FrameLayout
    from ebpfvm.engine.translate.function_facts import FunctionFacts
    from ebpfvm.engine.translate.unit import Unit
    from ebpfvm.isa.insn import Insn
    from ebpfvm.isa.table import Row

# The kinds that `_insn` emits; others fail as unsupported when they are reached.
_KINDS: Final = ("alu", "jmp", "ldx", "load_acquire", "st", "store_release", "atomic", "ld_imm64", "call", "ld_abs",
                 "ld_ind", "may_goto", "exit", "ja")
_REFUSED: Final = ("addr_space_cast", "percpu", "gotox", "callx")
_DECIDED: Final = ("False", "True")  # conditions that need no test
_ORDER: Final = ("jeq", "jne", "jgt", "jge", "jlt", "jle")
all_kinds((*_KINDS, *_REFUSED), "the translator, ebpfvm/engine/translate/emit.py (_KINDS)")


class Emitter(CodeWriter):
    """Emits the code of one function.

    Attributes:
        found: names of the origins that are regions of look-ups, None for NULL.
        sure: those of them that are never NULL.
        may_goto: whether the function counts iterations.
    """

    def __init__(self, unit: Unit, facts: FunctionFacts, frame: FrameLayout, names: dict[str, Any]) -> None:
        super().__init__(unit, facts, frame, names)
        self.counted = emit_inlined.frames_that_count(unit, facts.function)
        self.found = emit_maps.found_by_region(unit, facts)
        self.sure = emit_maps.never_null(unit, facts, self.found)
        self.may_goto = False

    # -- blocks -------------------------------------------------------------------------------------------------------

    def block(self, block: BasicBlock) -> BlockCode:
        """Return the code of a reachable block."""
        self.lines = []
        self.swaps.clear()
        self.wholes.clear()
        ending: tuple[str, str | None] = ("", None)
        for pc in block.pcs:
            self.pc, self.state = pc, self.facts.before[pc]
            ending = self._insn(self.unit.rows[pc], self.unit.insns[pc])
        test, result = ending
        succs = tuple(s for s in block.succs if (block.start, s) in self.facts.edges)
        if test in _DECIDED and len(succs) == 2:
            succs = succs[_DECIDED.index(test):][:1]
        if len(succs) < 2:
            test = ""
        return BlockCode(self.lines, test, reads_of(test) | reads_of(result or ""), self.pc, result, succs)

    def _insn(self, row: Row | None, insn: Insn) -> tuple[str, str | None]:
        """Emit one instruction, and return the condition of a jump, or what the function returns."""
        inlined = self.unit.steps.get(self.pc)
        if inlined is not None:
            return emit_inlined.emit(self, inlined), None
        if row is None:  # dead code, as only the verifier's walk can tell
            self.fail(Fault("opcode", f"instruction {insn.encode().hex()} does not exist"))
            return "", "0"
        kind = row.kind  # one of _KINDS
        if kind == "alu":
            self._alu(row, insn)
        elif kind == "jmp":
            return self._condition(row, insn), None
        elif kind in ("ldx", "load_acquire"):
            self._load(row, insn)
        elif kind in ("st", "store_release"):
            self._store(row, insn)
        elif kind == "atomic":
            self._atomic(row, insn)
        elif kind == "ld_imm64":
            self._immediate(insn)
        elif kind == "call":
            emit_calls.emit(self, row, insn)
        elif kind in ("ld_abs", "ld_ind"):
            self._packet(row, insn)
        elif kind == "may_goto":
            self.may_goto = True
            self.add(effect("loops -= 1", self.pc))
            return "loops < 0", None
        elif kind == "exit":
            return "", emit_held.result(self) or self.reg(0).text
        elif kind != "ja":
            self.fail(Fault("unsupported", f"instruction {row.op} is not supported by ebpfvm"))
        return "", None

    def _source(self, row: Row, insn: Insn) -> Expr:
        return number(insn.imm & U64_MAX) if row.source == "k" else self.reg(insn.src)

    def _place(self, row: Row, reg: int, insn: Insn) -> Place:
        return Place(self.state.regs[reg], reg, insn.off, row.width // 8)

    def _alu(self, row: Row, insn: Insn) -> None:
        size, unswapped = swap_size(row), self.swaps.get(insn.src) if row.name == "mov64_x" else None
        before = self.swaps.get(insn.dst)
        if size:
            unswapped = size, f"t_{self.pc}_plain"
            self.add(assign(unswapped[1], cut(self.reg(insn.dst), 8 * size).text, self.pc))
        again = unswap(row, insn, before) if before is not None else None
        if again is not None:
            self.set(insn.dst, again)
        else:
            self._compute(row, insn)
        if unswapped is not None:
            self.swaps[insn.dst] = unswapped

    def _compute(self, row: Row, insn: Insn) -> None:
        after = self.facts.after(self.pc).regs[insn.dst]
        if is_object(after):
            moved = insn.src if row.source == "x" and is_object(self.state.regs[insn.src]) else insn.dst
            self.set(insn.dst, operand(f"r{moved}"))
            return
        if self.form.held(after) is not None and row.width == 64:
            self.set(insn.dst, self._moved(row, insn))
            return
        if row.op == "sub" and self._same_region(row, insn) and not self.form.unit(self.state.regs[insn.dst]):
            self.set(insn.dst, lower(row, operand(self.index(insn.dst)), operand(self.index(insn.src))))
            return
        a = number(0) if row.op.startswith("mov") else self.reg(insn.dst)
        b = self.reg(insn.src) if row.source == "x" else number(insn.imm & U64_MAX)
        moved = isinstance(after, PtrRange) and after.lo != after.hi and row.op in ("add", "sub")
        if moved and max(a.hi, b.hi) <= POINTER_MAX:  # a pointer with a bounded offset does not wrap
            self.set(insn.dst, operand(f"({a.text} {'+' if row.op == 'add' else '-'} {b.text})"))
        else:
            self.set(insn.dst, lower(row, a, b, loose=self.pc in self.loose.at))

    def _moved(self, row: Row, insn: Insn) -> Expr:
        """Return the index that a `mov`, `add` or `sub` yields."""
        if row.op == "mov":
            return operand(self.index(insn.src))
        pointer, other = insn.dst, insn.src
        if self.form.held(self.state.regs[pointer]) is None:
            pointer, other = other, pointer
        held = self.form.held(self.state.regs[pointer])
        assert held is not None
        by = self.reg(other) if row.source == "x" else number(insn.imm & U64_MAX)
        return emit_memory.shifted(self, held, self.index(pointer), by, row.op)

    def _condition(self, row: Row, insn: Insn) -> str:
        pointer = self.state.regs[insn.dst]
        if isinstance(pointer, PtrRange) and pointer.origin.name in self.found and not pointer.lo and not pointer.hi \
                and row.name in ("jeq64_k", "jne64_k") and not insn.imm:
            if pointer.origin.name in self.sure:
                return _DECIDED[row.op == "jne"]
            return f"g_{pointer.origin.name} is {'' if row.op == 'jeq' else 'not '}None"
        if is_object(pointer) and row.name in ("jeq64_k", "jne64_k") and not insn.imm:
            return f"not r{insn.dst}" if row.op == "jeq" else f"r{insn.dst}"
        if row.name in ("jeq64_k", "jne64_k") and not insn.imm:
            found = emit_objects.null_check(self, pointer, row.op == "jeq")
            if found is not None:
                return found
        if row.op in _ORDER and self._same_region(row, insn):
            return condition(row, operand(self.index(insn.dst)), operand(self.index(insn.src))).text
        b = self.reg(insn.src) if row.source == "x" else number(insn.imm & U64_MAX)
        return condition(row, self.reg(insn.dst), b).text

    def _same_region(self, row: Row, insn: Insn) -> bool:
        """Return whether both operands are pointers into one region, so that indices can stand for addresses.

        All pointers into the context's packet that a program may use at a time are: a helper that changes the packet
        makes those from before unreadable.
        """
        if row.source != "x" or row.width != 64:
            return False
        a, b = self.form.held(self.state.regs[insn.dst]), self.form.held(self.state.regs[insn.src])
        return a is not None and b is not None and (a.origin is b.origin or (a.origin.of == b.origin.of != ""))

    def _load(self, row: Row, insn: Insn) -> None:
        origin = self.facts.defined.get(self.pc)
        place = self._place(row, insn.src, insn)
        if is_object(self.facts.after(self.pc).regs[insn.dst]):
            emit_held.load_object(self, place, insn.dst)
            return
        if origin is not None:
            self._define_from_field(origin, place)
            return
        if isinstance(place.pointer, PtrRange) and place.pointer.origin.kind == "key" and not row.sign:
            self._load_key(insn.dst, place.pointer, place)
            return
        loaded = emit_memory.load(self, place)
        held = self.form.held(self.facts.after(self.pc).regs[insn.dst])
        if held is not None:  # a pointer from the stack, which holds addresses
            self.set(insn.dst, operand(self.form.from_address(held.origin, loaded.text)))
        elif loaded.hi > emit_memory.value_range(place.size)[1]:  # a four-byte field may yield a whole pointer
            self.set(insn.dst, loaded)
        else:
            self.set(insn.dst, lower(row, operand("0"), operand("0"), loaded=loaded))
        if not row.sign:
            self._note_swapped(insn.dst, place)

    def _note_swapped(self, dst: int, place: Place) -> None:
        """Note what a load from the frame has the bytes of in reverse, if that is kept."""
        pointer = place.pointer
        if isinstance(pointer, PtrRange) and pointer.origin.kind == "fp" and pointer.lo == pointer.hi:
            atom = slot_at(pointer, place.off), place.size
            if atom in self.frame.swapped and self.frame.local.get(atom) == (atom,):
                self.add(assign(f"t_{self.pc}_plain", swapped_name(*atom), self.pc))
                self.swaps[dst] = place.size, f"t_{self.pc}_plain"

    def _load_key(self, dst: int, pointer: PtrRange, place: Place) -> None:
        """Emit a load from the key that a walk passes; a program may store what it loads in another big-endian key."""
        value, plain = from_key(self, pointer.origin, pointer.lo + place.off, place.size)
        self.set(dst, value)
        if plain is not None:
            self.add(assign(f"t_{self.pc}_plain", plain.text, self.pc))
            self.swaps[dst] = place.size, f"t_{self.pc}_plain"

    def _store(self, row: Row, insn: Insn) -> None:
        place = self._place(row, insn.dst, insn)
        pointer = place.pointer
        if row.source == "x" and emit_held.spill(self, place, insn.src):
            return
        if isinstance(pointer, PtrRange) and pointer.origin.layout is not None and pointer.lo == pointer.hi \
                and row.source == "x":
            how = pointer.origin.layout.writing(pointer.lo + place.off, place.size)
            if emit_objects.store_packet(self, how, place, self.state.regs[insn.src]):
                return
        emit_memory.store(self, place, self._source(row, insn), insn.src if row.source == "x" else None)

    def _define_from_field(self, origin: PtrOrigin, place: Place) -> None:
        """Emit a load that yields a packet pointer or a packet."""
        pointer, name, pc = place.pointer, origin.name, self.pc
        assert isinstance(pointer, PtrRange)
        how = pointer.origin.layout.reading(pointer.lo + place.off, place.size)
        owner = f"o_{pointer.origin.name}"
        if origin.kind == "packet":
            edge = {"pkt_meta": "meta", "pkt_end": "end"}.get(how.field.access, "start")
            self.add(assign(f"g_{name}", f"{owner}.packet", pc))
            self.add(assign(f"i_{name}", f"g_{name}.{edge}", pc))
            self.add(assign(f"b_{name}", f"g_{name}.base + i_{name}", pc))
            self.add(assign(f"d_{name}", f"g_{name}.data", pc))
            self.add(assign(f"k_{name}", f"i_{name} - b_{name}", pc))
            self.set(self.unit.insns[pc].dst, operand(f"b_{name}"))
        else:
            emit_objects.load_packet(self, origin, owner, self.unit.insns[pc].dst)

    def _atomic(self, row: Row, insn: Insn) -> None:
        place = self._place(row, insn.dst, insn)
        loaded = emit_memory.load(self, place)
        old = f"t_{self.pc}"
        self.add(assign(old, loaded.text, self.pc))
        new = lower(row, number(0), self.reg(insn.src), old=operand(old, *emit_memory.value_range(place.size)),
                    r0=self.reg(0))
        emit_memory.store(self, place, new)
        if row.fetch:
            self.set(0 if row.op == "cmpxchg" else insn.src, operand(old, *emit_memory.value_range(place.size)))

    def _immediate(self, insn: Insn) -> None:
        try:
            value = common.immediate(self.unit.prog, self.unit.slot(self.pc))
        except Fault as fault:
            self.fail(fault)
            return
        self.set(insn.dst, number(value))

    def _packet(self, row: Row, insn: Insn) -> None:
        self.names["LOAD_PACKET"] = common.load_packet
        offset = f"{insn.imm}" if row.kind == "ld_abs" else f"{insn.imm} + {self.reg(insn.src).text}"
        self.swaps.pop(0, None)
        text = f"LOAD_PACKET(ENV, {self.reg(6).text}, {offset}, {row.width // 8})"
        self.add(Stmt(text, self.pc, "r0", reads_of(text), False))
        self.add(effect("if r0 is None: return 0", self.pc))

    # -- the beginning ------------------------------------------------------------------------------------------------

    def prologue(self, entry: int) -> list[Stmt]:
        """Return lines that describe the origins that exist from the start: the frame, the context, the arguments."""
        self.lines, self.pc = [], entry
        if entry == 0:
            self.add(assign("b_c", "g_c.base", entry))
        else:
            self.add(assign("g_c", "ENV.ctx.region", entry))
            self.add(assign("b_c", "g_c.base", entry))
        self.add(assign("o_c", "g_c.owner", entry))
        self.add(assign("d_c", "g_c.data", entry))
        for n, value in enumerate(self.facts.before[entry].regs[1:6], 1):
            if isinstance(value, PtrRange) and value.origin.kind not in ("ctx", "const", "held", "mixed"):
                self.add(assign(f"b_{value.origin.name}", f"r{n}", entry))
                self.describe(value.origin)
        if entry == 0:
            self.add(assign("r1", "b_c", entry))
        if self.unit.layout is None:
            self.add(assign("k_c", "0 - b_c", entry))
        self.add(Stmt("d_f, v8_f, v4_f, v2_f, b_f = ENTER()", entry, "", frozenset(), False))
        self.add(assign("k_f", "512 - b_f", entry))
        if self.frame.cells is not None:
            self.add(assign("l_f", f"[0] * {self.frame.cells.size >> self.frame.cells.unit}", entry))
        return self.lines


assert FP.name == "f"
