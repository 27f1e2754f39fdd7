"""Declare kfuncs: the C prototype is the contract, as in the kernel (Documentation/bpf/kfuncs.rst).

A kernel derives the requirements on an argument from its BTF type and from the suffix of its name (`n__k`,
`mem`/`mem__sz`, `p__nullable`, `p__ign`, `meta__ign`, `ptr__uninit`), and everything else from flags. So does ebpfvm:
the prototype is parsed once, when the module is imported.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from ebpfvm.contract.roles import (
    LISTS_AND_TREES,
    Callback,
    DynptrKind,
    Expansion,
    KfuncRole,
    contradictions,
    known,
    options_known,
)
from ebpfvm.errors import InternalError
from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.lazy_patterns import pattern
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FLAGS = frozenset({"acquire", "release", "ret_null", "trusted_args", "sleepable", "rcu", "iter_new", "iter_next",
                   "iter_destroy", "kptr_get", "rcu_protected", "without_code", "device_bound"})
_ITER = frozenset({"iter_new", "iter_next", "iter_destroy"})
SUFFIXES = ("k", "sz", "szk", "ign", "uninit", "nullable", "alloc", "refcounted_kptr", "nonown_allowed", "str", "map",
            "iter", "irq_flag", "prog", "opt", "const_str", "impl", "ref")


@dataclass(frozen=True, slots=True)
class KfuncParam:
    """One parameter (or the result) of a kfunc.

    Attributes:
        name: with its suffix, "" for the result.
        type: base type without qualifiers and stars: "struct sk_buff", "u64", "void".
        pointers: number of stars.
        suffixes: the recognised suffixes of the name.
    """

    name: str
    type: str
    pointers: int = 0
    suffixes: frozenset[str] = frozenset()

    @property
    def struct(self) -> str:
        """The name of the struct for a pointer to a struct, otherwise ""."""
        return self.type.removeprefix("struct ") if self.type.startswith("struct ") else ""


@dataclass(frozen=True, slots=True)
class Kfunc:
    """A kfunc; dialects and program types determine who may call it.

    Attributes:
        name: kernel name.
        params, ret: parsed from the prototype.
        flags: subset of `FLAGS`, the kernel's KF_* in lower case.
        body: called as `body(env, *args)` with ints; pointers to structs that Python objects represent
            (`struct sk_buff`) arrive as that object, or None for NULL. None: not supported at run time.
        doc: first lines of documentation.
        role: its special rules; see `ebpfvm.contract.roles`.
        callback: "sync" or "async" if it takes a function.
        dynptr: kind of the dynptr that it creates.
        in_lock: it may be called while a lock is held.
        changes_packet: packet pointers become invalid.
        ret_untrusted: whether the result may only be read.
        counts: its body does nothing but acquire a reference to the object that it takes and returns (flag "acquire"),
            or release one (flag "release"), so that an engine may count itself.
        expands: what it does, if an engine may do it by itself.
        arms: it may add an event to the event loop.
    """

    name: str
    params: tuple[KfuncParam, ...]
    ret: KfuncParam
    flags: frozenset[str]
    body: Callable[..., int] | None
    doc: str = ""
    role: KfuncRole = ""
    callback: Callback = ""
    dynptr: DynptrKind = ""
    in_lock: bool = False
    changes_packet: bool = False
    ret_untrusted: bool = False
    counts: bool = False
    expands: Expansion = ""
    arms: bool = False

    @property
    def shows_shape(self) -> bool:
        """Whether the result depends on how the nodes of a tree are linked, besides their order."""
        return self.role == "graph_look" and not self.expands

    def __post_init__(self) -> None:
        what = f"kfunc {self.name}"
        known(f"{what}: role", self.role, KfuncRole)
        known(f"{what}: expands", self.expands, Expansion)
        known(f"{what}: callback", self.callback, Callback)
        known(f"{what}: dynptr", self.dynptr, DynptrKind)
        contradictions(what, (*self._flags_and_prototype(), *self._role_and_prototype()))

    @property
    def iterates(self) -> bool:
        """Whether it makes, moves or destroys an iterator."""
        return bool(self.flags & _ITER)

    def _flags_and_prototype(self) -> Iterator[tuple[bool, bool, str]]:
        """Yield what the flags say about the prototype, for `contradictions`."""
        takes = any(param.pointers for param in self.params)
        first = self.params[0].struct if self.params else ""
        gives = bool(self.ret.pointers)
        yield "release" in self.flags, takes, "releases a reference, and takes no pointer"
        yield "acquire" in self.flags, gives, "acquires a reference, and gives no pointer"
        yield "ret_null" in self.flags, gives or self.role == "res_lock", "may give NULL, and gives no pointer"
        yield self.ret_untrusted, gives, "its result is untrusted, and it gives no pointer"
        yield self.iterates, first.startswith("bpf_iter_"), "is an iterator's, and does not take it first"
        yield len(self.flags & _ITER) > 1, False, "is more than one of an iterator's new, next and destroy"
        counted = len(self.params) == 1 and bool(first) and len(self.flags & {"acquire", "release"}) == 1
        yield self.counts, counted, "only counts, and does not acquire or release a reference to one object"
        yield "kptr_get" in self.flags, takes and self.params[0].pointers == 2, "takes no kptr slot first"

    def _role_and_prototype(self) -> Iterator[tuple[bool, bool, str]]:
        """Yield what role and prototype require of each other, for `contradictions`."""
        func = any(param.type == "func" for param in self.params)
        yield func, bool(self.callback and self.role), "takes a function, and 'callback' or 'role' is missing"
        for part in _PARTS:
            there = any(part.test(param) for param in self.params)
            yield self.role in part.needed_by, there, f"role is {self.role!r}, and its prototype has no {part.name}"
            yield there, self.role in part.means, f"its prototype has a {part.name}, and its role is {self.role!r}"
        yield bool(self.flags & _ITER), not self.role, f"is an iterator's, and its role is {self.role!r}"
        yield self.role == "dynptr_new", bool(self.dynptr), "makes a dynptr, and 'dynptr' does not say of which kind"
        yield bool(self.dynptr), self.role == "dynptr_new", f"dynptr is {self.dynptr!r}, and it makes none"


class _Part(NamedTuple):
    """A part of a prototype that belongs to roles: those that require it, and those that allow it."""

    name: str
    test: Callable[[KfuncParam], bool]
    means: frozenset[KfuncRole]
    needed_by: frozenset[KfuncRole]


def _part(name: str, test: Callable[[KfuncParam], bool], *roles: KfuncRole, also: tuple[KfuncRole, ...] = ()) -> _Part:
    """Return a part that the roles need; `also` may have it."""
    return _Part(name, test, frozenset((*roles, *also)), frozenset(roles))


_PARTS: Final = (
    _part("list or tree", lambda param: param.struct in LISTS_AND_TREES,
          "graph_put", "graph_take", "graph_look", "graph_ask"),
    _part("bpf_res_spin_lock", lambda param: param.struct == "bpf_res_spin_lock", "res_lock", "res_unlock"),
    _part("flag of interrupts", lambda param: "irq_flag" in param.suffixes, "irq_save", "irq_restore",
          also=("res_lock", "res_unlock")),
    _part("counted object", lambda param: "refcounted_kptr" in param.suffixes, "refcount_acquire"),
    _part("reference to give back", lambda param: "alloc" in param.suffixes, "obj_drop", "percpu_obj_drop"),
    _part("dynptr to make", lambda param: param.struct == "bpf_dynptr" and "uninit" in param.suffixes,
          "dynptr_new", "dynptr_clone"),
)


_PROTOTYPE = pattern(r"^\s*(?P<ret>.+?)\s*\b(?P<name>\w+)\s*\((?P<params>.*)\)\s*;?\s*$", re.S)
_FUNCTION_POINTER = pattern(r"\(\s*\*?\s*(\w+)\s*\)\s*\(.*", re.S)


def _split(params: str) -> list[str]:
    """Return the parts between commas that are not inside a function pointer's own parameter list."""
    parts, depth = [""], 0
    for char in params:
        depth += (char == "(") - (char == ")")
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def _param(text: str, named: bool) -> KfuncParam:
    pointer = _FUNCTION_POINTER.search(text)
    if pointer:
        return KfuncParam(pointer.group(1), "func", 1, _suffixes(pointer.group(1)))
    stars = text.count("*")
    words = text.replace("*", " ").split()
    name = words.pop() if named and len(words) > 1 and words[-1] not in ("void",) else ""
    words = [word for word in words if word not in ("const", "volatile")]
    return KfuncParam(name, " ".join(words), stars, _suffixes(name))


def _suffixes(name: str) -> frozenset[str]:
    return frozenset(part for part in name.split("__")[1:] if part in SUFFIXES)


class KfuncOptions(TypedDict, total=False):
    """The options of `kfunc` and `kfunc_only` in addition to the kernel's flags; see the attributes of `Kfunc`."""

    role: KfuncRole
    callback: Callback
    dynptr: DynptrKind
    in_lock: bool
    changes_packet: bool
    ret_untrusted: bool
    counts: bool
    expands: Expansion
    arms: bool


def kfunc(prototype: str, *flags: str, **options: Unpack[KfuncOptions]) -> Callable[[Callable[..., int]], Kfunc]:
    """Return a decorator that declares a kfunc by its C prototype and KF_* flags (lower case, without KF_).

    Raises:
        InternalError: at import, if the prototype or a flag is malformed, they and the options contradict each other,
            or the body takes other arguments.
    """
    parsed = _parsed(prototype, flags, options)

    def wrap(function: Callable[..., int]) -> Kfunc:
        takes = function.__code__.co_argcount - 1
        name, params, _ = parsed
        if function.__name__ != name or takes != len(params):
            raise InternalError(f"kfunc {name}: body {function.__name__} takes {takes} arguments, not {len(params)}")
        return Kfunc(*parsed, frozenset(flags), function, (function.__doc__ or "").strip(), **options)

    return wrap


def kfunc_only(prototype: str, *flags: str, **options: Unpack[KfuncOptions]) -> Kfunc:
    """Declare a kfunc of which only prototype and flags are known: the verifier checks calls, running one is a fault.

    Raises:
        InternalError: at import, if the prototype or a flag is malformed, or they and the options contradict each
            other.
    """
    return Kfunc(*_parsed(prototype, flags, options), frozenset(flags), None, **options)


def _parsed(prototype: str, flags: tuple[str, ...], options: Iterable[str]) -> tuple[
        str, tuple[KfuncParam, ...], KfuncParam]:
    """Return name, parameters and result of a prototype.

    Raises:
        InternalError: it, a flag or an option is malformed.
    """
    parsed = parse_prototype(prototype)
    for flag in sorted(set(flags) - FLAGS):
        raise InternalError(f"kfunc {parsed[0]}: flag {flag!r} is not known; there are: {', '.join(sorted(FLAGS))}")
    options_known(f"kfunc {parsed[0]}", options, KfuncOptions)
    return parsed


def parse_prototype(prototype: str) -> tuple[str, tuple[KfuncParam, ...], KfuncParam]:
    """Return name, parameters and result of a C prototype.

    Raises:
        InternalError: it is malformed.
    """
    match = _PROTOTYPE.match(prototype)
    if match is None:
        raise InternalError(f"kfunc {prototype!r}: this is no prototype")
    params = tuple(_param(part, True) for part in _split(match.group("params")) if part != "void")
    return match.group("name"), params, _param(match.group("ret"), False)
