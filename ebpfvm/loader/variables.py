"""Global variables of an object: where they are, and how to change their initial values.

This is what users of libbpf do through a skeleton before loading (`skel->rodata->limit = 50`). The values are part of
the object, so that the verifier sees those of `.rodata` as constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Datasec, Enum, Enum64, Int, Var
from ebpfvm.errors import UsageError
from ebpfvm.lazy_dataclasses import replace
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ebpfvm.loader.object import MapSpec, Object


class Variable(NamedTuple):
    """A global variable: the map that holds it, its place in that map, and whether its value is a number."""

    name: str
    map: str
    offset: int
    size: int
    signed: bool
    number: bool

    def read(self, section: bytes) -> int:
        """Return the value of a number in the bytes of its section."""
        return int.from_bytes(section[self.offset:self.offset + self.size], "little", signed=self.signed)


def variables(found: Object) -> Iterator[Variable]:
    """Yield all global variables that the object's BTF describes."""
    for spec in found.maps.values():
        if spec.btf is None or not spec.value_type:
            continue
        section = spec.btf.resolved(spec.value_type)
        if not isinstance(section, Datasec):
            continue
        for info in section.vars:
            var = spec.btf[info.type]
            if isinstance(var, Var):
                kind = spec.btf.resolved(var.type)
                yield Variable(var.name, spec.name, info.offset, info.size,
                               isinstance(kind, Int) and kind.signed, isinstance(kind, Int | Enum | Enum64))


def parse_settings(words: Iterable[str], option: str = "") -> dict[str, int]:
    """Return the values of variables that `NAME=NUMBER` words name.

    Args:
        words: the words.
        option: what stands before each on the command line, for the message.

    Raises:
        UsageError: a word is none.
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        try:
            found[name] = int(value, 0)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise UsageError(f"{option}{word}: expected NAME=NUMBER, as in {option}limit=50")
    return found


def set_variables(found: Object, values: Mapping[str, int]) -> Object:
    """Return the same object with other initial values of some global variables.

    Args:
        values: name -> number.

    Raises:
        UsageError: there is no such variable, or its type cannot hold the number.
    """
    if not values:
        return found
    known = {variable.name: variable for variable in variables(found)}
    changed = dict(found.maps)
    for name, value in values.items():
        variable = known.get(name)
        if variable is None:
            raise UsageError(f"{found.path}: no global variable {name!r}; it has: {', '.join(known) or 'none'}")
        changed[variable.map] = _with_value(changed[variable.map], variable, value)
    programs = {name: replace(program, maps=tuple(changed.get(spec.name, spec) for spec in program.maps))
                for name, program in found.programs.items()}
    return replace(found, maps=changed, programs=programs).at_home()


def _with_value(spec: MapSpec, variable: Variable, value: int) -> MapSpec:
    bits = 8 * variable.size
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if variable.signed else (0, (1 << bits) - 1)
    if not variable.number or not low <= value <= high:
        what = f"{variable.size} bytes" if variable.number else "no number"
        raise UsageError(f"variable {variable.name!r} is {what} and cannot be {value}")
    end = variable.offset + variable.size
    if end > spec.value_size:
        raise UsageError(f"variable {variable.name!r} lies outside of its section {spec.name!r}")
    data = bytearray((spec.data or b"").ljust(end, b"\0"))  # not value_size, which the file may exaggerate
    data[variable.offset:end] = value.to_bytes(variable.size, "little", signed=variable.signed)
    return replace(spec, data=bytes(data))
