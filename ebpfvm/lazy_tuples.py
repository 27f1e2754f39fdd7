"""`NamedTuple` as in `typing`, which checks nothing and compiles `__new__` on first use.

`typing.NamedTuple` compiles the type of each field and a function for each class while the class is imported: that is
a twentieth of the time of `ebpfvm verify` for a small object. What it returns is the same: a class derived from
`tuple`, with the methods that `collections.namedtuple` documents. Type checkers are told that this is `typing`'s.
"""

from __future__ import annotations

from _collections import _tuplegetter  # type: ignore[import-not-found]  # in C, as in collections.namedtuple
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NamedTuple"]


class _LateNew:
    """Stand for `__new__` until someone asks for it, which compiles it."""

    owner: type

    def __get__(self, instance: object, owner: type) -> Any:
        cls: Any = self.owner
        names = ", ".join(cls._fields)
        function = eval(f"lambda _cls, {names}: _new(_cls, ({names},))", {"_new": tuple.__new__})
        function.__name__, function.__qualname__ = "__new__", f"{cls.__name__}.__new__"
        function.__module__ = cls.__module__
        function.__annotations__ = dict(cls.__annotations__)
        function.__defaults__ = tuple(cls._field_defaults.values())
        cls.__new__ = staticmethod(function)
        return function


def _make(cls: Any, values: Iterable[Any]) -> Any:
    """Make a tuple of the values in their order."""
    made = tuple.__new__(cls, values)
    if len(made) != len(cls._fields):
        raise TypeError(f"Expected {len(cls._fields)} arguments, got {len(made)}")
    return made


def _replace(self: Any, /, **changes: Any) -> Any:
    """Return a copy with these fields changed."""
    made = self._make(map(changes.pop, self._fields, self))
    if changes:
        raise ValueError(f"Got unexpected field names: {list(changes)!r}")
    return made


def _asdict(self: Any) -> dict[str, Any]:
    """Return the values by their names."""
    return dict(zip(self._fields, self, strict=True))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
    return f"{self.__class__.__name__}({shown})"


def _plain(self: Any) -> tuple[Any, ...]:
    """Return the values for `copy` and `pickle`."""
    return tuple(self)


_METHODS: dict[str, Any] = {
    "__slots__": (), "_make": classmethod(_make), "_replace": _replace, "_asdict": _asdict, "__repr__": _repr,
    "__getnewargs__": _plain}


class _Meta(type):
    """Turns a class with annotations into one derived from `tuple`."""

    def __new__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, members)
        fields = tuple(members.get("__annotations__", ()))
        defaults = {field: members[field] for field in fields if field in members}
        late = _LateNew()
        made = type(name, (tuple,), {
            **_METHODS, **members, **{field: _tuplegetter(index, "") for index, field in enumerate(fields)},
            "_fields": fields, "_field_defaults": defaults, "__match_args__": fields, "__new__": late})
        late.owner = made
        return made


class _NamedTuple(metaclass=_Meta):
    """A tuple whose fields have names; see `typing.NamedTuple`."""


if TYPE_CHECKING:
    from typing import NamedTuple
else:
    NamedTuple = _NamedTuple
