"""Atoms of a function's frame: the pieces into which the edges of all accesses cut its bytes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from ebpfvm.kernel.emulated import FRAME_SIZE

if TYPE_CHECKING:
    from ebpfvm.engine.translate.flow_graph import FlowGraph
    from ebpfvm.engine.translate.ranges import Slot
    from ebpfvm.engine.translate.unit import Unit

ACCESSES: Final = ("ldx", "load_acquire", "st", "store_release", "atomic")


def direct_slots(unit: Unit, graph: FlowGraph) -> dict[Slot, tuple[Slot, ...]]:
    """Return what loads and stores relative to a frame's own pointer access, and the atoms that it consists of."""
    found: set[Slot] = set()
    for block in graph.blocks.values():
        for pc in block.pcs:
            row, insn, frame = unit.rows[pc], unit.insns[pc], unit.frame_of.get(pc)
            if pc in unit.steps or row is None or row.kind not in ACCESSES:
                continue
            base = insn.src if row.kind in ("ldx", "load_acquire") else insn.dst
            if base == (10 if frame is None else frame.fp):
                found.add((insn.off - (0 if frame is None else FRAME_SIZE * frame.origin.frame), row.width // 8))
    atoms = [(group, cut_into_atoms(group, group)) for group in groups_of(found)]
    return {(off, size): tuple(atom for atom in cut if off <= atom[0] < off + size)
            for group, cut in atoms for off, size in group}


def groups_of(areas: set[Slot]) -> list[set[Slot]]:
    """Return areas that overlap, directly or through others, as groups."""
    groups: list[set[Slot]] = []
    end = 0
    for area in sorted(areas):
        if groups and area[0] < end:
            groups[-1].add(area)
            end = max(end, area[0] + area[1])
        else:
            groups.append({area})
            end = area[0] + area[1]
    return groups


def cut_into_atoms(group: set[Slot], accesses: set[Slot]) -> list[Slot]:
    """Return the atoms of a group: between neighbouring edges, and of a size that a number can have."""
    edges = sorted({off for off, _ in group} | {off + size for off, size in group})
    atoms = []
    for start, end in itertools.pairwise(edges):
        if not any(off <= start < off + size for off, size in accesses):
            continue
        while start < end:
            size = next(size for size in (8, 4, 2, 1) if size <= end - start)
            atoms.append((start, size))
            start += size
    return atoms
