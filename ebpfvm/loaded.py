"""Load an object into a kernel: create, share and fill its maps, and prepare its programs to run in an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm import errnos
from ebpfvm.contract.maptype import BPF_F_RDONLY_PROG
from ebpfvm.engine.missing import without_body
from ebpfvm.errnos import ENOENT
from ebpfvm.errors import LoadError, Rejected, UsageError
from ebpfvm.funcs.unsupported import why_not
from ebpfvm.kernel import Kernel, LoadedProgram
from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.loader.object import MapSpec, Object, Program
from ebpfvm.loader.variables import variables
from ebpfvm.loading import fit_map, prepare
from ebpfvm.loading.array_owners import owner_of, why_refused
from ebpfvm.loading.tree_use import shows_trees
from ebpfvm.maps import make_map
from ebpfvm.maps.of_maps import MapOfMaps
from ebpfvm.maps.prog_array import ProgArray

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.engine.interp_run import Hooks
    from ebpfvm.kernel.program import Engine, Runnable
    from ebpfvm.maps import BpfMap

ENGINES: Final = ("interp", "translate", "fused", "auto")
PIN_BY_NAME: Final = 1  # LIBBPF_PIN_BY_NAME (tools/lib/bpf/bpf_helpers.h)


def open_engine(name: str | None = None, hooks: Hooks | None = None) -> Engine:
    """Return the engine of a name, "interp" or "translate" (default: the fastest that is available).

    Args:
        hooks: observer of every instruction, for the interpreter.

    Raises:
        UsageError: there is no engine of this name.
    """
    from ebpfvm import engine
    if name not in (None, *ENGINES):
        raise UsageError(f"engine {name!r}: expected one of {', '.join(ENGINES)}")
    translator = getattr(engine, "Translator", None)
    if name == "translate" and translator is None:
        raise UsageError("the translator is not part of this version of ebpfvm; use the engine interp")
    made: Engine = engine.Interpreter(hooks=hooks) if name == "interp" or translator is None else translator()
    return made


@dataclass(slots=True)
class Pins:
    """Maps that the objects of one run share, as if they were pinned in /sys/fs/bpf.

    These are the maps defined with LIBBPF_PIN_BY_NAME, and those that the user names.

    Attributes:
        names: maps to share whatever their definitions say.
        maps: the maps that are pinned now.
    """

    names: frozenset[str] = frozenset()
    maps: dict[str, BpfMap] = field(default_factory=dict)

    def wants(self, spec: MapSpec) -> bool:
        """Return whether a map of this definition is shared."""
        return bool(spec.name) and (spec.pinning == PIN_BY_NAME or spec.name in self.names)

    def get(self, spec: MapSpec, kernel: Kernel) -> BpfMap | None:
        """Return the pinned map of the definition's name, None if it has yet to be created.

        Raises:
            LoadError: the pinned map differs in type, sizes or flags (bpf_object__reuse_map of libbpf).
        """
        found = self.maps.get(spec.name)
        if found is None:
            return None
        want = (kernel.dialect.map_type(spec.type).name, spec.key_size, spec.value_size, spec.max_entries,
                spec.map_flags)
        have = (found.type.name, found.key_size, found.value_size, found.max_entries, found.flags)
        if want != have:
            raise LoadError(f"the pinned map of this name is different: its type, key, value, entries and flags are "
                            f"{have}, here are {want}", symbol=spec.name)
        return found


_ASK: Final = object()


class Loaded:
    """The programs and maps of an object in a kernel; programs that name the same map share it.

    Args:
        kernel: the kernel that holds them.
        engine: engine for verified programs; others run in the interpreter.
        pins: maps that are shared with other objects.
        found: the object, required for maps that initially hold some of its maps or programs.
        judge: returns the verifier's facts about a program, None for an unverified one; may raise Rejected.

    Attributes:
        maps: name (or "#n" without one) -> map.
        programs: name -> program, ready to run.
    """

    def __init__(self, kernel: Kernel, engine: Engine, pins: Pins | None = None,
                 found: Object | None = None, judge: Callable[[Program], Any] = lambda program: None) -> None:
        self.kernel = kernel
        self.engine = engine
        self.pins = pins if pins is not None else Pins()
        self._found = found
        self._judge = judge
        self.maps: dict[str, BpfMap] = {}
        self.programs: dict[str, Runnable] = {}

    def map(self, spec: MapSpec, index: int = 0) -> BpfMap:
        """Return the map that `spec` defines, and create it on first use.

        Raises:
            LoadError: this kernel cannot create it, or a different map is pinned under its name.
        """
        name = spec.name or f"#{index}"
        if name not in self.maps:
            shared = self.pins.wants(spec)
            found = self.pins.get(spec, self.kernel) if shared else None
            self.maps[name] = made = found if found is not None else self._make(spec)
            if shared:
                self.pins.maps[name] = made
            if found is None and self._found is not None:
                self._fill(made, self._found)
        return self.maps[name]

    def _make(self, spec: MapSpec) -> BpfMap:
        try:
            made = make_map(self.kernel, fit_map(spec, self.kernel.dialect))
        except (OSError, UsageError) as error:
            raise LoadError(str(error), symbol=spec.name or None) from error
        return made

    def _fill(self, made: BpfMap, found: Object) -> None:
        """Store the initial elements that the definition names: inner maps, or programs for tail calls."""
        for slot, name in made.spec.init.items():
            result = -ENOENT
            if isinstance(made, MapOfMaps) and name in found.maps:
                result = made.put(slot.to_bytes(made.key_size, "little"), self.map(found.maps[name]))
            elif isinstance(made, ProgArray) and name in found.programs:
                try:
                    target = self.program(found.programs[name], asked=False)
                except Rejected as error:
                    self.kernel.notes.append(f"slot {slot} of map {made.name!r} stays empty: the verifier refuses its "
                                             f"program {name!r} ({error.verdict.message or 'without a message'})")
                    continue
                result = made.put(slot, target.prog)
            if result < 0:
                raise LoadError(f"slot {slot}: {name!r} cannot be an element ({errnos.name(-result)})",
                                symbol=made.name)

    def variables(self, found: Object) -> dict[str, int]:
        """Return the current values of `found`'s global variables that are numbers, without the constants."""
        values = {}
        for item in variables(found):
            if item.number and item.map in self.maps and not found.maps[item.map].map_flags & BPF_F_RDONLY_PROG:
                values[item.name] = item.read(self.maps[item.map].sys_lookup(bytes(4)))
        return values

    def program(self, program: Program, facts: Any = _ASK, *, asked: bool = True) -> Runnable:
        """Verify and load a program, and return it ready to run; an unverified one runs in the interpreter.

        Args:
            facts: the verifier's facts about the program, None if it is unverified (default: verify it now).
            asked: whether the caller wants to run it; False for a target of tail calls, which may never be reached.

        Raises:
            LoadError: it cannot be prepared for the kernel, one of its maps cannot be created, or it calls a function
                that has no run time.
            Rejected: the verifier rejects it.
            UsageError: the kernel has no such program type.
        """
        if program.name in self.programs:
            return self.programs[program.name]
        if not self.kernel.graph.shaped:
            self.kernel.graph.shaped = shows_trees(program, self.kernel.dialect)
        program = prepare(program, self.kernel.dialect)
        if facts is _ASK:
            facts = self._judge(program)
        maps = [self.map(spec, index) for index, spec in enumerate(program.maps)]
        _own_arrays(program, maps)
        if program.name not in self.programs:  # a program array may hold the program that names it
            loaded = LoadedProgram(self.kernel, program, maps, facts=facts)
            if asked:
                _refuse_missing(loaded)
            engine = self.engine if facts is not None or self.engine.checks else open_engine("interp")
            self.programs[program.name] = engine.load(loaded)
        return self.programs[program.name]


def _own_arrays(program: Program, maps: list[BpfMap]) -> None:
    """Raise LoadError if a program array of the program is for other programs; it is for its kind otherwise."""
    for used in maps:
        if isinstance(used, ProgArray):
            if used.owner is None:
                used.owner = owner_of(program)
            why = why_refused(used.name, used.owner, program)
            if why:
                raise LoadError(f"{why} (EINVAL)", symbol=program.name)


def _refuse_missing(loaded: LoadedProgram) -> None:
    """Raise LoadError if the program may call a function that has no run time."""
    found = without_body(loaded)
    if found is None:
        return
    slot, kind, name = found
    line = loaded.program.line_at(slot)
    where = f"{line}: {line.text.strip()}" if line is not None else f"insn {slot}"
    raise LoadError(f"{kind} {name} is not supported by ebpfvm at run time: {why_not(name)} ({where})",
                    symbol=loaded.name)
