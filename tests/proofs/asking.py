"""Proving a claim at the largest width at which Z3 decides it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tests.proofs.spec import LinearWorld, World, world

WIDE = ((64, 32), (16, 8), (8, 4), (4, 2))
NARROW = ((16, 8), (8, 4), (4, 2))
Question = tuple[Any, tuple[Any, ...]]
"""A claim, and what is given."""


def best(name: str, ask: Callable[[World], Iterable[Question]], proved: list[tuple[str, str, float]],
         widths: tuple[tuple[int, int], ...] = WIDE) -> None:
    """Proves all that `ask` asks, at the first of `widths` where all can be decided."""
    for bits, sub in widths:
        took, decided = 0.0, True
        here = world(bits, sub)
        for claim, given in ask(here):
            answer = here.prove(claim, *given)
            took += answer.seconds
            assert answer.verdict != "sat", f"{name} is wrong at {bits} bits: {answer.counterexample}"
            decided = decided and answer.proved
            if not decided:
                break
        if decided:
            proved.append((name, f"{bits} bits", took))
            return
    raise AssertionError(f"{name} was not decided at any width")


def linearly(name: str, ask: Callable[[World], Iterable[Question]], proved: list[tuple[str, str, float]]) -> None:
    """Proves all that `ask` asks at 64 bits, in linear arithmetic."""
    here, took = LinearWorld(), 0.0
    for claim, given in ask(here):
        answer = here.prove(claim, *given)
        took += answer.seconds
        assert answer.proved, f"{name}: {answer.verdict} {answer.counterexample}"
    proved.append((name, "64 bits", took))
