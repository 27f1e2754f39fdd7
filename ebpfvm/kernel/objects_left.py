"""Which objects of bpf_obj_new are left, who holds them, and which C lines allocate such objects.

An object is reachable as long as a list, a tree or a kptr in a map leads to it. Others are lost: no program can free
them any more, for instance because two objects own each other.

Where an object was allocated follows from the loaded programs, so recording it costs nothing at run time: they are
searched for the calls that allocate its struct. Usually there is one such line.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from ebpfvm.isa import codes as c
from ebpfvm.kernel.object_graph import AllocObject
from ebpfvm.kernel.program import LoadedProgram
from ebpfvm.kernel.refs import MEMORY
from ebpfvm.kernel.skb import SkBuff
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.kernel.emulated import Kernel

_NEW: Final = ("obj_new", "percpu_obj_new")


class AllocationSite(NamedTuple):
    """A call that allocates an object: the program, and the C line if it is known."""

    program: str
    file: str | None
    line: int | None

    def __str__(self) -> str:
        return self.program + (f" ({self.file}:{self.line})" if self.file is not None else "")


@dataclass(frozen=True, slots=True)
class ObjectsLeft:
    """Objects of one struct with the same holder.

    Attributes:
        struct: name of the struct.
        count: number of objects.
        holder: who holds them, as in "map .data.A".
        lost: whether nothing leads to them any more.
        packets: number of packets that they own.
        allocated: where objects of this struct are allocated.
    """

    struct: str
    count: int
    holder: str
    lost: bool
    packets: int
    allocated: tuple[AllocationSite, ...]

    def __str__(self) -> str:
        objects = f"{self.count} object{'s' if self.count > 1 else ''} of struct {self.struct}"
        packets = f" with {self.packets} packet{'s' if self.packets > 1 else ''}" if self.packets else ""
        state = f"lost, since nothing leads to {'them' if self.count > 1 else 'it'}" if self.lost \
            else f"held by {self.holder}"
        where = " or ".join(map(str, self.allocated))
        return f"{objects}{packets} {state}" + (f"; allocated by {where}" if where else "")

    def as_dict(self) -> dict[str, object]:
        """Return the row for JSON."""
        return {"struct": self.struct, "count": self.count, "holder": self.holder, "lost": self.lost,
                "packets": self.packets, "allocated": [site._asdict() for site in self.allocated]}


def objects_left(kernel: Kernel) -> tuple[ObjectsLeft, ...]:
    """Return the live objects of a kernel, the lost ones last."""
    live = [obj for obj in kernel.refs.live() if isinstance(obj, AllocObject)]
    reachable = _reachable(kernel, live)
    counts: Counter[tuple[bool, str, str]] = Counter()
    packets: Counter[tuple[bool, str, str]] = Counter()
    for obj in live:
        lost = obj.serial not in reachable
        key = lost, obj.type.name, "" if lost else " and ".join(dict.fromkeys(kernel.refs.names(obj)))
        counts[key] += 1
        packets[key] += sum(isinstance(obj.cells[number], SkBuff) for number in obj.type.shape.kptrs.values())
    return tuple(ObjectsLeft(key[1], counts[key], key[2], key[0], packets[key], allocation_sites(kernel, key[1]))
                 for key in sorted(counts))


def _reachable(kernel: Kernel, live: list[AllocObject]) -> set[int]:
    """Return the serial numbers of the objects to which maps lead."""
    inside = {obj.type.holder for obj in live}
    by_name = kernel.refs.by_name
    pending = [obj for obj in live if any(name not in inside and by_name[name].rank <= MEMORY
                                          for name in kernel.refs.names(obj))]
    found = {obj.serial for obj in pending}
    while pending:
        for obj in _owned(pending.pop()):
            if obj.serial not in found:
                found.add(obj.serial)
                pending.append(obj)
    return found


def _owned(obj: AllocObject) -> Iterator[AllocObject]:
    shape = obj.type.shape
    for number in shape.kptrs.values():
        if isinstance(obj.cells[number], AllocObject):
            yield obj.cells[number]
    for number in shape.roots.values():
        yield from obj.cells[number] or ()


def allocation_sites(kernel: Kernel, struct: str) -> tuple[AllocationSite, ...]:
    """Return the calls in loaded programs that allocate a struct, each C line once."""
    found: dict[AllocationSite, None] = {}
    for region in list(kernel.memory.regions.values()):
        if isinstance(region.owner, LoadedProgram):
            for pc in _allocations(region.owner, struct):
                line = region.owner.program.line_at(pc)
                found[AllocationSite(region.owner.name, line.file if line is not None else None,
                                     line.line if line is not None else None)] = None
    return tuple(found)


def _allocations(prog: LoadedProgram, struct: str) -> Iterator[int]:
    """Yield the slots at which a program allocates objects of a struct."""
    insns, btf = prog.program.insns, prog.program.btf
    for pc, insn in enumerate(insns):
        kfunc = prog.kfuncs.get(insn.imm) if insn.code == c.BPF_JMP | c.BPF_CALL and insn.src == 2 else None
        if kfunc is None or kfunc.role not in _NEW or btf is None:
            continue
        for before in range(pc - 1, -1, -1):  # the type is a constant, set shortly before the call
            setter = insns[before]
            if setter.dst == 1 and (setter.is_ld_imm64 or setter.code in (
                    c.BPF_ALU64 | c.BPF_MOV, c.BPF_ALU | c.BPF_MOV)):
                if 0 < setter.imm < len(btf) and getattr(btf[btf.resolve(setter.imm)], "name", "") == struct:
                    yield pc
                break
