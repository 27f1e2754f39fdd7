"""A loaded program, a `Program` whose names and numbers are bound to what a kernel has, and the engine interface.

Programs, maps and qdiscs use engines only through the protocols here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ebpfvm.btf.types import Kind
from ebpfvm.contract.ops import PROBES
from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ebpfvm.contract.helper import Helper
    from ebpfvm.contract.kfunc import Kfunc
    from ebpfvm.contract.progtype import ProgType
    from ebpfvm.kernel.emulated import Kernel
    from ebpfvm.kernel.memory import Region
    from ebpfvm.loader.object import Program


class Thrown(Exception):
    """Raised by bpf_throw: it ends the running program from any depth of its own functions.

    Attributes:
        cookie: argument of the program's exception callback, or the program's result if it has none.
    """

    def __init__(self, cookie: int) -> None:
        super().__init__(cookie)
        self.cookie = cookie


class LoadedProgram:
    """A program as an engine runs it.

    Args:
        kernel: the kernel that it is loaded in.
        program: the program.
        maps: the map objects of `program.maps`, by index.
        type: its program type (default: that of `program.type` in the kernel's dialect, None if that is "").
        facts: the verifier's facts about it, None if it is unverified. Only verified programs are translated.

    Attributes:
        helpers: number -> helper.
        kfuncs: index in `program.kfuncs` -> kfunc; those that the dialect lacks are missing.
        func_base: `func_base + slot` is the address of the function that starts at `slot`.
        runnable: set by the engine that loaded it.
        catches: slot of the function that receives what bpf_throw throws, 0 for none.
        id: unique in its kernel.
        probes: slots of loads that yield 0 where nothing can be read.

    Raises:
        UsageError: the number of maps is wrong, or the dialect has no such program type.
    """

    def __init__(self, kernel: Kernel, program: Program, maps: Sequence[Any] = (), *,
                 type: ProgType | None = None, facts: Any = None) -> None:
        if len(maps) != len(program.maps):
            raise UsageError(f"program {program.name} uses {len(program.maps)} maps, got {len(maps)}")
        if program.core_relos:
            raise UsageError(f"program {program.name} has CO-RE relocations that nothing applied; load what "
                             "ebpfvm.loading.prepare() makes of it")
        dialect = kernel.dialect
        self.kernel = kernel
        self.program = program
        self.maps = tuple(maps)
        self.type = type if type is not None or program.type == "" else dialect.rules_for(
            program.type, program.struct_ops)
        self.facts = facts
        self.probes: frozenset[int] = (facts or {}).get(PROBES, frozenset())
        self.helpers: Mapping[int, Helper] = _helpers(dialect.helpers, self.type)
        self.kfuncs: dict[int, Kfunc] = {index: dialect.kfuncs[name] for index, name in program.kfuncs.items()
                                         if name in dialect.kfuncs}
        region = kernel.memory.add("func", b"", name=program.name, writable=False, owner=self)
        self.region = region
        self.id = region.id
        self.func_base = region.base
        self.runnable: Runnable | None = None
        self.catches = _exception_callback(program)

    @property
    def name(self) -> str:
        """The name of the entry function."""
        return self.program.name

    @property
    def verified(self) -> bool:
        """Whether the verifier accepted the program."""
        return self.facts is not None

    def lacks(self, name: str) -> bool:
        """Return whether a symbol is a weak function that this kernel does not have."""
        btf = self.program.btf
        weak = name in self.program.weak and self.kernel.dialect.lacks_kfunc(name)
        return weak and btf is not None and btf.find(name, Kind.FUNC) is not None

    def __repr__(self) -> str:
        return f"<LoadedProgram {self.name} id={self.id}>"


class Context(Protocol):
    """What a program runs on: R1 is the address of its region."""

    @property
    def region(self) -> Region:
        """The memory of the context."""


class Runnable(Protocol):
    """A program in an engine, ready to run."""

    prog: LoadedProgram

    def __call__(self, ctx: Context) -> int:
        """Run the program and return r0 as unsigned 64 bits.

        Raises:
            Fault: it did something that would crash a kernel, or ended while it held a reference.
        """

    def tail(self, ctx: Context) -> int:
        """Run the program in place of a running one (a tail call); the caller checks the limit and the references."""

    def callback(self, pc: int, args: tuple[int, ...]) -> int:
        """Call the function that starts at slot `pc` with up to five arguments."""


class Engine(Protocol):
    """Makes loaded programs runnable.

    Attributes:
        checks: it checks every access, so it may run programs that were not verified.
    """

    @property
    def checks(self) -> bool: ...

    def load(self, prog: LoadedProgram) -> Runnable:
        """Prepare `prog` and set `prog.runnable`."""


def _helpers(helpers: Mapping[int, Helper], type: ProgType | None) -> Mapping[int, Helper]:
    """Return the helpers by number as a program type sees them, since some have another contract for some types."""
    if type is None or not type.variants:
        return helpers
    return {number: type.variants.get(helper.name, helper) for number, helper in helpers.items()}


def _exception_callback(program: Program) -> int:
    """Return the slot of the function that the program's decl tag `exception_callback:NAME` names, 0 for none."""
    btf = program.btf
    if btf is None or not program.func_info or not 0 < program.func_info[0].type_id < len(btf):
        return 0
    names = [tag.partition(":")[2] for tag in btf.decl_tags(program.func_info[0].type_id, -1)
             if tag.startswith("exception_callback:")]
    slots = [info.insn_off for info in program.func_info
             if 0 < info.type_id < len(btf) and getattr(btf[info.type_id], "name", None) in names]
    return slots[0] if slots else 0
