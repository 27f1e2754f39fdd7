"""The frames whose stacks a value may point into, and where: values of the pass before the walk.

Source: arg_track of kernel/bpf/liveness.c, Linux 7.2. A track is None (not a pointer into a stack), a frame with up to
four offsets from its frame pointer (none: any offset), or `(MIXED, mask)`: any offset in any of the frames of the mask.
Frames are numbered from the function that a call chain starts with. Spill slots hold tracks too, so that a pointer is
followed through memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ebpfvm.isa import codes as c

if TYPE_CHECKING:
    from ebpfvm.isa.insn import Insn

Track = tuple[int, Any] | None
Slots = dict[int, Track]
"""Spill slots of a frame that hold a track, 0 for fp-8."""

MIXED = -1
MOST = 4
_CALL = c.BPF_JMP | c.BPF_CALL
_ZERO = (0,)


def text(track: Track) -> str:
    """Return a track as the log prints it: `_`, `IMP3`, `fp0 ?`, `fp0-16|fp0-8`."""
    if track is None:
        return "_"
    frame, offsets = track
    if frame == MIXED:
        return f"IMP{offsets:x}"
    return "|".join(f"fp{frame}{off:+d}" for off in offsets) if offsets else f"fp{frame} ?"


def _mixed(a: Track, b: Track) -> Track:
    mask = 0
    for track in (a, b):
        if track is not None:
            mask |= track[1] if track[0] == MIXED else 1 << track[0]
    return (MIXED, mask)


def _merge(frame: int, a: tuple[int, ...], b: tuple[int, ...]) -> Track:
    offsets = tuple(sorted({*a, *b}))
    return (frame, offsets if len(offsets) <= MOST else ())


def join(a: Track, b: Track) -> Track:
    """Return what a value may be where two paths meet."""
    if a == b:
        return a
    if a is None or b is None:
        one = a or b
        assert one is not None
        # With 0 as a second offset, the offset no longer counts as certain: a write there need not overwrite the slot.
        return _merge(one[0], one[1], _ZERO) if one[0] != MIXED and len(one[1]) == 1 else one
    if a[0] == b[0] != MIXED:
        return _merge(a[0], a[1], b[1]) if a[1] and b[1] else (a[0], ())
    return _mixed(a, b)


def shifted(off: int, by: int) -> int | None:
    """Return the sum of an offset and a constant, None beyond 16 bits."""
    total = off + by
    return total if -(1 << 15) <= by < 1 << 15 and -(1 << 15) <= total < 1 << 15 else None


def _moved(track: Track, by: int) -> Track:
    if track is None or track[0] == MIXED:
        return track
    offsets = [shifted(off, by) for off in track[1]]
    return (track[0], () if None in offsets else tuple(offsets))


def _mixed_alu(a: Track, b: Track) -> Track:
    if a is not None and a[0] != MIXED and (b is None or b[0] == a[0]):
        return (a[0], ())
    if b is not None and b[0] != MIXED and a is None:
        return (b[0], ())
    return _mixed(a, b) if a is not None or b is not None else None


def slot_at(off: int) -> int | None:
    """Return the number of the spill slot at an offset from the frame pointer, None if there is none."""
    return -off // 8 - 1 if -512 <= off < 0 and not off % 8 else None


class Transfer:
    """The effect of each instruction on tracks, in a function that runs `depth` calls below the first one.

    Args:
        callers: spill slots of each calling frame at its call.
    """

    def __init__(self, depth: int, callers: list[Slots]) -> None:
        self.depth = depth
        self.callers = callers

    def step(self, insn: Insn, regs: list[Track], slots: Slots) -> None:
        """Change `regs` and `slots` as an instruction does."""
        code = insn[0]
        cls = code & 7
        if cls == c.BPF_ALU64:
            regs[insn[1]] = self._alu(insn, regs)
        elif cls == c.BPF_ALU or (cls == c.BPF_LD and code & 0xE0 == c.BPF_IMM):
            regs[insn[1]] = None
        elif code == _CALL:
            regs[0:6] = [None] * 6
        elif cls == c.BPF_LDX:
            regs[insn[1]] = self._loaded(insn, regs, slots)
        elif cls == c.BPF_STX:
            self._store(insn, regs, slots)
        elif cls == c.BPF_ST and code & 0xE0 == c.BPF_MEM and self._local(insn[1], regs):
            _overwrite(insn, regs[insn[1]], insn[1], slots)

    def _alu(self, insn: Insn, regs: list[Track]) -> Track:
        op, mine = insn.code & 0xF0, regs[insn.dst]
        if insn.code & c.BPF_X:
            other = regs[insn.src]
            if op == c.BPF_MOV:
                return None if insn.off else other
            return _mixed_alu(mine, other)
        if op == c.BPF_MOV or mine is None:
            return None
        if mine[0] == MIXED:
            return mine
        if op in (c.BPF_ADD, c.BPF_SUB):
            return _moved(mine, insn.imm if op == c.BPF_ADD else -insn.imm)
        return (mine[0], ())

    def _local(self, number: int, regs: list[Track]) -> bool:
        track = regs[number]
        if number == 10:
            return True
        return track is not None and (track[1] >> self.depth & 1 if track[0] == MIXED else track[0] == self.depth)

    def _loaded(self, insn: Insn, regs: list[Track], slots: Slots) -> Track:
        if insn.code & 0xE0 != c.BPF_MEM or insn.code & 0x18 != c.BPF_DW:
            return None
        track = regs[insn.src]
        if self._local(insn.src, regs):
            return _fill(insn, track, insn.src, slots, self.depth)
        if track is None:
            return None
        if track[0] == MIXED:
            return track
        return _fill(insn, track, insn.src, self.callers[track[0]], track[0]) if track[0] < self.depth else None

    def _store(self, insn: Insn, regs: list[Track], slots: Slots) -> None:
        local = self._local(insn.dst, regs)
        if insn.code & 0xE0 == c.BPF_MEM and local:
            _spill(insn, regs, slots)
        if insn.code & 0xE0 != c.BPF_ATOMIC:
            return
        if local and insn.imm != c.BPF_LOAD_ACQ:
            _overwrite(insn, regs[insn.dst], insn.dst, slots)
        if insn.imm == c.BPF_CMPXCHG:
            regs[0] = None
        elif insn.imm == c.BPF_LOAD_ACQ:
            regs[insn.dst] = None
        elif insn.imm & c.BPF_FETCH:
            regs[insn.src] = None


def _offsets(track: Track) -> tuple[int, ...]:
    return track[1] if track is not None and track[0] != MIXED else ()


def _fill(insn: Insn, track: Track, base: int, slots: Slots, depth: int) -> Track:
    anything: Track = (MIXED, (1 << depth + 1) - 1)
    if base == 10:
        slot = slot_at(insn.off)
        return slots.get(slot) if slot is not None else anything
    found: Track = None
    for off in _offsets(track):
        at = shifted(off, insn.off)
        slot = slot_at(at) if at is not None else None
        if slot is None:
            return anything
        found = join(found, slots.get(slot))
    return found if _offsets(track) else anything


def _put(slots: Slots, slot: int, value: Track) -> None:
    if value is None:
        slots.pop(slot, None)
    else:
        slots[slot] = value


def _spill(insn: Insn, regs: list[Track], slots: Slots) -> None:
    value = regs[insn.src] if insn.code & 0x18 == c.BPF_DW else None
    if insn.dst == 10:
        slot = slot_at(insn.off)
        if slot is not None:
            _put(slots, slot, value)
        return
    offsets = _offsets(regs[insn.dst])
    if not offsets:
        for slot in range(64) if value is not None else tuple(slots):
            _put(slots, slot, join(slots.get(slot), value))
    for off in offsets:
        at = shifted(off, insn.off)
        slot = slot_at(at) if at is not None else None
        if slot is not None:
            _put(slots, slot, value if len(offsets) == 1 else join(slots.get(slot), value))


def _overwrite(insn: Insn, track: Track, base: int, slots: Slots) -> None:
    """Write bytes that are not a pointer: what they hit is erased, or may be erased."""
    size = c.SIZE_BYTES[insn.code & 0x18]
    offsets = _ZERO if base == 10 else _offsets(track)
    starts = [shifted(off, insn.off) for off in offsets]
    known = starts[:starts.index(None)] if None in starts else starts
    for at in known:
        for slot in tuple(slots):
            assert at is not None
            if -(slot + 1) * 8 < at + size and -slot * 8 > at:
                _put(slots, slot, None if len(offsets) == 1 else join(slots[slot], None))
    if len(known) < len(starts) or not starts:
        for slot in tuple(slots):
            _put(slots, slot, join(slots[slot], None))
