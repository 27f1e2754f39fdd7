"""Check that the concrete state before each instruction of a run lies inside an abstract state of the verifier.

`Recorder` keeps the states that `verify(observe=...)` shows, and `StateWatch` compares them with what the interpreter
is about to do. A register is inside if its number is in the set, or if it points where the state says: to the same kind
of memory, the same map, an offset in the set, with at least as much accessible packet or memory as was proven. The
same applies to spilled registers, zeros on the stack, values known to be equal, and the number of references held.
Everything that the state leaves open may have any value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.engine import Hooks
from ebpfvm.errors import EbpfvmError
from ebpfvm.ints import U32_MAX, U64_MAX, s64
from ebpfvm.kernel.memory import REGION_SHIFT
from ebpfvm.verifier.domain.arithmetic import arithmetic_of
from ebpfvm.verifier.domain.num import contains
from ebpfvm.verifier.machine import regs as r
from ebpfvm.verifier.machine.state import SPILL, ZERO
from ebpfvm.verifier.pruning import cleaning

if TYPE_CHECKING:
    from ebpfvm.contract.rules import Rules
    from ebpfvm.engine.interp_run import InterpreterRun
    from ebpfvm.kernel.memory import Region
    from ebpfvm.verifier.machine.facts import Live
    from ebpfvm.verifier.machine.regs import Reg
    from ebpfvm.verifier.machine.state import Frame, Slot, State

_FRAME = 512
_FAR = 1 << 30
_REGION_OF = {r.MAP_VALUE: "map_value", r.MAP_KEY: "map_key", r.MAP_PTR: "map", r.PKT: "packet", r.PKT_META: "packet",
              r.PKT_END: "packet", r.STACK: "stack", r.CTX: "ctx", r.FUNC: "func"}


class TooManyStates(EbpfvmError):
    """The verifier's walk over a program is so long that its states are not kept."""


class Escaped(EbpfvmError):
    """A run reached a state that the verifier did not foresee: a bug in the verifier or in an engine."""


class Recorder:
    """Keep the live part of each state that it is shown; it is the argument `observe` of `verify`.

    Args:
        limit: number of states after which TooManyStates is raised; 0 for none.
        keep: False to count states without keeping them.

    Attributes:
        states: slot -> states before that instruction, in the order of the walk.
    """

    def __init__(self, limit: int = 20_000, keep: bool = True) -> None:
        self.keep = keep
        self.states: dict[int, list[State]] = {}
        self.count = 0
        self.limit = limit

    def __call__(self, pc: int, state: State, live: Live) -> None:
        self.count += 1
        if self.count == self.limit:
            raise TooManyStates(f"more than {self.limit} states")
        if not self.keep:
            return
        kept = state.copy()
        last = len(kept.frames) - 1
        assert live.stack is not None
        for at, (frame, alive) in enumerate(zip(kept.frames, live.stack.alive(state), strict=True)):
            # Dead registers and slots may differ where a loop is cut or a path is pruned.
            mask = live.regs[pc if at == last else kept.frames[at + 1].callsite]
            cleaning.registers(frame, cleaning.dead_registers(mask))
            cleaning.halves(frame, alive)
        self.states.setdefault(pc, []).append(kept)


class StateWatch(Hooks):
    """Compare each step of a run with the kept states; for `Interpreter(hooks=...)`.

    Args:
        kept: states of a walk with `prune=False`, unless `exact` is False.
        exact: False if the walk was pruned. Then numbers are not compared, because the comparison of states ignores
            imprecise ones.

    Attributes:
        steps: number of instructions compared.
    """

    def __init__(self, kept: Recorder, exact: bool = True) -> None:
        self.kept = kept.states
        self.exact = exact
        self.steps = 0
        self.frames: list[tuple[int, list[int]]] = []  # slot and registers of each active function
        self.held = 0

    def start(self, held: int) -> None:
        """Begin a run while programs hold `held` references."""
        self.frames.clear()
        self.held = held

    def before(self, run: InterpreterRun, pc: int, regs: list[int]) -> None:
        """Compare the registers with the kept states.

        Raises:
            Escaped: no state includes them; the message shows the nearest state and the difference.
        """
        self.steps += 1
        depth = run.prog.kernel.stack.depth
        frames = self.frames
        del frames[depth:]
        if len(frames) == depth:
            frames[-1] = pc, regs
        else:
            frames.append((pc, regs))
        moment = Moment(run, frames, self.exact, self.held)
        kept = self.kept.get(pc)
        if kept is None:
            raise Escaped(f"slot {pc} was never reached in the walk")
        nearest = ""
        for state in reversed(kept):
            nearest = moment.outside(state)
            if not nearest:
                return
        raise Escaped(f"slot {pc}: of {len(kept)} states none fits; the first: {nearest}")


class Moment:
    """A run between two instructions."""

    def __init__(self, run: InterpreterRun, frames: list[tuple[int, list[int]]], exact: bool = True,
                 held: int = 0) -> None:
        self.prog = run.prog
        self.kernel = run.prog.kernel
        self.regions = self.kernel.memory.regions
        self.stack = self.kernel.stack.frames
        self.frames = frames
        self.exact = exact
        self.held = held
        # A kernel that finds out during the walk what is read of the stack prunes by that; the kept states were cleaned
        # by the pass before the walk, which takes more for read.
        self.stack_known = exact or self.kernel.dialect.rules.stack_liveness == "static"
        self.arithmetic = arithmetic_of(self.kernel.dialect.rules.circular_numbers, self.kernel.dialect.rules.coarse,
                                        mixed=self.kernel.dialect.rules.mixes_bounds)

    def outside(self, state: State) -> str:
        """Return what lies outside of `state`; "" if everything is inside."""
        first = len(self.frames) - len(state.frames)
        if first < 0:
            return f"{len(state.frames)} frames, not {len(self.frames)}"
        ids: dict[int, tuple[int, int, int]] = {}
        for at, frame in enumerate(state.frames):
            if at and frame.callsite != self.frames[first + at - 1][0]:
                return f"frame {at} is called from slot {frame.callsite}, not {self.frames[first + at - 1][0]}"
            problem = self._frame(frame, first + at, first, ids)
            if problem:
                return problem
        held = self.kernel.refs.held - self.held
        most = sum(item.kind == "ptr" for item in state.refs)
        return "" if first or held <= most else f"{held} references are held, not {most}"

    def _frame(self, frame: Frame, at: int, first: int, ids: dict[int, tuple[int, int, int]]) -> str:
        regs = self.frames[at][1]
        for number, reg in enumerate(frame.regs):
            if reg is None or reg is r.UNKNOWN_SCALAR:
                continue
            problem = self._value(reg, regs[number], first) or self._linked(reg, regs[number], ids)
            if problem:
                return f"r{number} of frame {at - first} is {regs[number]:#x}: {problem}"
        if not self.stack_known:
            return ""
        data = self.stack[at].data
        for index, slot in frame.stack.items():
            problem = self._slot(slot, data, _FRAME - 8 * index - 8, first, ids)
            if problem:
                return f"fp-{8 * index + 8} of frame {at - first}: {problem}"
        return ""

    def _slot(self, slot: Slot, data: bytearray, off: int, first: int, ids: dict[int, tuple[int, int, int]]) -> str:
        types = slot.types
        if self.exact:
            for byte, kind in enumerate(types):
                if kind == ZERO and data[off + 7 - byte]:
                    return f"byte {7 - byte} is {data[off + 7 - byte]:#x}, not zero"
        if types[7] != SPILL:
            return ""
        size = types.count(SPILL)
        value = int.from_bytes(data[off:off + size], "little")
        if size < 8 and slot.reg.type != r.SCALAR:
            return ""  # half of a pointer, whose other half nobody reads
        if size < 8:  # whatever is known of a register holds for what was cut off too
            cut = self.arithmetic.cast(slot.reg.num, 8 * size)
            return "" if not self.exact or contains(cut, value) else f"{size} bytes {value:#x}: not in {cut}"
        problem = self._value(slot.reg, value, first) or self._linked(slot.reg, value, ids)
        return f"spilled {value:#x}: {problem}" if problem else ""

    # -- values -------------------------------------------------------------------------------------------------

    def _linked(self, reg: Reg, value: int, ids: dict[int, tuple[int, int, int]]) -> str:
        """Check that scalars with the same id are equal, or differ by a constant."""
        if reg.type != r.SCALAR or not reg.id or not self.exact:
            return ""
        flags = reg.id & r.ADD_CONST
        delta = reg.off if flags else 0
        root = value - delta
        known = ids.setdefault(reg.id & ~r.ADD_CONST, (root, flags, value))
        bits = U32_MAX if (flags | known[1]) & r.ADD_CONST32 else U64_MAX
        if (root ^ known[0]) & bits:
            return f"not {value:#x} - {known[2]:#x} as its id {reg.id:#x} says"
        return ""

    def _value(self, reg: Reg, value: int, first: int) -> str:
        type = reg.type
        if type == r.SCALAR:
            num = reg.num
            if not self.exact or (value == num.value if not num.mask else contains(num, value)):
                return ""
            return f"not in {num}"
        if type & r.MAYBE_NULL and not value:
            return ""
        base = type & r.BASE
        walked = base == r.BTF_ID and not type & (r.TRUSTED | r.RCU | r.ALLOC) and not reg.ref  # reads zero at worst
        if type & r.UNTRUSTED or walked or base in (r.ARENA, r.INSN, r.PKT_END, r.DYNPTR):
            return self._end(value) if base == r.PKT_END else ""
        if reg.num.smax >= _FAR or reg.num.smin <= -_FAR:
            return ""  # its address may be in another region; it cannot be dereferenced
        region = self.regions.get(value >> REGION_SHIFT)
        if region is None:
            return f"no live region, but {r.type_name(type)}"
        kind = _REGION_OF.get(base)
        if kind is not None and region.kind != kind:
            return f"in {region}, but {r.type_name(type)}"
        if base == r.FUNC:
            return ""
        if base == r.STACK and first + int(reg.what) >= len(self.frames):
            return "in the frame of a function that has ended"
        start = self._start(reg, region, value, first)
        offset = value - start - reg.off & U64_MAX
        if not contains(reg.num, offset):
            return f"offset {s64(offset)} of {region} is not {reg.off} + {reg.num}"
        return self._extent(reg, region, value, start)

    def _start(self, reg: Reg, region: Region, value: int, first: int) -> int:
        base = reg.type & r.BASE
        if base == r.STACK:
            return self.stack[first + int(reg.what)].base + _FRAME
        if base == r.PKT:
            return region.base + region.start  # type: ignore[attr-defined, no-any-return]
        if base == r.PKT_META:
            return region.base + region.meta  # type: ignore[attr-defined, no-any-return]
        if base in (r.MEM, r.BUF) and not reg.num.mask:
            return value - reg.off - reg.num.smin  # it may point into an object, as an iterator does
        return region.base

    def _end(self, value: int) -> str:
        region = self.regions.get(value >> REGION_SHIFT)
        if region is None or region.kind != "packet":
            return "not in a packet, but pkt_end"
        end = region.end  # type: ignore[attr-defined]
        return "" if value == region.base + end else f"offset {value - region.base} is not the packet's end {end}"

    def _extent(self, reg: Reg, region: Region, value: int, start: int) -> str:
        """Check what is proven about the memory after the pointer."""
        base = reg.type & r.BASE
        if base == r.MAP_VALUE:
            if region.size < reg.what.value_size:
                return f"{region} has {region.size} bytes, not {reg.what.value_size}"
            owner: Any = self.prog.maps[reg.what.index] if not reg.aux and reg.what.index >= 0 else None
            if owner is not None and region.owner is not owner and reg.what.inner is None:
                return f"{region} is not of map {reg.what.index}"
        if base in (r.PKT, r.PKT_META):
            end = region.base + (region.end if base == r.PKT else region.start)  # type: ignore[attr-defined]
            return _packet_range(reg, value, end, self.kernel.dialect.rules)
        if base == r.MEM and not 0 <= start - region.base <= region.size - reg.what:
            return f"{region} has {region.size} bytes, not {reg.what} from {start - region.base} on"
        return ""


def _packet_range(reg: Reg, value: int, end: int, rules: Rules) -> str:
    if reg.what < 0 and not rules.moving_forgets_end:
        return ""  # the kernel keeps "beyond the end" for a pointer that has since been moved back
    if reg.what == r.AT_PKT_END:
        return "" if value >= end else "before the end, not at it"
    if reg.what == r.BEYOND_PKT_END:
        return "" if value > end else "not beyond the end"
    if reg.what <= 0:
        return ""
    base = value - reg.off - (reg.num.umax if rules.offset_in_var_off else 0)
    return "" if base + reg.what <= end else f"{end - base} bytes follow it, not {reg.what}"
