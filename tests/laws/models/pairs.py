"""A model beside the object that is to do the same, and where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.laws.models.bottleneck import WAYS, Model, Traffic, actual, expected

if TYPE_CHECKING:
    from random import Random

    from ebpfvm.loader.object import Object


class Pair(NamedTuple):
    """A model, its object below samples, values to try for the variables of both, and how many packets are stamped."""

    model: type[Model]
    path: str
    values: dict[str, tuple[int, ...]]
    stamped: float = 0

    def variables(self, draw: Random) -> dict[str, Any]:
        """Return some of the variables with values."""
        return {name: draw.choice(values) for name, values in self.values.items() if draw.random() < .7}


def differences(label: str, found: Object, model: Model, arrivals: Traffic, ways: tuple[str, ...] = WAYS) -> list[str]:
    """Return where an object differs from its model for one pattern of traffic."""
    runs = [actual(found, arrivals, way) for way in ways]
    fates = expected(model, arrivals, runs[0][1])
    return [f"{label}, {way}, packet {packet + 1}: {got} instead of {right}"
            for way, (seen, _) in zip(ways, runs, strict=True)
            for packet, (got, right) in enumerate(zip(seen, fates, strict=True)) if got != right]
