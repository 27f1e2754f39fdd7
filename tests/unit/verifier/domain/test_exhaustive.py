"""Every operation of the scalar domain is sound: tried out at widths where all numbers can be.

At 2 bits (sub-registers of 1) every state meets every state; at 4 bits (2) a spread of states meets each other and all
constants. `test_parts` tries all inputs of the parts at 4 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import TypeVar

import pytest

from ebpfvm.isa.table import ROWS
from tests.unit.verifier.domain.meaning import function
from tests.unit.verifier.domain.world import VERSIONS, World

WORLDS = [World(2, 1), World(4, 2)]
BINARY = [(row.op, row.width) for row in ROWS if row.kind == "alu" and row.source == "k" and row.op != "mov"]
JUMPS = [(row.op, row.width) for row in ROWS if row.kind == "jmp" and row.source == "k"]
Test = TypeVar("Test", bound=Callable[..., None])


def in_every_world(test: Test) -> Test:
    for mark in (pytest.mark.parametrize("version", VERSIONS), pytest.mark.parametrize("world", WORLDS, ids=str)):
        test = mark(test)
    return test


@in_every_world
@pytest.mark.parametrize(("op", "width"), BINARY)
def test_the_result_holds_every_possible_number(world: World, version: str, op: str, width: int) -> None:
    apply = world.rules[version].alu[op, width]
    for a, b in world.pairs(version, 70):
        result = world.members(apply(a, b))
        assert not world.image(op, width, world.members(a), world.members(b)) & ~result, (a, b, apply(a, b))


@in_every_world
@pytest.mark.parametrize(("op", "width"), JUMPS)
def test_a_branch_keeps_every_number_that_may_take_it(world: World, version: str, op: str, width: int) -> None:
    branch = world.rules[version].branch[op, width]
    run = function(op, width, world.width(width))
    full = (1 << world.size) - 1
    by_left = [sum(1 << y for y in world.numbers if run(x, y)) for x in world.numbers]
    by_right = [sum(1 << x for x in world.numbers if run(x, y)) for y in world.numbers]
    not_left, not_right = [~hit & full for hit in by_left], [~hit & full for hit in by_right]
    for a, b in world.pairs(version, 50):
        outcome = branch(a, b)
        in_a, in_b = world.members(a), world.members(b)
        yes_a, no_a = reach(in_a, in_b, by_left), reach(in_a, in_b, not_left)
        if outcome.taken >= 0:
            assert not (no_a if outcome.taken else yes_a), (a, b, outcome)
            continue
        needed = yes_a, reach(in_b, in_a, by_right), no_a, reach(in_b, in_a, not_right)
        for kept, need in zip((*outcome.yes, *outcome.no), needed, strict=True):
            assert not need & ~world.members(kept), (a, b, outcome)


def reach(these: int, others: int, partners: list[int]) -> int:
    """Those of `these` that have a partner among `others`."""
    return sum(1 << x for x, partner in enumerate(partners) if these >> x & 1 and partner & others)


@in_every_world
def test_a_register_compared_with_itself(world: World, version: str) -> None:
    for (op, width), branch in world.rules[version].branch_itself.items():
        run = function(op, width, world.width(width))
        ways = [run(x, x) for x in world.numbers]
        for num in world.some(version, 500):
            outcome = branch(num)
            members = world.members(num)
            for x in world.numbers:
                if members >> x & 1:
                    assert outcome.taken in (ways[x], -1), (op, width, num)
                    kept = outcome.yes if ways[x] else outcome.no
                    assert world.members(kept[0]) >> x & 1, (op, width, num)


@in_every_world
def test_negation_and_copies_of_the_lower_half(world: World, version: str) -> None:
    unary = world.rules[version].unary
    for num in world.states(version):
        here = [x for x in world.numbers if world.members(num) >> x & 1]
        for key, expected in ((("mov", 32), [x & world.low for x in here]),
                              (("neg", 64), [-x & world.top for x in here]),
                              (("neg", 32), [-x & world.low for x in here])):
            result = world.members(unary[key](num))
            assert all(result >> x & 1 for x in expected), (key, num)


@in_every_world
def test_cutting_and_sign_extension(world: World, version: str) -> None:
    cast = world.domain.interval_cast if version == "6.18" else world.domain.circular_cast
    for bits, num in product(range(1, world.bits), world.states(version)):
        here = [x for x in world.numbers if world.members(num) >> x & 1]
        half = 1 << bits - 1
        keep = 2 * half - 1
        for cut in (cast.cast(num, bits), cast.truncate(num, bits)):
            assert all(world.members(cut) >> (x & keep) & 1 for x in here), (bits, num)
        extended = [((x & keep) ^ half) - half for x in here]
        if bits <= world.sub:
            wide = world.members(cast.sext64(num, bits))
            assert all(wide >> (x & world.top) & 1 for x in extended), (bits, num)
        if bits < world.sub:
            short = world.members(cast.sext32(num, bits))
            assert all(short >> (x & world.low) & 1 for x in extended), (bits, num)


@in_every_world
def test_known_return_ranges(world: World, version: str) -> None:
    half = 1 << world.sub - 1
    for num, low in product(world.some(version, 300), range(-half, half)):
        for high in range(low, half):
            inside = [x for x in world.numbers if world.members(num) >> x & 1
                      and low <= ((x ^ world.size // 2) - world.size // 2) <= high]
            result = world.members(world.rules[version].s32_range(num, low, high))
            assert all(result >> x & 1 for x in inside), (num, low, high)


@in_every_world
def test_synchronising_again_loses_nothing(world: World, version: str) -> None:
    """And it gains nothing in 6.18. In 7.2 it may trade one range for another, where two arcs meet in two pieces."""
    for num in world.states(version):
        again = world.members(world.rules[version].sync(num))
        assert not world.members(num) & ~again, num
        assert version == "7.2" or again == world.members(num), num


@in_every_world
def test_within_means_that_no_number_is_outside(world: World, version: str) -> None:
    within = world.rules[version].within
    spread = world.some(version, 250)
    for old, new in product(spread, spread):
        assert not within(old, new) or not world.members(new) & ~world.members(old), (old, new)
    unknown = world.domain.num.UNKNOWN
    assert all(within(num, num) and within(unknown, num) for num in world.states(version))


@in_every_world
def test_a_fork_covers_both_values(world: World, version: str) -> None:
    for num in world.states(version):
        forked = world.rules[version].fork(num)
        if forked:
            assert not world.members(num) & ~(world.members(forked[0]) | world.members(forked[1])), num


@in_every_world
def test_offsets_of_pointers(world: World, version: str) -> None:
    rules = world.rules[version]
    for a, b in product(world.some(version, 90), repeat=2):
        for op, result in (("add", rules.pointer_add(a, b)), ("sub", rules.pointer_sub(a, b))):
            assert not world.image(op, 64, world.members(a), world.members(b)) & ~world.members(result), (op, a, b)


@pytest.mark.parametrize("version", VERSIONS)
def test_there_are_enough_states(version: str) -> None:
    assert [len(world.states(version)) for world in WORLDS] >= {"6.18": [15, 700], "7.2": [15, 2000]}[version]
