"""Calls in members that a fused run replaces by what they usually do: exchanges of slots, and the flow hash.

A slot of a global variable that only bpf_kptr_xchg uses is a variable of the function, which is written back wherever
the function writes its state back.
"""

from __future__ import annotations

import re
from operator import length_hint
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.engine.translate.statements import assign, effect
from ebpfvm.kernel.memory import PacketSlot
from ebpfvm.kernel.object_graph import AllocObject
from ebpfvm.kernel.object_sorting import inserter, spender
from ebpfvm.kernel.refs import MEMORY
from ebpfvm.sched.fused.member_form import looks_at_memory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ebpfvm.engine.translate.statements import BlockCode, Stmt
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.kernel.object_graph import Graph
    from ebpfvm.kernel.object_types import ObjectType

Code = dict[int, "BlockCode"]

_SWAP: Final = re.compile(r"SWAP\(SLOT(\d+)_[ed], (\d+), (\w+) or None\)")
_NAMED: Final = re.compile(r"\b(?:SLOT|[VD])(\d+)(?:_\w+)?\b")
_KEYS: Final = re.compile(r"ADD_BY_(\d+)_")
_HASH: Final = re.compile(r"HASH_e\(ENV_e, o_skb\)")


class ObjectCalls:
    """Replaces calls.

    Args:
        kernel: the kernel.
        members: the blocks of the members.
        one_flow_hash: whether the packets of a flow have one hash.
    """

    def __init__(self, kernel: Kernel, members: Iterable[Code], one_flow_hash: bool) -> None:
        self._kernel, self._same_hash = kernel, one_flow_hash
        texts = [text for code in members for block in code.values()
                 for text in (*(line.value for line in block.lines), block.condition)]
        self._slots: set[tuple[int, int]] = set()
        if not any(map(looks_at_memory, texts)):
            self._slots = {(int(found[1]), int(found[2])) for text in texts if (found := _SWAP.fullmatch(text))}
            rest = " ".join(_SWAP.sub("", text) for text in texts)
            others = {int(number) for number in _NAMED.findall(rest)}
            self._slots = {slot for slot in self._slots if slot[0] not in others}
        self.names: dict[str, Any] = {f"REGION{number}": kernel.memory.regions[number] for number, _ in self._slots}
        self.names |= {"HELD": self.held, "HOLD": self.hold} if self._slots else {}
        for key in {int(key) for text in texts for key in _KEYS.findall(text)}:
            self.names |= {f"SORT_{key}": inserter(key), f"SPEND_{key}": spender(key), "HINT": length_hint}

    @property
    def saved(self) -> str:
        """Statements that write the slots back, each followed by a semicolon."""
        return "".join(f"HOLD(REGION{number}, {off}, K{number}_{off}); " for number, off in sorted(self._slots))

    @property
    def loaded(self) -> str:
        """Statements that read them again, each after a semicolon."""
        return "".join(f"; K{number}_{off} = HELD(REGION{number}, {off})" for number, off in sorted(self._slots))

    def held(self, region: Region, off: int) -> Any:
        """Return the object that a slot holds, or None."""
        pointer = int.from_bytes(region.data[off:off + 8], "little")
        held = region.held if isinstance(region, PacketSlot) else None
        return None if not pointer else held if held is not None and held.address == pointer else \
            self._kernel.memory.owner(pointer)

    @staticmethod
    def hold(region: Region, off: int, held: Any) -> None:
        """Let a slot hold an object, or None."""
        single = isinstance(region, PacketSlot)
        pointer = 0 if held is None else (held.address or held.locate()) if single else held.ptr
        if single:
            region.held = held  # type: ignore[attr-defined]
        region.data[off:off + 8] = pointer.to_bytes(8, "little")

    def replaced(self, code: Code) -> Code:
        """Return the blocks of a member."""
        return {start: block._replace(lines=[new for line in block.lines for new in self._line(line)])
                for start, block in code.items()}

    def _line(self, line: Stmt) -> list[Stmt]:
        swap = _SWAP.fullmatch(line.value)
        if swap is not None and (int(swap[1]), int(swap[2])) in self._slots:
            return self._swap(line, int(swap[1]), int(swap[2]), swap[3])
        if self._same_hash and line.writes and _HASH.fullmatch(line.value):
            known = f"o_skb.hash = flow.hashed[2] if flow.hashed else {line.value}"
            return [effect(known, line.pc), assign(line.writes, "o_skb.hash", line.pc)]
        return [line]

    def _swap(self, line: Stmt, number: int, off: int, new: str) -> list[Stmt]:
        """Return what `emit_graph` makes of an exchange of a cell."""
        name = self._kernel.memory.regions[number].name
        moved, slot, old = self._kernel.refs.holder(name, MEMORY).moved, f"K{number}_{off}", f"t_{line.pc}_old"
        out = [assign(old, slot, line.pc)._replace(pure=False),
               effect(f"if {old} is not None: {old}.refs -= {moved:#x}; REFS.held += 1", line.pc)]
        if new != "None":
            out.append(effect(f"if {new}: {new}.refs += {moved:#x}; REFS.held -= 1", line.pc))
        out.append(effect(f"{slot} = {new if new == 'None' else f'{new} or None'}", line.pc))
        return [*out, assign(line.writes or "r0", old, line.pc)]


def class_of(kind: ObjectType, graph: Graph) -> type[AllocObject]:
    """Return a class of objects of one type."""
    return type("AllocObject", (AllocObject,), {"__slots__": (), "__module__": AllocObject.__module__, "type": kind,
                                                "graph": graph})
