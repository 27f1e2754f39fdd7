"""Elements of arrays that are always there are found without a test, and overwritten in place."""

from __future__ import annotations

from typing import Any

import pytest

from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.dialects import linux
from ebpfvm.engine import Interpreter, Translator
from ebpfvm.errors import LimitError
from ebpfvm.kernel import Kernel, LoadedProgram, SkbCtx, SkBuff
from ebpfvm.limits import Limits
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.maps import make_map
from tests.unit.verifier.build import build

# A key in r6; a value of two numbers, of which the first was stored as one and is read as two.
UPDATE = ("*(u32 *)(r10 - 4) = r6\nr1 = r6\nr1 *= 0x10001\nr1 <<= 3\n*(u64 *)(r10 - 24) = r1\nr2 = r6\nr2 += 7\n"
          "*(u64 *)(r10 - 16) = r2\nr1 = map[id:0]\nr2 = r10\nr2 += -4\nr3 = r10\nr3 += -24\nr4 = {flags}\ncall 2\n")
LOOKUP = "*(u32 *)(r10 - 4) = r6\nr1 = map[id:0]\nr2 = r10\nr2 += -4\ncall 1\n"
READ = "r1 = *(u32 *)(r10 - 20)\nr0 += r1\n"
ROUND = "r8 = 0\nr6 = 0\nround:\n{body}r8 *= 31\nr8 += r0\nr6 += 1\nif r6 != {rounds} goto round\nr0 = r8\nexit\n"


def program(text: str, kind: str = "array", entries: int = 4) -> Program:
    builder = BtfBuilder()
    key, long = builder.integer("unsigned int", 4), builder.integer("unsigned long", 8)
    value = builder.struct("pair", [("a", long), ("b", long)])
    spec = MapSpec(kind, 4, 16, entries, name="m", btf=builder.btf(), key_type=key, value_type=value)
    return build(text, maps=(spec,), builder=builder)


def outcome(found: Program, engine: Any, limits: Limits | None = None) -> tuple[object, list[tuple[bytes, bytes]], str]:
    """What comes of a run: r0 or the limit, the map, and the translation."""
    kernel = Kernel(linux(), **({"limits": limits} if limits else {}))
    bpf_map = make_map(kernel, found.maps[0])
    run = engine.load(LoadedProgram(kernel, found, [bpf_map], facts=()))
    try:
        result: object = run(SkbCtx(kernel, SkBuff(kernel, bytes(60))))
    except LimitError as error:
        result = str(error)
    elems = bpf_map.elems
    source = getattr(run, "source", None)
    return result, [(key, elems[key].read(0, 16)) for key in elems], source.code if source is not None else ""


def both(found: Program, limits: Limits | None = None) -> str:
    """Assert that both engines agree, and return the translation."""
    expected = outcome(found, Interpreter(), limits)
    actual = outcome(found, Translator(), limits)
    assert actual[:2] == expected[:2]
    return actual[2]


@pytest.mark.parametrize("kind", ["array", "percpu_array"])
@pytest.mark.parametrize("flags", [0, 1, 2])
def test_an_update_of_an_element_that_is_there(kind: str, flags: int) -> None:
    found = program(ROUND.format(body=UPDATE.format(flags=flags) + READ, rounds=4), kind)
    code = both(found)
    assert ("PUT" in code) == (flags != 0)


def test_a_key_that_grows_beyond_the_end_is_refused_there() -> None:
    """What holds in the first rounds does not hold in the last."""
    code = both(program(ROUND.format(body=UPDATE.format(flags=0), rounds=6)))
    assert "PUT" in code


def test_a_look_up_of_an_element_that_is_there_is_not_tested() -> None:
    body = LOOKUP + "if r0 == 0 goto none\nr1 = *(u64 *)(r0 + 8)\nr1 += 5\n*(u64 *)(r0 + 8) = r1\nr0 = r1\nnone:\n"
    assert " is None" not in both(program(ROUND.format(body=body, rounds=4)))
    assert " is None" in both(program(ROUND.format(body=body, rounds=5)))
    inverse = LOOKUP + "if r0 != 0 goto some\nr0 = 77\ngoto none\nsome:\nr0 = *(u64 *)(r0 + 0)\nnone:\n"
    assert "77" not in both(program(ROUND.format(body=inverse, rounds=4)))
    assert "77" in both(program(ROUND.format(body=inverse, rounds=4), "hash"))


def test_an_element_that_exceeds_a_limit() -> None:
    both(program(ROUND.format(body=UPDATE.format(flags=0), rounds=4)), Limits(map_elements=2))


def test_a_part_that_is_stored_again_is_no_part_of_the_whole() -> None:
    body = ("*(u32 *)(r10 - 4) = r6\nr1 = r6\nr1 *= 0x12345678\nr1 <<= 5\n*(u64 *)(r10 - 24) = r1\n"
            "*(u32 *)(r10 - 20) = 3\n"
            "r1 = *(u64 *)(r10 - 24)\n*(u64 *)(r10 - 16) = r1\nr1 = map[id:0]\nr2 = r10\nr2 += -4\nr3 = r10\n"
            "r3 += -24\nr4 = 0\ncall 2\n")
    both(program(ROUND.format(body=body + READ, rounds=4)))


@pytest.mark.parametrize("length", [60, 61])
def test_look_ups_of_which_one_may_fail_are_tested(length: int) -> None:
    """Both results are one variable, because they meet."""
    body = (f"r7 = *(u32 *)(r1 + 0)\nr6 = 3\nif r7 != {length} goto other\n{LOOKUP}goto meet\nother:\nr6 = 9\n{LOOKUP}"
            "meet:\nif r0 == 0 goto none\nr0 = *(u64 *)(r0 + 0)\nexit\nnone:\nr0 = 77\nexit\n")
    assert "77" in both(program(body))
