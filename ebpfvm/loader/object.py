"""The contents of an object file, as pure data that no dialect has interpreted yet.

Numbers of map types, program types and helpers have different meanings in different kernels (32 is the RFC's rbtree
and mainline's cgroup storage), so names and raw numbers are kept as they are in the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm import checked
from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.isa.insn import Insn, decode
from ebpfvm.lazy_dataclasses import dataclass, field, replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.btf.types import Btf
    from ebpfvm.errors import LoadError



@dataclass(frozen=True, slots=True)
class MapSpec:
    """The definition of a map.

    Attributes:
        type: the kernel's name in lower case without prefix ("array", "hash", "rbtree"), or the raw number as in the
            object; a dialect resolves either.
        key_size, value_size: sizes in bytes.
        max_entries: as in bpf(2).
        map_flags: BPF_F_* bits.
        name: as in the object; may be empty.
        map_extra: as in bpf(2).
        btf: the BTF whose type ids `key_type` and `value_type` are (None without BTF).
        key_type, value_type: BTF type ids, 0 for none. Special fields (kptr, spin lock, ...) are found through
            `value_type`.
        inner: template of the inner map of a map-in-map.
        init: initial elements of a prog array or map-in-map: slot -> name of a program or map.
        data: initial value of an internal map (.data, .rodata); None for other maps. `.bss` and other
            contents that only a header claims are not allocated here.
        pinning: LIBBPF_PIN_* number.
        numa_node: as in bpf(2).
    """

    type: str | int
    key_size: int = 0
    value_size: int = 0
    max_entries: int = 0
    map_flags: int = 0
    name: str = ""
    map_extra: int = 0
    btf: Btf | None = None
    key_type: int = 0
    value_type: int = 0
    inner: MapSpec | None = None
    init: Mapping[int, str] = field(default_factory=dict)
    data: bytes | None = None
    pinning: int = 0
    numa_node: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.type, bool) or not isinstance(self.type, str | int):
            raise checked.wrong("type", "a map type's name or number", self.type)
        for name in ("key_size", "value_size", "max_entries", "map_flags"):
            checked.whole(name, getattr(self, name), 0, U32_MAX)
        checked.word("name", self.name)


@dataclass(frozen=True, slots=True)
class FuncInfo:
    """A func_info record: the subprogram that starts at slot `insn_off` is the BTF function `type_id`."""

    insn_off: int
    type_id: int


@dataclass(frozen=True, slots=True)
class LineInfo:
    """A line_info record, resolved: the C line that produced the code from slot `insn_off` on.

    Attributes:
        text: the line without the blanks around it.
        column: place of the expression in the whole line, from 1; 0 if it is not known.
        indent: the blanks before `text`.
    """

    insn_off: int
    file: str
    text: str
    line: int
    column: int
    indent: str = ""

    @property
    def at(self) -> int:
        """The place of the expression in `text`, from 0; -1 if it is not known."""
        return self.column - 1 - len(self.indent)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class CoreRelo:
    """A CO-RE relocation record of BTF.ext, with the access string resolved."""

    insn_off: int
    type_id: int
    access: str
    kind: int


@dataclass(slots=True, eq=False)
class Home:
    """The origin of a program: its object, which is created after it."""

    object: Object | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """One program, linked with the static subprograms that it reaches, as a kernel receives it.

    Attributes:
        name: the entry function.
        insns: the slots. The imm of a 64-bit immediate load with src_reg 1 or 2 is an index in `maps`, and with src_reg
            3 a key of `ksyms`; the imm of a call with src_reg 2 is a key of `kfuncs`, where 0 is a weak extern that
            nothing resolved.
        type: program type, by the kernel's name in lower case ("sched_cls", "xdp", "qdisc"), a raw number, or "" if the
            section name implies none; a dialect resolves it.
        section: the section's name as in the object ("tc", "sch_bpf/enqueue").
        attach: what the section name adds to the type ("enqueue", "ingress", "cgroup/connect4"), or "".
        license: the object's license string, "" for none.
        btf: types of the object, or None.
        func_info, line_info: sorted by slot; empty without BTF.ext.
        func_names: start slot of a subprogram -> symbol name, for objects without BTF.
        sleepable: whether the section name requests a sleepable program (`.s`).
        flags: BPF_F_* program load flags (strict alignment, ...).
        struct_ops: (struct name, member name) for a struct_ops program.
        path: file that the object was read from, for messages.
        attach_type: the kernel's expected attach type that the section name implies, in lower case without BPF_
            ("cgroup_inet4_connect", "tcx_ingress"), "" for none.
        autoload: False if the section name begins with "?": the program is only loaded on demand.
        weak: the names in `kfuncs`, `ksyms` and the map `.kconfig` that a kernel may lack.
        config: given values of `__kconfig` variables; the others come from the kernel.
        home: the object that the program comes from, which has the maps and programs that its maps hold.
    """

    name: str
    insns: tuple[Insn, ...]
    type: str | int = ""
    section: str = ""
    attach: str = ""
    license: str = ""
    maps: tuple[MapSpec, ...] = ()
    kfuncs: Mapping[int, str] = field(default_factory=dict)
    ksyms: Mapping[int, str] = field(default_factory=dict)
    btf: Btf | None = None
    func_info: tuple[FuncInfo, ...] = ()
    line_info: tuple[LineInfo, ...] = ()
    core_relos: tuple[CoreRelo, ...] = ()
    func_names: Mapping[int, str] = field(default_factory=dict)
    sleepable: bool = False
    flags: int = 0
    struct_ops: tuple[str, str] | None = None
    path: str = ""
    attach_type: str = ""
    autoload: bool = True
    weak: frozenset[str] = frozenset()
    config: Mapping[str, int | str] = field(default_factory=dict)
    home: Home = field(default_factory=Home, repr=False, compare=False)

    @classmethod
    def from_bytes(cls, code: bytes, type: str | int, maps: Sequence[MapSpec] = (), *, name: str = "prog",
                   license: str = "GPL", flags: int = 0, attach: str = "") -> Program:
        """Return a program of raw instruction bytes; a 64-bit immediate load with src_reg 1 refers to a map by index.

        Raises:
            UsageError: `code` is empty or not a whole number of slots, or an argument has a wrong type.
        """
        code = checked.raw("code", code)
        if isinstance(type, bool) or not isinstance(type, str | int):
            raise checked.wrong("type", "a program type's name or number", type)
        for index, spec in enumerate(maps):
            checked.instance(f"maps[{index}]", spec, MapSpec, "a MapSpec")
        for argument, text in (("name", name), ("license", license), ("attach", attach)):
            checked.word(argument, text)
        checked.whole("flags", flags, 0, U32_MAX)
        if not code or len(code) % 8:
            raise UsageError(f"a program is a whole number of 8-byte instructions, at least one; got {len(code)} bytes")
        return cls(name=name, insns=decode(code), type=type, maps=tuple(maps), license=license, flags=flags,
                   attach=attach)

    def function_at(self, pc: int) -> tuple[int, str]:
        """Return slot and name of the function that slot `pc` belongs to."""
        start = max((start for start in self.func_names if start <= pc), default=0)
        return start, self.func_names.get(start, self.name)

    def line_at(self, pc: int) -> LineInfo | None:
        """Return the C line that slot `pc` came from, or None."""
        found = None
        for record in self.line_info:
            if record.insn_off > pc:
                break
            found = record
        return found

    def with_type(self, type: str | int, attach: str | None = None) -> Program:
        """Return the same program with another type, for objects whose section names imply none."""
        return replace(self, type=type, attach=self.attach if attach is None else attach)


@dataclass(frozen=True, slots=True)
class StructOps:
    """A variable of a `.struct_ops` section: the programs that its members hold, and its other bytes.

    `autocreate` is False if the section name begins with "?".
    """

    name: str
    struct: str
    members: Mapping[str, str]
    data: bytes
    link: bool
    autocreate: bool = True


@dataclass(frozen=True, slots=True)
class Object:
    """The contents of an object file.

    Attributes:
        programs: name -> program, in file order.
        maps: name -> map, in file order (including the internal maps `.data`, `.rodata`, `.bss`).
        notes: assumptions that the loader made about an unusual object, one sentence each.
        broken: name -> error, for programs that could not be read and are therefore not in `programs`.
    """

    path: str
    programs: Mapping[str, Program]
    maps: Mapping[str, MapSpec]
    license: str
    btf: Btf | None
    struct_ops: tuple[StructOps, ...] = ()
    notes: tuple[str, ...] = ()
    broken: Mapping[str, LoadError] = field(default_factory=dict)

    def at_home(self) -> Object:
        """Return the same object with programs that refer to it."""
        home = Home()
        programs = {name: replace(program, home=home) for name, program in self.programs.items()}
        home.object = replace(self, programs=programs)
        return home.object

    def program(self, name: str) -> Program:
        """Return the program of a name, or of a member that only one program fills.

        Raises:
            LoadError: the program could not be read.
            UsageError: there is no such program.
        """
        if name not in self.programs and name not in self.broken:
            filled = {ops.members[name] for ops in self.struct_ops if name in ops.members}
            if len(filled) != 1:
                several = f", and its structs fill member {name} with {', '.join(sorted(filled))}" if filled else ""
                raise UsageError(f"{self.path or 'the object'}: no program {name!r}; it has: "
                                 f"{', '.join([*self.programs, *self.broken]) or 'none'}{several}")
            (name,) = filled
        if name in self.broken:
            raise self.broken[name]
        return self.programs[name]
