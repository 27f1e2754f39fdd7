"""Link programs as the kernel receives them: an entry function with every function that it reaches.

Every program gets its own copy of the functions that it calls or whose address it takes. They are appended depth-first,
in the order in which a walk through the code meets them (`bpf_object__reloc_code`, tools/lib/bpf/libbpf.c, Linux 7.2).
The instruction that a relocation applies to determines the kind of the reference, so that the wrong relocation numbers
of old compilers do not matter.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from ebpfvm.btf.ext import CoreRecord, FuncRecord, LineRecord
from ebpfvm.errors import LoadError
from ebpfvm.ints import s32
from ebpfvm.isa.insn import Insn, decode
from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.loader.data import is_data, made_by_gcc
from ebpfvm.loader.object import CoreRelo, FuncInfo, LineInfo, MapSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ebpfvm.btf.ext import BtfExt
    from ebpfvm.loader.elf import Elf, Reloc, Section, Symbol
    from ebpfvm.loader.externs import Externs
    from ebpfvm.loader.map_definitions import MapTable

_CALL, _LD_IMM64 = 0x85, 0x18
_PSEUDO_CALL, _PSEUDO_KFUNC_CALL = 1, 2                                      # src_reg of a call
_PSEUDO_MAP_FD, _PSEUDO_MAP_VALUE, _PSEUDO_BTF_ID, _PSEUDO_FUNC = 1, 2, 3, 4   # src_reg of ld_imm64
# Sections of compilers that use features that ebpfvm does not model.
_UNMODELLED = {".addr_space.1": ("variables in an arena are", "; use a plain global variable, or a map"),
               ".jumptables": ("jump tables are", "; compile with -fno-jump-tables")}
MAX_SLOTS = 1_000_000
MAX_LINKED = 2_000_000
"""Slots and records of all programs of one object together: copies of shared functions can be many."""


@dataclass(frozen=True, slots=True)
class LinkedFunction:
    """A function of the object: slots `start` to `end` of a section."""

    name: str
    section: int
    start: int
    end: int
    bind: str = "GLOBAL"
    visibility: str = "DEFAULT"

    @property
    def place(self) -> tuple[int, int]:
        """Its identity, since names need not be unique."""
        return self.section, self.start


class Reference(NamedTuple):
    """A reference that the instruction `slot` of a function makes; the meaning of `target` depends on the kind.

    call, func: place of a `Function`. map: key of a map. data: key of a map, with `offset` into its value.
    kfunc, ksym: name of an extern.
    """

    slot: int
    kind: str
    target: str | tuple[int, int]
    offset: int = 0


@dataclass
class ObjectCode:
    """The code of an object, section by section."""

    elf: Elf
    table: MapTable
    externs: Externs
    notes: list[str]
    insns: dict[int, tuple[Insn, ...]] = field(default_factory=dict)
    functions: dict[tuple[int, int], LinkedFunction] = field(default_factory=dict)
    aliases: list[LinkedFunction] = field(default_factory=list)
    refs: dict[tuple[int, int], tuple[Reference, ...]] = field(default_factory=dict)
    assumed: set[str] = field(default_factory=set)
    values_in_place: bool = False  # instructions under relocations hold the symbol's value too (GCC)

    def refs_of(self, function: LinkedFunction) -> tuple[Reference, ...]:
        """Return the references of a function by slot; they are computed once."""
        found = self.refs.get(function.place)
        if found is None:
            found = self.refs[function.place] = tuple(_refs(self, function))
        return found


def collect_code(elf: Elf, table: MapTable, externs: Externs, notes: list[str]) -> ObjectCode:
    """Return the code of an object with all of its functions.

    Raises:
        LoadError: a code section or a function in it is damaged.
    """
    code = ObjectCode(elf, table, externs, notes, values_in_place=made_by_gcc(elf))
    for section in elf.sections:
        if not section.is_code or not section.data:
            continue
        if len(section.data) % 8:
            raise LoadError(f"{len(section.data)} bytes are not a whole number of 8-byte instructions",
                            section=section.name)
        code.insns[section.index] = decode(section.data)
        for function in _functions(elf, section, notes):
            if function.place in code.functions:
                code.aliases.append(function)
            else:
                code.functions[function.place] = function
    return code


def _functions(elf: Elf, section: Section, notes: list[str]) -> list[LinkedFunction]:
    """Return the functions of a code section in order; one without a size ends where the next one starts."""
    symbols = [s for s in elf.symbols_in(section.index) if s.type == "FUNC"]
    labels = [s for s in elf.symbols_in(section.index) if s.type == "NOTYPE" and s.bind != "LOCAL"]
    covered = {s.value for s in symbols}
    named = [s for s in labels if s.value not in covered]
    if named:
        notes.append(f"section {section.name!r}: symbols without a type are taken for functions: "
                     + ", ".join(s.name for s in named))
    if not symbols and not named:
        notes.append(f"section {section.name!r} has code but no function symbol: treated as one program")
        return [LinkedFunction(section.name, section.index, 0, len(section.data) // 8)]
    starts = sorted({s.value for s in symbols + named} | {len(section.data)})
    found = []
    for symbol in sorted(symbols + named, key=lambda s: s.value):
        following = bisect_left(starts, symbol.value + 1)
        end = symbol.value + symbol.size if symbol.size else starts[following] if following < len(starts) else 0
        if symbol.value % 8 or end % 8 or not symbol.value < end <= len(section.data):
            raise LoadError(f"the function at bytes {symbol.value:#x} to {end:#x} does not fit the section of "
                            f"{len(section.data):#x} bytes", section=section.name, offset=symbol.value,
                            symbol=symbol.name)
        found.append(LinkedFunction(symbol.name, section.index, symbol.value // 8, end // 8, symbol.bind,
                                    symbol.visibility))
    for before, after in pairwise(found):
        if before.end > after.start and (before.start, before.end) != (after.start, after.end):
            raise LoadError(f"the functions {before.name!r} and {after.name!r} overlap", section=section.name,
                            offset=after.start * 8, symbol=after.name)
    return found


# -- references -------------------------------------------------------------------------------------------------


def _refs(code: ObjectCode, function: LinkedFunction) -> Iterator[Reference]:
    """Yield the references of a function: its relocations, and calls inside its section, which need none."""
    section = code.elf.sections[function.section]
    insns = code.insns[function.section]
    relocs: dict[int, Reloc] = {}
    for reloc in code.elf.relocs_between(function.section, function.start * 8, function.end * 8):
        if reloc.offset % 8:
            raise LoadError("a relocation is not at an instruction", section=section.name, offset=reloc.offset)
        relocs[reloc.offset // 8] = reloc
    slot = function.start
    while slot < function.end:
        insn = insns[slot]
        if slot in relocs:
            yield _ref(code, section, function, slot, insn, relocs.pop(slot))
        elif insn.code == _CALL and insn.src == _PSEUDO_CALL:
            place = function.section, slot + 1 + insn.imm
            yield Reference(slot - function.start, "call", _known(code, section, slot, place))
        slot += 2 if insn.code == _LD_IMM64 else 1
    if relocs:
        at = min(relocs)
        raise LoadError("a relocation points into the second half of an instruction", section=section.name,
                        offset=at * 8, symbol=relocs[at].symbol.name)


def _ref(code: ObjectCode, section: Section, function: LinkedFunction, slot: int, insn: Insn,
         reloc: Reloc) -> Reference:
    symbol, inside = reloc.symbol, slot - function.start
    if insn.code == _LD_IMM64:
        if slot + 1 >= function.end:
            raise LoadError("a 64-bit immediate load is cut short", section=section.name, offset=slot * 8)
        offset = reloc.addend or insn.imm
        if code.values_in_place:
            offset -= symbol.value
        return _address(code, section, slot, inside, symbol, offset)
    if insn.code == _CALL:
        if symbol.section == 0:
            return Reference(inside, "kfunc", _extern(code, symbol, "call"))
        target = symbol.value // 8 + (reloc.addend // 8 if reloc.addend else insn.imm + 1)
        if code.values_in_place and symbol.type != "SECTION":
            target = symbol.value // 8  # here it is the value in bytes
        return Reference(inside, "call", _known(code, section, slot, (symbol.section, target)))
    raise LoadError(f"a relocation against {symbol.name or 'a section'!r} is at an instruction (opcode "
                    f"{insn.code:#04x}) that holds no address", section=section.name, offset=slot * 8,
                    symbol=symbol.name or None)


def _address(code: ObjectCode, section: Section, slot: int, inside: int, symbol: Symbol, offset: int) -> Reference:
    """Return the reference that a 64-bit immediate load makes."""
    if symbol.section == 0:
        if symbol.name in code.externs.kconfig:
            return Reference(inside, "data", code.externs.kconfig_map, code.externs.kconfig[symbol.name] + offset)
        return Reference(inside, "ksym", _extern(code, symbol, "address"))
    target = code.elf.sections[symbol.section] if symbol.section > 0 else None
    if target is not None and target.is_code:
        return Reference(inside, "func", _known(code, section, slot, (target.index, (symbol.value + offset) // 8)))
    if target is not None and is_data(target):
        found = code.table.at(target.index, 0)
        if found is not None:
            return Reference(inside, "data", found.key, symbol.value + offset)
    elif target is not None:
        found = code.table.at(target.index, symbol.value + offset)
        if found is not None:
            return Reference(inside, "map", found.key)
    if target is not None and target.name in _UNMODELLED:
        what, instead = _UNMODELLED[target.name]
        raise LoadError(f"{what} not supported by ebpfvm{instead}", section=section.name, offset=slot * 8,
                        symbol=symbol.name or None)
    where = "no section (a common or absolute symbol)" if target is None else f"section {target.name!r}"
    raise LoadError(f"{symbol.name or 'a local symbol'!r} is in {where}, which holds neither maps nor data that "
                    "becomes a map", section=section.name, offset=slot * 8, symbol=symbol.name or None)


def _known(code: ObjectCode, section: Section, slot: int, place: tuple[int, int]) -> tuple[int, int]:
    if place not in code.functions:
        target = code.elf.sections[place[0]].name if 0 < place[0] < len(code.elf.sections) else "no section"
        raise LoadError(f"no function starts at instruction {place[1]} of {target!r}, which is referred to here",
                        section=section.name, offset=slot * 8)
    return place


def _extern(code: ObjectCode, symbol: Symbol, use: str) -> str:
    if symbol.name not in code.externs.ids:
        raise LoadError(f"an undefined symbol without a name (or a local one) is used as {use}", symbol=symbol.name)
    if symbol.name not in code.externs.described:
        if use == "address":
            raise LoadError("nothing defines this symbol, and BTF does not describe it as an extern of the kernel "
                            "(__ksym) or its configuration (__kconfig)", symbol=symbol.name)
        if symbol.name not in code.assumed:
            code.assumed.add(symbol.name)
            code.notes.append(f"{symbol.name!r} is not defined and not described by BTF: taken for a function of the "
                              "kernel (kfunc)")
    return symbol.name


# -- one program ------------------------------------------------------------------------------------------------


@dataclass
class Linked:
    """The code of a program and its tables."""

    insns: list[Insn] = field(default_factory=list)
    maps: list[MapSpec] = field(default_factory=list)
    kfuncs: dict[int, str] = field(default_factory=dict)
    ksyms: dict[int, str] = field(default_factory=dict)
    placed: dict[tuple[int, int], int] = field(default_factory=dict)
    order: list[tuple[LinkedFunction, int]] = field(default_factory=list)
    map_index: dict[str, int] = field(default_factory=dict)


def link(code: ObjectCode, entry: LinkedFunction, also: LinkedFunction | None = None) -> Linked:
    """Link one program.

    Args:
        also: a function to append although nothing refers to it (an exception callback).

    Raises:
        LoadError: it refers to something that does not exist, or is larger than any kernel accepts.
    """
    out = Linked()
    for function in (entry, also):
        if function is not None and function.place not in out.placed:
            _append(code, out, function)
    return out


def _append(code: ObjectCode, out: Linked, function: LinkedFunction) -> None:
    """Append the function, and the functions that it reaches and that have not been appended yet."""
    stack = [(function, iter(code.refs_of(function)), _place(code, out, function))]
    while stack:
        _, refs, base = stack[-1]
        for ref in refs:
            slot = base + ref.slot
            if isinstance(ref.target, tuple):
                callee = code.functions[ref.target]
                fresh = ref.target not in out.placed
                start = _place(code, out, callee) if fresh else out.placed[ref.target]
                _patch_code(out, slot, ref, start)
                if fresh:
                    stack.append((callee, iter(code.refs_of(callee)), start))
                    break
            else:
                _patch_table(code, out, slot, ref, ref.target)
        else:
            stack.pop()


def _place(code: ObjectCode, out: Linked, function: LinkedFunction) -> int:
    start = len(out.insns)
    if start + function.end - function.start > MAX_SLOTS:
        raise LoadError(f"the program has more than {MAX_SLOTS} instructions", symbol=out.order[0][0].name)
    out.placed[function.place] = start
    out.order.append((function, start))
    out.insns.extend(code.insns[function.section][function.start:function.end])
    return start


def _patch_code(out: Linked, slot: int, ref: Reference, start: int) -> None:
    insn = out.insns[slot]
    if ref.kind == "call":
        out.insns[slot] = insn._replace(src=_PSEUDO_CALL, imm=start - slot - 1)
    else:
        out.insns[slot] = insn._replace(src=_PSEUDO_FUNC, imm=start - slot - 1)
        out.insns[slot + 1] = out.insns[slot + 1]._replace(imm=0)


def _patch_table(code: ObjectCode, out: Linked, slot: int, ref: Reference, target: str) -> None:
    insn = out.insns[slot]
    if ref.kind in ("kfunc", "ksym"):
        number = code.externs.ids[target]
        table = out.kfuncs if ref.kind == "kfunc" else out.ksyms
        table[number] = target
        src = _PSEUDO_KFUNC_CALL if ref.kind == "kfunc" else _PSEUDO_BTF_ID
        out.insns[slot] = insn._replace(src=src, imm=number)
        return
    index = out.map_index.get(target)
    if index is None:
        index = out.map_index[target] = len(out.maps)
        out.maps.append(code.table.by_key[target].spec)
    src = _PSEUDO_MAP_FD if ref.kind == "map" else _PSEUDO_MAP_VALUE
    out.insns[slot] = insn._replace(src=src, imm=index)
    out.insns[slot + 1] = out.insns[slot + 1]._replace(imm=s32(ref.offset))


# -- BTF.ext ----------------------------------------------------------------------------------------------------

_R = TypeVar("_R", FuncRecord, LineRecord, CoreRecord)


class Records:
    """The records of `.BTF.ext`, sorted, for relocation to the place where functions are linked."""

    def __init__(self, ext: BtfExt, elf: Elf) -> None:
        self._names = [section.name for section in elf.sections]
        self._func = _sorted(ext.func_info)
        self._line = _sorted(ext.line_info)
        self._core = _sorted(ext.core_relos)

    def func_info(self, linked: Linked) -> tuple[FuncInfo, ...]:
        """Return the func_info of a linked program, by slot."""
        found = {at: FuncInfo(at, record.type_id) for record, at in self._moved(self._func, linked)}
        return tuple(found.values())

    def line_info(self, linked: Linked) -> tuple[LineInfo, ...]:
        """Return the line_info of a linked program, by slot; the last of several records for one slot counts."""
        found = {at: _line_info(at, record)
                 for record, at in self._moved(self._line, linked)}
        return tuple(found.values())

    def core_relos(self, linked: Linked) -> tuple[CoreRelo, ...]:
        """Return the CO-RE records of a linked program, by slot; an instruction has at most one."""
        found = {at: CoreRelo(at, record.type_id, record.access, record.kind)
                 for record, at in self._moved(self._core, linked)}
        return tuple(found.values())

    def _moved(self, table: dict[str, list[_R]], linked: Linked) -> Iterator[tuple[_R, int]]:
        for function, base in linked.order:
            name = self._names[function.section]
            rows = table.get(name, [])
            for row in rows[bisect_left(rows, (function.start * 8,)):bisect_left(rows, (function.end * 8,))]:
                if row.offset % 8:
                    raise LoadError(f"a record for byte {row.offset:#x} of section {name!r} is not at an instruction",
                                    section=".BTF.ext")
                yield row, base + row.offset // 8 - function.start


def _sorted(table: dict[str, list[_R]]) -> dict[str, list[_R]]:
    return {section: sorted(rows, key=lambda row: row.offset) for section, rows in table.items()}


def _line_info(at: int, record: LineRecord) -> LineInfo:
    text = record.text.strip()
    indent = record.text[:record.text.find(text)] if text else ""
    return LineInfo(at, record.file, text, record.line, record.column, indent)
