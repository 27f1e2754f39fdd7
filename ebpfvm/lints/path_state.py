"""What a walk of all paths knows of a register, and of everything that a path has done."""

from __future__ import annotations

from typing import Final

from ebpfvm.ints import signed
from ebpfvm.lazy_tuples import NamedTuple

TIME: Final = "time"      # depends on the clock
STATE: Final = "state"    # depends on memory other than the packet
PACKET: Final = "packet"  # depends on the packet
_SMALL: Final = 4096      # numbers that arithmetic keeps; larger ones would unroll long loops


class Value(NamedTuple):
    """A value.

    Attributes:
        kind: "unknown", "const", "ctx", "argument", "packet" (the one that enqueue is given) or "frame".
        n: the number, the argument's index, the offset in the frame, or the slot that produced an unknown value.
        depth: number of the frame that a "frame" points to.
        nonzero: whether it is known not to be 0.
        tags: what it depends on.
    """

    kind: str
    n: int = -1
    depth: int = 0
    nonzero: bool = False
    tags: frozenset[str] = frozenset()


UNKNOWN: Final = Value("unknown")


def const(n: int) -> Value:
    """Return a number, as 64 signed bits."""
    return Value("const", signed(n, 64))


def derived(*values: Value) -> Value:
    """Return an unknown value that depends on what `values` depend on."""
    tags = frozenset().union(*(item.tags | ({PACKET} if item.kind == "packet" else set()) for item in values))
    return Value("unknown", tags=tags)


def computed(n: int) -> Value:
    """Return the result of arithmetic on numbers; large ones are forgotten."""
    return const(n) if abs(n) <= _SMALL else UNKNOWN


class Deeds(NamedTuple):
    """What a path has done.

    Attributes:
        fate: of the packet: "own", "dropped", "stored", or "unsure".
        at: slot of the call that decided it.
        tested: whether a branch depended on memory.
        waited: slot of the latest branch that depended on the time, unless a queue was asked since; otherwise -1.
        others: whether another packet or object was dropped or taken out after the packet had been stored.
    """

    fate: str = "own"
    at: int = -1
    tested: bool = False
    waited: int = -1
    others: bool = False


class PathState(NamedTuple):
    """A point of a path.

    Attributes:
        pc: the next slot.
        regs: R0 to R9.
        stack: (frame, offset) -> value of the 8 bytes there.
        frames: for each caller, the slot after the call and its R6 to R9.
        deeds: what the path has done.
    """

    pc: int
    regs: tuple[Value, ...]
    stack: frozenset[tuple[tuple[int, int], Value]]
    frames: tuple[tuple[int, tuple[Value, ...]], ...]
    deeds: Deeds

    def put(self, number: int, value: Value) -> PathState:
        """Return the state with another value in a register."""
        regs = list(self.regs)
        regs[number] = value
        return self._replace(regs=tuple(regs))

    def reg(self, number: int) -> Value:
        """Return a register; R10 is the frame."""
        return Value("frame", 0, len(self.frames)) if number == 10 else self.regs[number]

    def replaced(self, old: Value, new: Value) -> PathState:
        """Return the state with `new` wherever `old` is, which must be identified by its slot."""
        if old.n < 0 or old.kind not in ("unknown", "argument"):
            return self
        return self._replace(regs=tuple(new if item == old else item for item in self.regs),
                             stack=frozenset((at, new if item == old else item) for at, item in self.stack))

    def forgotten(self, made: int) -> PathState:
        """Return the state without knowledge of the value that slot `made` produced before."""
        if not any(item.kind == "unknown" and item.n == made for item in self.regs) and not any(
                item.kind == "unknown" and item.n == made for _, item in self.stack):
            return self
        return self._replace(
            regs=tuple(item._replace(n=-1) if item.kind == "unknown" and item.n == made else item
                       for item in self.regs),
            stack=frozenset((at, item._replace(n=-1) if item.kind == "unknown" and item.n == made else item)
                            for at, item in self.stack))
