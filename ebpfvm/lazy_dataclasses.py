"""`dataclass`, `field`, `fields` and `replace` as in the standard library, with methods that are made on first use.

`dataclasses.dataclass` writes up to seven methods as text and compiles each of them while the class is imported. For
the eighty dataclasses that `ebpfvm verify` imports, this takes 70 ms (measured with CPython 3.11: 233 ms of processor
time for a small object, instead of 163). Here a class is only taken note of: `__init__`, `__eq__` and `__hash__` are
compiled when they are first called, and the other methods need no text.

Everything else is as `dataclasses` documents it, for the options that ebpfvm uses. `dataclasses.fields`, `asdict` and
the like take these classes too, and type checkers are told that this is `dataclasses`.
"""

from __future__ import annotations

from reprlib import recursive_repr
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

__all__ = ["dataclass", "field", "fields", "replace"]

_MISSING: Final[Any] = object()
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_FEW: Final = 30  # objects that are filled without a compiled `__init__`


class _Field:
    """One field, with the attributes of `dataclasses.Field`."""

    __slots__ = ("compare", "default", "default_factory", "init", "kw_only", "metadata", "name", "repr", "type")

    def __init__(self, default: Any = _MISSING, default_factory: Any = _MISSING, init: bool = True, repr: bool = True,
                 compare: bool = True, metadata: Mapping[str, Any] = _NOTHING) -> None:
        self.name, self.type, self.kw_only = "", "", False
        self.default, self.default_factory = default, default_factory
        self.init, self.repr, self.compare, self.metadata = init, repr, compare, metadata


class _Shape:
    """What the methods of a class need to know."""

    __slots__ = ("fields", "frozen", "names", "owner", "positional")

    def __init__(self, every: tuple[_Field, ...], frozen: bool) -> None:
        self.fields, self.frozen = every, frozen
        self.names = tuple(item.name for item in every)
        self.positional = tuple(item.name for item in every if item.init and not item.kw_only)
        self.owner: Any = object


class _Late:
    """Stand for a method until someone asks for it, which compiles it."""

    __slots__ = ("_make", "_name", "_shape")

    def __init__(self, shape: _Shape, name: str, make: Callable[[_Shape], Any]) -> None:
        self._shape, self._name, self._make = shape, name, make

    def __get__(self, instance: object, owner: type) -> Any:
        function, cls = self._make(self._shape), self._shape.owner
        function.__qualname__, function.__module__ = f"{cls.__qualname__}.{self._name}", cls.__module__
        setattr(cls, self._name, function)
        return function if instance is None else function.__get__(instance, owner)


class _LateInit(_Late):
    """Stand for `__init__`: the first few objects are filled field by field."""

    __slots__ = ("_uses",)

    def __init__(self, shape: _Shape, name: str, make: Callable[[_Shape], Any]) -> None:
        super().__init__(shape, name, make)
        self._uses = 0

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None or self._uses >= _FEW:
            return super().__get__(instance, owner)
        self._uses += 1
        return lambda *args, **named: self._fill(instance, args, named)

    def _fill(self, instance: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        shape = self._shape
        given = dict(zip(shape.positional, args, strict=False)) | named
        values = {}
        complete = len(given) == len(args) + len(named)
        for item in shape.fields:
            if item.init and item.name in given:
                values[item.name] = given.pop(item.name)
            elif item.default_factory is not _MISSING:
                values[item.name] = item.default_factory()
            elif item.default is not _MISSING:
                values[item.name] = item.default
            else:
                complete = complete and not item.init
        if given or not complete:  # the compiled method says what is wrong
            super().__get__(instance, type(instance))(*args, **named)
            return
        set_field = object.__setattr__ if shape.frozen else setattr
        for name, value in values.items():
            set_field(instance, name, value)
        if hasattr(shape.owner, "__post_init__"):
            instance.__post_init__()


def _compiled(name: str, parameters: str, lines: list[str], names: dict[str, Any]) -> Any:
    exec(f"def {name}({parameters}):\n " + "\n ".join(lines), names)
    return names[name]


def _dataclass(cls: type | None = None, /, *, eq: bool = True, frozen: bool = False, slots: bool = False,
               kw_only: bool = False) -> Any:
    """Turn a class with annotations into a dataclass; see `dataclasses.dataclass`."""
    if cls is None:
        return lambda found: _made(found, eq, frozen, slots, kw_only)
    return _made(cls, eq, frozen, slots, kw_only)


def _made(cls: type, eq: bool, frozen: bool, slots: bool, kw_only: bool) -> type:
    inherited = {item.name: item for base in reversed(cls.__mro__[1:]) if "__shape__" in base.__dict__
                 for item in base.__dict__["__shape__"].fields}
    own = {item.name: item for item in _own_fields(cls, kw_only)}
    shape = _Shape(tuple((inherited | own).values()), frozen)
    members = {name: method for name, method in _methods(shape, eq, slots).items() if name not in cls.__dict__}
    if eq:  # a class that only defines __eq__ has the __hash__ None
        members["__hash__"] = cls.__dict__.get("__hash__") or (_Late(shape, "__hash__", _hash) if frozen else None)
    if slots:
        cls = _with_slots(cls, own, tuple(name for name in own if name not in inherited), members)
    else:
        for name, item in own.items():
            if item.default is not _MISSING:
                members[name] = item.default
            elif name in cls.__dict__:
                delattr(cls, name)
        for name, member in members.items():
            setattr(cls, name, member)
    shape.owner = cls
    return cls


def _with_slots(cls: type, fields: Collection[str], slots: tuple[str, ...], members: Mapping[str, object]) -> type:
    """Return a class like `cls` with slots, which a class can only be given when it is made."""
    kept = {name: item for name, item in cls.__dict__.items()
            if name not in fields and name not in ("__dict__", "__weakref__")}
    made = type(cls)(cls.__name__, cls.__bases__, {**kept, **members, "__slots__": slots})
    made.__qualname__ = cls.__qualname__
    return made


def _own_fields(cls: type, kw_only: bool) -> Iterator[_Field]:
    for name, type_ in cls.__annotations__.items():
        if type_.startswith("ClassVar"):
            continue
        default = cls.__dict__.get(name, _MISSING)
        item = default if isinstance(default, _Field) else _Field(default)
        if item.default.__class__.__hash__ is None:
            raise ValueError(f"mutable default {type(item.default)} for field {name}: use default_factory")
        item.name, item.type, item.kw_only = name, type_, kw_only
        yield item


def _methods(shape: _Shape, eq: bool, slots: bool) -> dict[str, object]:
    """Return the methods that a class gets if it does not define them."""
    methods: dict[str, object] = {
        "__shape__": shape, "__dataclass_fields__": _Standard("__dataclass_fields__"),
        "__dataclass_params__": _Standard("__dataclass_params__"), "__repr__": _repr,
        "__init__": _LateInit(shape, "__init__", _init),
        "__match_args__": shape.positional}
    if eq:
        methods["__eq__"] = _Late(shape, "__eq__", _eq)
    if shape.frozen:
        methods |= {"__setattr__": _no_setattr, "__delattr__": _no_delattr}
        if slots:
            methods |= {"__getstate__": _getstate, "__setstate__": _setstate}
    return methods


def _init(shape: _Shape) -> Any:
    names: dict[str, Any] = {"_MISSING": _MISSING, "_set": object.__setattr__}
    given, named, lines = ["self"], ["*"], []
    for item in shape.fields:
        name = item.name
        names |= {f"_make_{name}": item.default_factory, f"_default_{name}": item.default}
        made, default = item.default_factory is not _MISSING, item.default is not _MISSING
        value = f"_make_{name}()" if made else f"_default_{name}"
        if item.init:
            optional = "=_MISSING" if made else f"={value}" if default else ""
            (named if item.kw_only else given).append(name + optional)
            value = f"{value} if {name} is _MISSING else {name}" if made else name
        if item.init or made or default:
            lines.append(f"_set(self, {name!r}, {value})" if shape.frozen else f"self.{name} = {value}")
    if hasattr(shape.owner, "__post_init__"):
        lines.append("self.__post_init__()")
    parameters = given + named if len(named) > 1 else given
    function = _compiled("__init__", ", ".join(parameters), lines or ["pass"], names)
    function.__annotations__ = {item.name: item.type for item in shape.fields if item.init} | {"return": None}
    return function


def _eq(shape: _Shape) -> Any:
    return _compiled("__eq__", "self, other", [
        "if other.__class__ is self.__class__:", f" return {_tuple('self', shape)} == {_tuple('other', shape)}",
        "return NotImplemented"], {})


def _hash(shape: _Shape) -> Any:
    return _compiled("__hash__", "self", [f"return hash({_tuple('self', shape)})"], {})


def _tuple(record: str, shape: _Shape) -> str:
    return "(" + "".join(f"{record}.{item.name}, " for item in shape.fields if item.compare) + ")"


@recursive_repr()
def _repr(self: Any) -> str:
    shown = (f"{item.name}={getattr(self, item.name)!r}" for item in self.__shape__.fields if item.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _no_setattr(self: Any, name: str, value: object) -> None:
    shape = self.__shape__
    if type(self) is shape.owner or name in shape.names:
        from dataclasses import FrozenInstanceError
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    super(shape.owner, self).__setattr__(name, value)


def _no_delattr(self: Any, name: str) -> None:
    shape = self.__shape__
    if type(self) is shape.owner or name in shape.names:
        from dataclasses import FrozenInstanceError
        raise FrozenInstanceError(f"cannot delete field {name!r}")
    super(shape.owner, self).__delattr__(name)


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__shape__.names]


def _setstate(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__shape__.names, state, strict=True):
        object.__setattr__(self, name, value)


class _Standard:
    """Stand for an attribute by which `dataclasses` recognises its classes, until someone asks for it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: Any) -> object:
        import dataclasses
        shape = owner.__shape__
        rows = []
        for item in shape.fields:
            given = {"default": item.default, "default_factory": item.default_factory}
            options = {key: value for key, value in given.items() if value is not _MISSING}
            rows.append((item.name, item.type, dataclasses.field(
                **options, init=item.init, repr=item.repr, compare=item.compare, metadata=item.metadata,
                kw_only=item.kw_only)))
        made = dataclasses.make_dataclass(shape.owner.__name__, rows, frozen=shape.frozen)
        value: object = getattr(made, self._name)
        setattr(shape.owner, self._name, value)
        return value


def _field(*, default: Any = _MISSING, default_factory: Any = _MISSING, init: bool = True, repr: bool = True,
           compare: bool = True, metadata: Mapping[str, Any] = _NOTHING) -> Any:
    """Describe a field; see `dataclasses.field`."""
    return _Field(default, default_factory, init, repr, compare, metadata)


def _fields(record: Any) -> tuple[Any, ...]:
    """Return the fields of a class or of an object, in their order."""
    found: tuple[Any, ...] = record.__shape__.fields
    return found


def _replace(record: Any, /, **changes: Any) -> Any:
    """Return a copy with these fields changed; see `dataclasses.replace`."""
    for item in record.__shape__.fields:
        if not item.init:
            if item.name in changes:
                raise ValueError(f"field {item.name} is declared with init=False, it cannot be replaced")
        elif item.name not in changes:
            changes[item.name] = getattr(record, item.name)
    return record.__class__(**changes)


if TYPE_CHECKING:
    from dataclasses import dataclass, field, fields, replace
else:
    dataclass, field, fields, replace = _dataclass, _field, _fields, _replace
