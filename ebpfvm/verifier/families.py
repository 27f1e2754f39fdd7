"""Kfuncs with rules of their own, by name. What is neither here nor covered by the general rules is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ebpfvm.verifier.signal import unsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.contract.kfunc import Param
    from ebpfvm.verifier.explore import Walk
    from ebpfvm.verifier.kfuncs import KfuncCall
    from ebpfvm.verifier.regs import Reg

ITER_FLAGS = frozenset({"iter_new", "iter_next", "iter_destroy"})
IN_LOCK: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Family:
    """Where a kfunc differs from the general rules."""

    before: Callable[[Walk, KfuncCall], None] | None = None
    effect: Callable[[Walk, KfuncCall], None] | None = None
    result: Callable[[Walk, KfuncCall], Reg | None] | None = None
    instead: Callable[[Walk, KfuncCall, int], int] | None = None


BY_NAME: dict[str, Family] = {}


def special_argument(param: Param) -> Callable[[Walk, KfuncCall, int, Param, Reg], None] | None:
    """The check of a parameter whose kind the general rules do not know."""
    return None


def less_callback(w: Walk, made: KfuncCall) -> Any:
    """The comparison function of a tree."""
    raise unsupported(f"kernel function {made.kfunc.name}")
