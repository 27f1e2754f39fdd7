"""Walk all paths of an accepted program, to find out what becomes of the packet and what is returned.

The walk knows constants, arguments, and which values are the same; that is enough to follow error codes and tests of
NULL. It is no proof: what it does not know makes a path "unsure", and nothing is said about that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.ints import U64_MAX
from ebpfvm.isa import codes as c
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.lints.path_state import PACKET, STATE, TIME, UNKNOWN, Deeds, PathState, Value, computed, const, derived

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ebpfvm.isa.insn import Insn
    from ebpfvm.lints.members import MemberProgram

_BUDGET: Final = 20_000  # steps
_DEEPEST: Final = 8
_TIME_HELPERS: Final = frozenset({"ktime_get_ns", "ktime_get_boot_ns", "ktime_get_coarse_ns", "ktime_get_tai_ns",
                            "jiffies64"})
_FOLDED: Final[dict[int, Callable[[int, int], int]]] = {
    c.BPF_ADD: lambda a, b: a + b, c.BPF_SUB: lambda a, b: a - b, c.BPF_AND: lambda a, b: a & b,
    c.BPF_OR: lambda a, b: a | b, c.BPF_LSH: lambda a, b: a << (b & 31), c.BPF_RSH: lambda a, b: a >> (b & 31)}
_DECIDED: Final[dict[int, Callable[[int, int], bool]]] = {
    c.BPF_JEQ: lambda a, b: a == b, c.BPF_JNE: lambda a, b: a != b, c.BPF_JSGT: lambda a, b: a > b,
    c.BPF_JSGE: lambda a, b: a >= b, c.BPF_JSLT: lambda a, b: a < b, c.BPF_JSLE: lambda a, b: a <= b,
    c.BPF_JGT: lambda a, b: a & U64_MAX > b & U64_MAX, c.BPF_JGE: lambda a, b: a & U64_MAX >= b & U64_MAX,
    c.BPF_JLT: lambda a, b: a & U64_MAX < b & U64_MAX, c.BPF_JLE: lambda a, b: a & U64_MAX <= b & U64_MAX,
    c.BPF_JSET: lambda a, b: bool(a & b)}


class End(NamedTuple):
    """The end of a path.

    Attributes:
        pc: slot of the last instruction.
        result: R0.
        deeds: what the path has done.
    """

    pc: int
    result: Value
    deeds: Deeds


class ProgramPaths:
    """All paths of a program.

    Args:
        judged: the program.
        owns_packet: whether its first argument is a packet that it owns.
        maybe_null: the arguments that may be NULL, from 0.

    Attributes:
        ends: their ends; incomplete if there are too many paths.
        null_reads: slots that read through an argument that may be NULL; a test for NULL does not help.
        kept: slots that write the packet's address to memory.
    """

    def __init__(self, judged: MemberProgram, *, owns_packet: bool = False, maybe_null: tuple[int, ...] = ()) -> None:
        self._judged = judged
        self._insns = judged.program.insns
        self._owns_packet = owns_packet
        self._maybe_null = maybe_null
        self._targets = self._joins()
        self.ends: set[End] = set()
        self.null_reads: set[int] = set()
        self.kept: set[int] = set()
        self._walk()

    def _joins(self) -> set[int]:
        return {pc + 1 + (insn.imm if insn.code == c.BPF_JMP32 | c.BPF_JA else insn.off)
                for pc, insn in enumerate(self._insns) if insn.code & 7 in (c.BPF_JMP, c.BPF_JMP32)}

    def _walk(self) -> None:
        start = PathState(0, (UNKNOWN, Value("ctx"), *[UNKNOWN] * 8), frozenset(), (), Deeds())
        pending, seen = [start], {start}
        for _ in range(_BUDGET):
            if not pending:
                return
            for state in self._step(pending.pop()):
                if state.pc in self._targets:
                    if state in seen:
                        continue
                    seen.add(state)
                pending.append(state)

    def _step(self, state: PathState) -> Iterator[PathState]:
        insn = self._insns[state.pc]
        kind = insn.code & 7
        if insn.is_ld_imm64:
            value = const(insn.imm) if not insn.src else Value("unknown", state.pc, nonzero=True)
            yield state.forgotten(state.pc).put(insn.dst, value)._replace(pc=state.pc + 2)
        elif kind in (c.BPF_ALU, c.BPF_ALU64):
            yield self._arithmetic(state, insn)._replace(pc=state.pc + 1)
        elif kind == c.BPF_LDX:
            yield self._load(state, insn)._replace(pc=state.pc + 1)
        elif kind in (c.BPF_ST, c.BPF_STX):
            yield self._store(state, insn)._replace(pc=state.pc + 1)
        elif insn.code == c.BPF_JMP | c.BPF_CALL:
            yield from self._call(state, insn)
        elif insn.code == c.BPF_JMP | c.BPF_EXIT:
            yield from self._exit(state)
        elif kind in (c.BPF_JMP, c.BPF_JMP32):
            yield from self._branch(state, insn)
        else:
            yield state._replace(pc=state.pc + 1)

    # ---- values -------------------------------------------------------------------------------------------

    def _arithmetic(self, state: PathState, insn: Insn) -> PathState:
        operation = insn.code & 0xF0
        other = state.reg(insn.src) if insn.code & c.BPF_X else const(insn.imm)
        mine = state.reg(insn.dst)
        wide = insn.code & 7 == c.BPF_ALU64
        if operation == c.BPF_MOV:
            return state.put(insn.dst, other if wide or other.kind in ("const", "unknown") else derived(other))
        if operation in _FOLDED and mine.kind == other.kind == "const":
            return state.put(insn.dst, computed(_FOLDED[operation](mine.n, other.n)))
        if mine.kind == "frame" and other.kind == "const" and operation in (c.BPF_ADD, c.BPF_SUB):
            return state.put(insn.dst, mine._replace(n=_FOLDED[operation](mine.n, other.n)))
        if mine.kind == "argument" and other.kind == "const":
            return state.put(insn.dst, mine)
        return state.put(insn.dst, derived(mine, other))

    def _load(self, state: PathState, insn: Insn) -> PathState:
        base = state.reg(insn.src)
        size = c.SIZE_BYTES[insn.code & 0x18]
        state = state.forgotten(state.pc)
        if base.kind == "ctx":
            index = insn.off // 8
            given = Value("packet") if self._owns_packet and not index else \
                Value("argument", index, nonzero=True)  # as the verifier sees it, which removes tests for NULL
            return state.put(insn.dst, given)
        if base.kind == "frame":
            found = dict(state.stack).get((base.depth, base.n + insn.off)) if size == 8 else None
            return state.put(insn.dst, found if found is not None else UNKNOWN)
        if base.kind == "argument" and base.n in self._maybe_null:
            self.null_reads.add(state.pc)
        tags = {PACKET} if base.kind == "packet" or PACKET in base.tags else {STATE}
        return state.put(insn.dst, Value("unknown", state.pc, tags=frozenset(tags)))

    def _store(self, state: PathState, insn: Insn) -> PathState:
        base, size = state.reg(insn.dst), c.SIZE_BYTES[insn.code & 0x18]
        if insn.code & 0xE0 == c.BPF_ATOMIC:
            return state.put(0 if insn.imm == 0xF1 else insn.src, Value("unknown", tags=frozenset({STATE}))) \
                if insn.imm & 1 else state
        value = state.reg(insn.src) if insn.code & 7 == c.BPF_STX else const(insn.imm)
        if base.kind != "frame":
            if value.kind == "packet":
                self.kept.add(state.pc)
            return state
        at = base.n + insn.off
        stack = {place: item for place, item in state.stack
                 if place[0] != base.depth or place[1] >= at + size or place[1] + 8 <= at}
        if size == 8:
            stack[base.depth, at] = value
        return state._replace(stack=frozenset(stack.items()))

    # ---- branches and calls -------------------------------------------------------------------------------

    def _branch(self, state: PathState, insn: Insn) -> Iterator[PathState]:
        operation = insn.code & 0xF0
        long = insn.code == c.BPF_JMP32 | c.BPF_JA
        there = state.pc + 1 + (insn.imm if long else insn.off)
        if operation == c.BPF_JA:
            yield state._replace(pc=there)
            return
        mine = state.reg(insn.dst)
        other = state.reg(insn.src) if insn.code & c.BPF_X else const(insn.imm)
        taken = _decide(operation, mine, other)
        tags = mine.tags | other.tags
        deeds = state.deeds._replace(tested=state.deeds.tested or STATE in tags,
                                     waited=state.pc if TIME in tags else state.deeds.waited)
        state = state._replace(deeds=deeds)
        for outcome, pc in ((True, there), (False, state.pc + 1)):
            if taken in (None, outcome):
                yield _refined(state, operation, outcome, mine, other)._replace(pc=pc)

    def _call(self, state: PathState, insn: Insn) -> Iterator[PathState]:
        if insn.src == c.BPF_PSEUDO_CALL:
            if len(state.frames) < _DEEPEST:
                frame = (state.pc + 1, state.regs[6:])
                yield state._replace(pc=state.pc + 1 + insn.imm, frames=(*state.frames, frame))
            return
        judged = self._judged
        name, role, flags = judged.called(insn)
        if role == "throw":
            return
        deeds = _after(state, name, role, flags)
        tags = {TIME} if name in _TIME_HELPERS else {STATE} if name.startswith("map_") else set()
        state = _written(state).forgotten(state.pc)
        regs = (Value("unknown", state.pc, tags=frozenset(tags)), *[UNKNOWN] * 5, *state.regs[6:])
        yield state._replace(pc=state.pc + 1, regs=regs, deeds=deeds)

    def _exit(self, state: PathState) -> Iterator[PathState]:
        if not state.frames:
            self.ends.add(End(state.pc, state.regs[0], state.deeds))
            return
        back, saved = state.frames[-1]
        depth = len(state.frames)
        yield state._replace(pc=back, regs=(state.regs[0], *[UNKNOWN] * 5, *saved), frames=state.frames[:-1],
                             stack=frozenset((at, item) for at, item in state.stack if at[0] != depth))


def _decide(operation: int, mine: Value, other: Value) -> bool | None:
    """Return whether a branch is taken, None if both ways are possible."""
    if mine.kind == other.kind == "const":
        return _DECIDED[operation](mine.n, other.n) if operation in _DECIDED else None
    sure = mine.nonzero or mine.kind in ("packet", "frame", "ctx")
    if sure and other == const(0) and operation in (c.BPF_JEQ, c.BPF_JNE):
        return operation == c.BPF_JNE
    return None


def _refined(state: PathState, operation: int, outcome: bool, mine: Value, other: Value) -> PathState:
    """Return the state on one side of a branch."""
    if operation not in (c.BPF_JEQ, c.BPF_JNE) or other.kind != "const":
        return state
    if outcome == (operation == c.BPF_JEQ):
        return state.replaced(mine, other)
    return state.replaced(mine, mine._replace(nonzero=True)) if not other.n else state


def _after(state: PathState, name: str, role: str, flags: tuple[str, ...]) -> Deeds:
    """Return what a path has done after a call."""
    deeds = state.deeds
    given = state.regs[2] if role == "kptr_xchg" else state.regs[1]
    takes = role in ("graph_take", "kptr_xchg", "loop", "walk_map", "tail_call")
    if takes:
        deeds = deeds._replace(waited=-1)
    if role != "kptr_xchg" and "release" not in flags:
        return deeds._replace(others=deeds.others or (takes and deeds.fate == "stored"))
    if deeds.fate != "own":
        return deeds._replace(others=deeds.others or role != "kptr_xchg")
    if given.kind == "packet":
        return deeds._replace(fate="stored" if role == "kptr_xchg" else "dropped", at=state.pc)
    unsure = given.kind == "unknown" and given.n < 0
    return deeds._replace(fate="unsure") if unsure else deeds


def _written(state: PathState) -> PathState:
    """Return the state after a call that may have written to the frames that it was given."""
    given = [item for item in state.regs[1:6] if item.kind == "frame"]
    if not given:
        return state
    return state._replace(stack=frozenset(
        (at, UNKNOWN if item.kind == "const" and any(at[0] == to.depth and at[1] >= to.n for to in given) else item)
        for at, item in state.stack))
