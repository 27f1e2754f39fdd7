"""`load`: from a file to an `Object`."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ebpfvm import checked
from ebpfvm.btf.ext import BtfExt, parse_ext
from ebpfvm.btf.parse import parse
from ebpfvm.btf.types import Kind
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.escape import decoded
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.loader.data import collect_data, fix_btf
from ebpfvm.loader.elf import read_elf
from ebpfvm.loader.externs import collect_externs, layout_kconfig
from ebpfvm.loader.linker import MAX_LINKED, LinkedFunction, ObjectCode, Records, collect_code, link
from ebpfvm.loader.map_definitions import collect_maps, initial_elements, tail_calls
from ebpfvm.loader.object import Object, Program, StructOps
from ebpfvm.loader.sections import SectionKind, classify
from ebpfvm.loader.structops import collect_struct_ops

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf
    from ebpfvm.loader.elf import Elf, Symbol

MAX_FILE = 256 << 20


def load(source: str | os.PathLike[str] | bytes, *, name: str | None = None,
         config: Mapping[str, int | str] | None = None) -> Object:
    """Read an eBPF object file.

    Args:
        source: path of an ELF object that clang or a compatible compiler produced, or its bytes.
        name: the object's name, a prefix of the names of its data maps (default: the file name up to its first dot).
        config: values of `__kconfig` variables: numbers, "y", "n", "m", or strings. The others come from the kernel
            that verifies and runs the programs.

    Raises:
        LoadError: the file cannot be read or understood; the message says where, and what to do. A single program that
            cannot be understood is left out and reported in `Object.broken`.
        UsageError: a value of `config` does not fit its variable.

    Unlike libbpf (Linux 7.2), which refuses them, this function reads what older loaders read: legacy map definitions,
    programs without BTF, section names that imply no program type. `Object.notes` says what it assumed.
    """
    if name is not None:
        checked.word("name", name)
    if config is not None and not isinstance(config, Mapping):
        raise checked.wrong("config", "a mapping from a variable's name to its value", config)
    path, data = _read(source)
    object_name = name if name is not None else os.path.basename(path).partition(".")[0]
    try:
        return _load(data, path, object_name, config or {})
    except LoadError as error:
        error.path = error.path or path or None
        raise


def _read(source: str | os.PathLike[str] | bytes) -> tuple[str, bytes]:
    if isinstance(source, bytes | bytearray | memoryview):
        return "", bytes(source)
    if not isinstance(source, str | os.PathLike):
        raise UsageError(f"a path or bytes are needed, not {type(source).__name__}")
    path = os.fspath(source)
    try:
        with open(path, "rb") as file:
            if stat.S_ISDIR(os.fstat(file.fileno()).st_mode):
                raise IsADirectoryError(0, "is a directory")
            data = file.read(MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LoadError(f"cannot be read: {reason}", path=path) from error
    if len(data) > MAX_FILE:
        raise LoadError(f"larger than {MAX_FILE >> 20} MiB; no eBPF object is", path=path)
    return path, data


def _load(data: bytes, path: str, object_name: str, config: Mapping[str, int | str]) -> Object:
    elf = read_elf(data)
    notes = list(elf.notes)
    btf, ext = _btf(elf)
    table = collect_maps(elf, btf, notes)
    collect_data(elf, btf, object_name, table)
    externs = collect_externs(elf, btf, object_name, config, table)
    code = collect_code(elf, table, externs, notes)
    entries = _entries(code, notes)
    names = {function.place: key for key, function in reversed(entries.items())}

    def program_at(symbol: Symbol, addend: int) -> str | None:
        exact = entries.get(symbol.name)
        if exact is not None and addend == 0:
            return symbol.name
        return names.get((symbol.section, (symbol.value + addend) // 8))

    struct_ops = collect_struct_ops(elf, btf, program_at)
    initial_elements(elf, table, program_at)
    tail_calls(table, ((key, elf.sections[function.section].name) for key, function in entries.items()))
    license_ = _license(elf, notes)
    programs, broken = _programs(code, entries, ext, Program("", (), license=license_, btf=btf, path=path,
                                                             config=dict(config)))
    _bind(programs, struct_ops)
    if struct_ops and elf.section(".BTF.ext") is None:
        notes.append("the object has no .BTF.ext section, and so no CO-RE relocations: its programs access the fields "
                     "of kernel structs where the compiler found them, and no C line is known; was it stripped?")
    return Object(path, programs, {found.key: found.spec for found in table}, license_, btf, struct_ops, tuple(notes),
                  broken).at_home()


def _btf(elf: Elf) -> tuple[Btf | None, BtfExt]:
    section = elf.section(".BTF")
    if section is None or not section.data:
        return None, BtfExt()
    btf = layout_kconfig(fix_btf(elf, parse(section.data, outside=True)))
    extension = elf.section(".BTF.ext")
    return btf, parse_ext(extension.data, btf) if extension is not None and extension.data else BtfExt()


def _license(elf: Elf, notes: list[str]) -> str:
    section = elf.section("license")
    if section is None or not section.data:
        notes.append("the object has no license section: helpers and kfuncs for GPL programs only are not available")
        return ""
    return decoded(section.data.partition(b"\0")[0][:127])


# -- programs ---------------------------------------------------------------------------------------------------


def _entries(code: ObjectCode, notes: list[str]) -> dict[str, LinkedFunction]:
    """Return the functions that are programs, by name and in file order.

    Functions in `.text` (and in `.text.NAME`, where compilers put templates) are meant to be called, unless nothing
    else is a program. Static functions elsewhere are programs too (from compilers that predate global functions),
    unless something calls them.
    """
    functions = sorted([*code.functions.values(), *code.aliases], key=lambda f: f.place)
    names = {section.index: section.name for section in code.elf.sections}
    found = [f for f in functions if not _is_text(names[f.section])]
    static = [f for f in found if f.bind == "LOCAL"]
    if static:
        called = {ref.target for f in functions for ref in code.refs_of(f) if ref.kind in ("call", "func")}
        found = [f for f in found if f.bind != "LOCAL" or f.place not in called]
        static = [f for f in found if f.bind == "LOCAL"]
    if static:
        notes.append("static functions are taken for programs, which libbpf refuses: "
                     + ", ".join(f"{f.name} ({names[f.section]})" for f in static))
    if not found and functions:
        found = [f for f in functions if f.bind != "LOCAL"]
        notes.append("all functions are in .text; the global ones are taken for programs: "
                     + ", ".join(f.name for f in found))
    entries: dict[str, LinkedFunction] = {}
    for function in found:
        key = function.name
        if key in entries:
            key = f"{function.name}@{names[function.section]}"
            notes.append(f"two programs are named {function.name!r}; one is called {key!r} here")
        if key in entries:
            raise LoadError("two programs have this name", section=names[function.section], symbol=function.name)
        entries[key] = function
    return entries


def _is_text(section: str) -> bool:
    return section == ".text" or section.startswith(".text.")


def _programs(code: ObjectCode, entries: Mapping[str, LinkedFunction], ext: BtfExt,
              common: Program) -> tuple[dict[str, Program], dict[str, LoadError]]:
    """Return all programs, and the errors of those that could not be created.

    Args:
        common: attributes that all programs share.
    """
    records = Records(ext, code.elf)
    kinds: dict[str, SectionKind] = {}
    programs: dict[str, Program] = {}
    broken: dict[str, LoadError] = {}
    total = 0
    for key, function in entries.items():
        section = code.elf.sections[function.section].name
        if section not in kinds:
            kinds[section] = classify(section)
            if kinds[section].note:
                code.notes.append(kinds[section].note)
        try:
            made = _program(code, key, function, records, kinds[section], common)
        except LoadError as error:
            error.path = error.path or common.path or None
            error.symbol = error.symbol or key
            broken[key] = error
            continue
        programs[key] = made
        total += len(made.insns)
        if total > MAX_LINKED:
            raise LoadError(f"its programs have more than {MAX_LINKED} instructions together")
    return programs, broken


def _program(code: ObjectCode, name: str, function: LinkedFunction, records: Records, kind: SectionKind,
             common: Program) -> Program:
    linked = link(code, function, _exception_callback(code, function, common.btf))
    section = code.elf.sections[function.section].name
    return replace(
        common, name=name, insns=tuple(linked.insns), type=kind.type, section=section, attach=kind.attach,
        maps=tuple(linked.maps), kfuncs=linked.kfuncs, ksyms=linked.ksyms, func_info=records.func_info(linked),
        line_info=records.line_info(linked), core_relos=records.core_relos(linked),
        func_names={at: f.name for f, at in linked.order}, sleepable=kind.sleepable, flags=kind.flags,
        attach_type=kind.attach_type, autoload=kind.autoload,
        weak=code.externs.weak.intersection([*linked.kfuncs.values(), *linked.ksyms.values(), *code.externs.kconfig]))


def _exception_callback(code: ObjectCode, function: LinkedFunction, btf: Btf | None) -> LinkedFunction | None:
    """Return the function that a program's decl tag `exception_callback:NAME` names; the verifier checks the tag."""
    main = btf.find(function.name, Kind.FUNC) if btf is not None else None
    tags = btf.decl_tags(main) if btf is not None and main else ()
    names = {tag.partition(":")[2] for tag in tags if tag.startswith("exception_callback:")}
    found = [item for item in code.functions.values() if item.name in names and item.bind != "LOCAL"]
    return found[0] if len(found) == 1 else None


def _bind(programs: dict[str, Program], struct_ops: tuple[StructOps, ...]) -> None:
    """Record in each struct_ops program which member of a struct it fills."""
    for variable in struct_ops:
        for member, name in variable.members.items():
            place = (variable.struct.partition("___")[0], member)  # a flavour is for the compiler only
            if name not in programs:
                continue  # the program could not be read
            program = programs[name]
            if program.type != "struct_ops":
                raise LoadError(f"program {name!r} fills {'.'.join(place)}, but its section {program.section!r} is for "
                                "another type of program, so libbpf does not open the object; write "
                                'SEC("struct_ops")', symbol=variable.name)
            taken = program.struct_ops or place
            if taken != place:
                raise LoadError(f"program {name!r} fills {'.'.join(taken)} and {'.'.join(place)}; one program can "
                                "serve one member", symbol=variable.name)
            programs[name] = replace(program, struct_ops=place, type="struct_ops")
