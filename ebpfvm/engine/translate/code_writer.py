"""What the emitters share: the current instruction, the lines written so far, and operands in their cheapest form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine.steps import Expr, number, operand
from ebpfvm.engine.translate import loose_values
from ebpfvm.engine.translate.held_pointers import NeverHeld, address
from ebpfvm.engine.translate.pointer_form import PointerForm
from ebpfvm.engine.translate.ranges import Abs, NumRange, PtrOrigin, PtrRange, is_object
from ebpfvm.engine.translate.statements import Stmt, assign, effect, slot_name
from ebpfvm.ints import S64_MAX
from ebpfvm.kernel.memory import BIAS, OFFSET_MASK, REGION_SHIFT
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from ebpfvm.engine.translate.frame import FrameLayout
    from ebpfvm.engine.translate.function_facts import FunctionFacts
    from ebpfvm.engine.translate.inlined_nodes import Path
    from ebpfvm.engine.translate.map_facts import MapFacts
    from ebpfvm.engine.translate.ranges import RangeState, Slot
    from ebpfvm.engine.translate.unit import Unit
    from ebpfvm.errors import Fault

POINTER_MAX: Final = S64_MAX  # no region's id is that high


class Place(NamedTuple):
    """The place that a load or store accesses.

    Attributes:
        pointer: what is known about the base register.
        reg: the base register.
        off: offset in the instruction.
        size: bytes.
    """

    pointer: object
    reg: int
    off: int
    size: int


class CodeWriter:
    """Writes lines for one instruction after the other of a function.

    Args:
        unit, facts, frame: the program, the facts about the function, and its frame layout.
        names: what generated code may refer to, by name; filled as needed.

    Attributes:
        pc, state: the current instruction and what holds before it.
        form: how registers hold pointers.
        loose: results that are not truncated.
        lines: the lines written so far.
        calls: whether the function calls something that may need a frame.
        counted: the copies of functions whose frames must be counted.
        keys: the maps of the keys that walks pass, by the name of their origin.
        wholes: variables of the frame that were just assigned together -> what they are the parts of.
        swaps: registers that were just computed by a swap of bytes -> its size, and a variable with what was swapped.
    """

    def __init__(self, unit: Unit, facts: FunctionFacts, frame: FrameLayout, names: dict[str, Any]) -> None:
        self.unit = unit
        self.facts = facts
        self.frame = frame
        self.form = PointerForm(unit, facts, frame.cells)
        self.loose = loose_values.find(unit, facts)
        self.names = names
        self.pc = 0
        self.state: RangeState = facts.before[facts.function.entry]
        self.lines: list[Stmt] = []
        self.calls = False
        self.counted: set[Path] = set()
        self.keys: dict[str, MapFacts] = {}
        self.wholes: dict[tuple[Slot, ...], Expr] = {}
        self.swaps: dict[int | None, tuple[int, str]] = {}

    def add(self, line: Stmt) -> None:
        """Append a line."""
        self.lines.append(line)
        if self.wholes and line.writes.startswith("s_"):
            self.wholes = {slots: whole for slots, whole in self.wholes.items()
                           if line.writes not in {slot_name(*slot) for slot in slots}}

    def number(self, n: int) -> Expr:
        """Return a constant."""
        return number(n)

    def value(self, x: Abs, name: str) -> Expr:
        """Return what is known as `x` and stored in the variable `name`, in the cheapest form."""
        if isinstance(x, PtrRange):
            if is_object(x):
                return self.address_of_object(x, name)
            if x.lo != x.hi:
                return operand(name, 0, POINTER_MAX)
            return self.pointer(x.origin, x.lo)
        return number(x.lo) if x.lo == x.hi else operand(name, x.lo, x.hi)

    def address_of_object(self, x: PtrRange, name: str) -> Expr:
        """Return the address for a pointer that is an object, or may be one, in the variable `name`.

        Raises:
            NeverHeld: nobody can tell where in the object it points.
        """
        if x.lo != x.hi:
            raise NeverHeld
        if x.origin.kind == "mixed":
            self.names["ADDRESS"] = address
            return operand(f"ADDRESS({name}, {x.lo})")
        off = f" {'-' if x.lo < 0 else '+'} {abs(x.lo)}" if x.lo else ""
        return operand(f"({name}.ptr{off} if {name} else 0)", 0, POINTER_MAX)

    def pointer(self, origin: PtrOrigin, off: int) -> Expr:
        """Return the address `off` bytes from `origin`."""
        if origin.kind == "const":
            return number(origin.region.base + off)
        base = f"b_{origin.name}"
        if not off:
            return operand(base, 0, POINTER_MAX)
        return operand(f"({base} {'+' if off > 0 else '-'} {abs(off)})", 0, POINTER_MAX)

    def reg(self, n: int) -> Expr:
        """Return register `n` before this instruction."""
        value = self.state.regs[n]
        held = self.form.held(value)
        if held is not None and held.lo != held.hi:
            return operand(self.form.address(held.origin, f"r{n}"), 0, POINTER_MAX)
        if isinstance(value, NumRange) and value.lo != value.hi:
            return operand(f"r{n}", *self.loose.interval(self.pc, n, value))
        return self.value(value, f"r{n}")

    def index(self, n: int) -> str:
        """Return register `n`, a pointer of which registers hold an index, as an index."""
        held = self.form.held(self.state.regs[n])
        assert held is not None
        return f"r{n}" if held.lo != held.hi else self.form.index(held.origin, held.lo)

    def address(self, place: Place) -> str:
        """Return the address of `place`."""
        if isinstance(place.pointer, PtrRange) and place.pointer.lo == place.pointer.hi \
                and not is_object(place.pointer):
            return self.pointer(place.pointer.origin, place.pointer.lo + place.off).text
        base = self.reg(place.reg).text
        return f"{base} {'+' if place.off > 0 else '-'} {abs(place.off)}" if place.off else base

    def set(self, n: int, value: Expr) -> None:
        """Assign register `n`, using what the facts know about it if that is simpler."""
        self.swaps.pop(n, None)
        after = self.facts.after(self.pc).regs[n]
        if isinstance(after, NumRange) and after.lo == after.hi:
            value = number(after.lo)
        elif is_object(after):
            pass
        elif isinstance(after, PtrRange) and after.lo == after.hi:
            held = self.form.held(after)
            value = self.pointer(after.origin, after.lo) if held is None else \
                operand(self.form.index(held.origin, held.lo))
        if value.text != f"r{n}":
            self.add(assign(f"r{n}", value.text, self.pc))

    def fail(self, fault: Fault) -> None:
        """Append a line that raises `fault`; its text does not become part of the code."""
        self.names[f"X{self.pc}"] = (fault.kind, fault.message)
        self.add(effect(f"FAIL(X{self.pc})", self.pc))

    def describe(self, origin: PtrOrigin, region: bool = True) -> None:
        """Emit region, data and owner of an origin whose address is in `b_`; unused ones are removed later."""
        name, pc = origin.name, self.pc
        guard = f" if g_{name} is not None else None" if origin.maybe_null else ""
        if region:
            self.add(assign(f"g_{name}", f"GET(b_{name} >> {REGION_SHIFT})", pc))
        if origin.layout is not None:
            self.add(assign(f"o_{name}", f"g_{name}.owner{guard}", pc))
        elif origin.shape is None and not origin.checked:
            self.add(assign(f"d_{name}", f"g_{name}.data{guard}", pc))
        if origin.layout is None and origin.start is not None:
            self.add(assign(f"k_{name}", f"{origin.start} - b_{name}", pc))
        if origin.start is None:
            self.add(assign(f"i_{name}", f"(b_{name} & {OFFSET_MASK:#x}) - {BIAS:#x}", pc))
            self.add(assign(f"k_{name}", f"i_{name} - b_{name}", pc))
