"""Which kernels accept a program, and which difference between two of them decides it.

Two kernels differ in named rules (`ebpfvm.contract.rules`) and in what they offer (`ebpfvm.dialects`). To find what
decides, the program is verified by kernels in between, which have some of the differences and not the others.
"""

from __future__ import annotations

import ast
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from ebpfvm.contract import rules
from ebpfvm.errors import EbpfvmError, LimitError
from ebpfvm.judging import dialect_of, judge
from ebpfvm.lazy_dataclasses import dataclass, fields, replace
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ebpfvm.contract import Dialect
    from ebpfvm.limits import Limits
    from ebpfvm.loader.object import Program
    from ebpfvm.verifier import Verdict

UNSUPPORTED: Final = "not supported by ebpfvm"
# What kernels offer -> the attributes of a dialect that describe it.
_OFFERED: Final = {
    "helpers": ("helpers",),
    "kernel functions": ("kfuncs", "unmodelled", "absent_kfuncs"),
    "map types": ("map_types", "absent_types"),
    "program types": ("prog_types",),
    "kernel types": ("types", "struct_names", "type_names", "destructors"),
    "struct_ops": ("struct_ops", "absent_ops"),
    "kernel configuration": ("config",),
}
_OFFER_TEXTS: Final = {
    "helpers": "The kernels have different helpers, or helpers with different arguments.",
    "kernel functions": "The kernels have different kernel functions.",
    "map types": "The kernels have different map types.",
    "program types": "The kernels have different program types, or allow programs of this type different functions or "
                     "fields of the context.",
    "kernel types": "The kernels have different structs.",
    "struct_ops": "The kernels have different structs of operations.",
    "kernel configuration": "The values of __kconfig variables are different.",
}


class Difference(NamedTuple):
    """A named difference between kernels: a field of `Rules`, or a kind of thing that kernels offer."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class KernelVerdicts:
    """The verdicts of several kernels on one program.

    Attributes:
        verdicts: version -> verdict, the oldest first.
    """

    program: Program
    verdicts: Mapping[str, Verdict]

    @property
    def ok(self) -> bool:
        """Whether all kernels accept the program."""
        return all(verdict.ok for verdict in self.verdicts.values())

    def first_difference(self) -> tuple[str, str] | None:
        """Return the first two consecutive versions whose verdicts differ; different messages count if none do."""
        pairs = list(pairwise(self.verdicts))
        for key in (word, _message):
            for older, newer in pairs:
                if key(self.verdicts[older]) != key(self.verdicts[newer]):
                    return older, newer
        return None


def word(verdict: Verdict) -> str:
    """Return the verdict as one word."""
    if verdict.ok:
        return "accepted"
    if UNSUPPORTED in verdict.message:
        return "unsupported"
    return "rejected" if verdict.program is not None else "unreadable"


def _message(verdict: Verdict) -> tuple[int, str]:
    return verdict.errno, verdict.message


def deciding(program: Program, older: str, newer: str, limits: Limits) -> tuple[Difference, ...]:
    """Return the differences that decide between the verdicts of two kernels; none if no such set is found.

    With these, and without the others, the older kernel decides otherwise than it does.
    """
    before, after = dialect_of(program, older), dialect_of(program, newer)
    verdicts = [judge(program, dialect, limits, 0) for dialect in (before, after)]
    key = word if word(verdicts[0]) != word(verdicts[1]) else _message

    def differs(chosen: Sequence[Difference]) -> bool:
        try:
            return key(judge(program, _between(before, after, chosen), limits, 0)) != key(verdicts[0])
        except LimitError:
            raise
        except EbpfvmError:
            return False  # there is no such kernel: some differences only make sense together

    found = smallest(differences(before, after), differs)
    missing = _missing(program, {older: before, newer: after})
    return tuple(item._replace(text=missing) if missing and item.name == "kernel functions" else item
                 for item in found)


def _missing(program: Program, kernels: Mapping[str, Dialect]) -> str:
    """Return which kernel functions that a program calls only one of the kernels has, as text."""
    texts = []
    for version, dialect in kernels.items():
        others = {name for other in kernels.values() for name in other.kfuncs} - set(dialect.kfuncs)
        names = [name for name in dict.fromkeys(program.kfuncs.values()) if name in others]
        if names:
            texts.append(f"Linux {version} has no {' or '.join(names)}.")
    return " ".join(texts)


def smallest(every: Sequence[Difference], differs: Callable[[Sequence[Difference]], bool]) -> tuple[Difference, ...]:
    """Return a set of differences that suffices and of which none can be left out.

    Args:
        differs: whether a set changes the verdict. If the whole does not, the result is empty.
    """
    chosen: list[Difference] = []
    rest = list(every)
    while not differs(chosen):
        low, high = -1, len(rest)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if differs([*chosen, *rest[:middle]]) else (middle, high)
        if high == 0 or not differs([*chosen, *rest[:high]]):
            return ()
        chosen.append(rest[high - 1])
        rest = rest[:high - 1]
    return tuple(chosen)


def differences(before: Dialect, after: Dialect) -> list[Difference]:
    """Return the differences of two kernels: what they offer, then their rules in the order of declaration."""
    offered = [Difference(name, _OFFER_TEXTS[name]) for name in _OFFERED]
    names = [item.name for item in fields(rules.Rules) if item.name != "version"]
    return offered + [Difference(name, rule_texts()[name]) for name in names
                      if getattr(before.rules, name) != getattr(after.rules, name)]


def _between(before: Dialect, after: Dialect, chosen: Sequence[Difference]) -> Dialect:
    """Return the older kernel with some of the differences."""
    offered = {attribute: getattr(after, attribute) for item in chosen for attribute in _OFFERED.get(item.name, ())}
    changed = {item.name: getattr(after.rules, item.name) for item in chosen if item.name not in _OFFERED}
    return before.derive(**offered, rules=replace(before.rules, **changed))


@cache
def rule_texts() -> dict[str, str]:
    """Return what each named difference of `Rules` is, by its name; each text says what is so if it is true."""
    with open(rules.__file__, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    body = next(item.body for item in tree.body if isinstance(item, ast.ClassDef) and item.name == rules.Rules.__name__)
    return {field.target.id: " ".join(text.value.value.split()) for field, text in pairwise(body)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)}
