"""What a function does to the stack where it is called from one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpfvm.verifier.machine.env import Subprog

ALL = (1 << 128) - 1


class Instance:
    """A function as it is called at one place and depth, with its effects on its own and its callers' frames.

    Attributes:
        callsite: slot of the call; the start of the function if nothing called it.
        reads, writes: frame -> slot -> half slots that may be read, and that are certainly written.
        live: frame -> half slots that are read later, before each slot of the function.
    """

    __slots__ = ("callsite", "depth", "live", "reads", "solved", "subprog", "writes")

    def __init__(self, callsite: int, depth: int, subprog: Subprog) -> None:
        self.callsite = callsite
        self.depth = depth
        self.subprog = subprog
        self.reads: dict[int, dict[int, int]] = {}
        self.writes: dict[int, dict[int, int]] = {}
        self.live: dict[int, list[int]] = {}
        self.solved = False

    def read(self, frame: int, pc: int, mask: int) -> None:
        """Record that half slots of a frame may be read at `pc`."""
        if mask:
            at = self.reads.setdefault(frame, {})
            at[pc] = at.get(pc, 0) | mask & ALL

    def write(self, frame: int, pc: int, mask: int) -> None:
        """Record that half slots of a frame are overwritten at `pc`."""
        if mask:
            at = self.writes.setdefault(frame, {})
            at[pc] = at.get(pc, 0) | mask & ALL

    def before(self, frame: int, pc: int) -> int:
        """Return the half slots of a frame that are live before `pc`."""
        live = self.live.get(frame)
        return live[pc - self.subprog.start] if live is not None else 0

    def merge(self, other: Instance) -> None:
        """Merge the result of the same call with other arguments."""
        for frame, reads in other.reads.items():
            for pc, mask in reads.items():
                self.read(frame, pc, mask)
        for frame, writes in self.writes.items():
            others = other.writes.get(frame, {})
            self.writes[frame] = {pc: mask & others.get(pc, 0) for pc, mask in writes.items()}

    def solve(self, after: list[tuple[int, ...]], order: list[int]) -> None:
        """Compute `live` (update_instance)."""
        self.solved = True
        start, size = self.subprog.start, self.subprog.end - self.subprog.start
        # Reads by exit itself do not count: it has no successors, and the kernel leaves it out.
        inner = [pc for pc in order if after[pc]]
        for frame, reads in self.reads.items():
            writes = self.writes.get(frame, {})
            live = self.live.setdefault(frame, [0] * size)
            changed = True
            while changed:
                changed = False
                for pc in inner:
                    mask = 0
                    for target in after[pc]:
                        mask |= live[target - start]
                    if pc in writes:
                        mask &= ~writes[pc]
                    if pc in reads:
                        mask |= reads[pc]
                    if mask != live[pc - start]:
                        live[pc - start] = mask
                        changed = True
