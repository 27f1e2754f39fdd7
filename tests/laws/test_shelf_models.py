"""The disciplines of the shelf do to each packet what models do that were written from the papers and RFCs.

`python -m tests.laws.shelf_runs` sends a thousand patterns of traffic through each.
"""

from __future__ import annotations

from inspect import signature
from typing import Final

import pytest

from ebpfvm.loader.open import load
from ebpfvm.loader.variables import variables
from tests.laws.models.bottleneck import Arrival, Traffic
from tests.laws.models.pairs import SAMPLES, Compared, compare, compare_on
from tests.laws.models.shelf_pairs import SHELF

MS: Final = 1_000_000
NOT_REACHED: Final = {"fq": {"forget_after"}}
"""Variables that change nothing: flows are forgotten when there are thousands."""


@pytest.mark.parametrize("name", SHELF)
def test_each_packet_has_the_fate_that_the_model_gives_it(name: str) -> None:
    assert compare(name, SHELF[name], 0, 2).differences[:5] == []


@pytest.mark.parametrize("name", SHELF)
def test_models_have_the_variables_of_the_objects_and_their_defaults(name: str) -> None:
    """Each variable gets several values, and those that a run leaves out mean the same for both."""
    pair = SHELF[name]
    found = load(SAMPLES / f"{pair.path}.o")
    constants = {item.name: item.read(found.maps[item.map].data) for item in variables(found)
                 if item.map.endswith(".rodata") and item.number and item.name.islower()}
    defaults = {word.name: word.default for kind in reversed(pair.model.__mro__[:-1])
                for word in signature(kind).parameters.values() if word.default is not word.empty}
    tried = constants.keys() - NOT_REACHED.get(name, set())
    assert pair.values.keys() == tried
    assert {word: defaults[word] for word in tried} == {word: constants[word] for word in tried}


def train(begin: int, packets: int, gap: int, flow: int = 0) -> list[Arrival]:
    """Return packets of a flow that arrive every `gap` ms, from `begin` ms on; a link of 1 Mbit/s needs 10 ms each."""
    return [Arrival((begin + number * gap) * MS, 1250, flow) for number in range(packets)]


def on_link(name: str, variables: dict[str, int], packets: list[Arrival], *resets: int) -> Compared:
    """Compare a discipline with its model on a link of 1 Mbit/s that is reset after so many ms."""
    arrivals = Traffic(1_000_000, (tuple(sorted(packets)),), tuple(time * MS for time in resets))
    return compare_on(arrivals, SHELF[name], variables)


def test_the_probability_of_dualpi2_falls_while_no_packet_comes() -> None:
    """The periods of ten seconds are made up for when a packet comes; they were at most a thousand."""
    packets = [*train(0, 120, 5), *train(10_000, 120, 5)]
    found = on_link("dualpi2", {"target": 1000, "period": MS}, packets)
    assert found.differences == [] and found.patterns["dropped on arrival"] == 4


@pytest.mark.parametrize("name", ["stfq", "hpfq"])
def test_a_reset_forgets_what_flows_have_got(name: str) -> None:
    """A flow whose packets were dropped does not pay for them in virtual time."""
    packets = [*train(0, 30, 0, flow=1), *train(16, 30, 0, flow=2), *train(17, 30, 0, flow=1)]
    assert on_link(name, {}, packets, 15).differences == []


def test_a_reset_forgets_what_codel_knew_of_flows_without_packets() -> None:
    """fq_codel_reset() initializes the state of all flows. One that dropped again soon began where it had stopped."""
    packets = [*train(0, 50, 0), *train(240, 3, 8, flow=1), *train(290, 50, 0)]
    found = on_link("fq_codel", {"target": 2 * MS, "interval": 20 * MS}, packets, 280)
    assert found.differences == [] and found.patterns["dropped later"] == 2
