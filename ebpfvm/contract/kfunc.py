"""Declare kfuncs: the C prototype is the contract, as in the kernel (Documentation/bpf/kfuncs.rst).

A kernel derives the requirements on an argument from its BTF type and from the suffix of its name (`n__k`,
`mem`/`mem__sz`, `p__nullable`, `p__ign`, `meta__ign`, `ptr__uninit`), and everything else from flags. So does ebpfvm:
the prototype is parsed once, when the module is imported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ebpfvm.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable

FLAGS = frozenset({"acquire", "release", "ret_null", "trusted_args", "sleepable", "destructive", "rcu", "iter_new",
                   "iter_next", "iter_destroy", "kptr_get", "implicit_args", "fastcall", "rcu_protected",
                   "without_code", "device_bound"})
SUFFIXES = ("k", "sz", "szk", "ign", "uninit", "nullable", "alloc", "refcounted_kptr", "nonown_allowed", "str", "map",
            "iter", "irq_flag", "prog", "opt", "const_str", "impl")


@dataclass(frozen=True, slots=True)
class KfuncParam:
    """One parameter (or the result) of a kfunc.

    Attributes:
        name: with its suffix, "" for the result.
        type: base type without qualifiers and stars: "struct sk_buff", "u64", "void".
        pointers: number of stars.
        const: the pointed-to object is const.
        suffixes: the recognised suffixes of the name.
    """

    name: str
    type: str
    pointers: int = 0
    const: bool = False
    suffixes: frozenset[str] = frozenset()

    @property
    def struct(self) -> str:
        """The name of the struct for a pointer to a struct, otherwise ""."""
        return self.type.removeprefix("struct ") if self.type.startswith("struct ") else ""


@dataclass(frozen=True, slots=True)
class Kfunc:
    """A kfunc; who may call it is a dialect's (and program type's) matter.

    Attributes:
        name: kernel name.
        params, ret: parsed from `prototype`.
        flags: subset of `FLAGS`, the kernel's KF_* in lower case.
        body: called as `body(env, *args)` with ints; pointers to structs that have a Python object behind them
            (`struct sk_buff`) arrive as that object, or None for NULL. None: not supported at run time.
    """

    name: str
    prototype: str
    params: tuple[KfuncParam, ...]
    ret: KfuncParam
    flags: frozenset[str]
    body: Callable[..., int] | None
    doc: str = ""


_PROTOTYPE = re.compile(r"^\s*(?P<ret>.+?)\s*\b(?P<name>\w+)\s*\((?P<params>.*)\)\s*;?\s*$", re.S)
_FUNCTION_POINTER = re.compile(r"\(\s*\*?\s*(\w+)\s*\)\s*\(.*", re.S)


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
        return KfuncParam(pointer.group(1), "func", 1, False, _suffixes(pointer.group(1)))
    stars = text.count("*")
    words = text.replace("*", " ").split()
    name = words.pop() if named and len(words) > 1 and words[-1] not in ("void",) else ""
    const = "const" in words
    words = [word for word in words if word not in ("const", "volatile")]
    return KfuncParam(name, " ".join(words), stars, const, _suffixes(name))


def _suffixes(name: str) -> frozenset[str]:
    return frozenset(part for part in name.split("__")[1:] if part in SUFFIXES)


def kfunc(prototype: str, *flags: str) -> Callable[[Callable[..., int]], Kfunc]:
    """Decorator: declare a kfunc by its C prototype and KF_* flags (lower case, without KF_).

    Raises:
        InternalError: at import, when the prototype or a flag makes no sense, or the body takes other arguments.
    """
    bare = kfunc_only(prototype, *flags)

    def wrap(function: Callable[..., int]) -> Kfunc:
        takes = function.__code__.co_argcount - 1
        if function.__name__ != bare.name or takes != len(bare.params):
            raise InternalError(f"kfunc {bare.name}: body {function.__name__} takes {takes} arguments, "
                                f"not {len(bare.params)}")
        return replace(bare, body=function, doc=(function.__doc__ or "").strip())

    return wrap


def kfunc_only(prototype: str, *flags: str) -> Kfunc:
    """A kfunc of which only prototype and flags are known: the verifier judges calls, running one is a fault.

    Raises:
        InternalError: at import, when the prototype or a flag makes no sense.
    """
    match = _PROTOTYPE.match(prototype)
    if match is None or not FLAGS.issuperset(flags):
        raise InternalError(f"kfunc {prototype!r}: bad prototype or flags {flags}")
    params = tuple(_param(part, True) for part in _split(match.group("params")) if part != "void")
    return Kfunc(match.group("name"), prototype, params, _param(match.group("ret"), False), frozenset(flags), None)
