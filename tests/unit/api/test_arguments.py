"""Every argument of a wrong type or range is a UsageError that names the argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ebpfvm
from ebpfvm.api import open_namespace
from ebpfvm.cli.main import build_parser
from ebpfvm.cli.selection import given_options
from ebpfvm.errors import UsageError
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import encode
from ebpfvm.scenario import Scenario
from ebpfvm.testrun import Session

ROOT = Path(__file__).parents[3]
PFIFO = str(ROOT / "samples" / "rfc" / "pfifo.o")
DSCP = str(ROOT / "samples" / "tc" / "dscp.o")
FLOWS = ["cbr:rate=1mbit,packets=2"]

WRONG: dict[str, tuple[object, ...]] = {
    "source": (3, b"x", [PFIFO]), "pcap": (3, b"x", True), "flows": ("cbr:rate=1mbit", 3, [3], [b"cbr:rate=1mbit"]),
    "rate": (1.5, 0, -1, True, None, "fast", [1]), "delay": (1.5, -1, None, "soon"), "mtu": (5, 67, 1.5, "big", True),
    "out": (3, b"x", True), "seed": (1.5, "1", None, 1 << 64), "duration": (-5, 1.5, "later", True),
    "engine": (3, "jit"), "kernel": (3, 7.2, "2.6"), "btf": (3, b"x"),
    "priority": (3, None, "high"), "tc": (3, b"tc qdisc show"),
    "enqueue": (3, b"e"), "dequeue": (["d"],), "unverified": (1, "no", None), "record": (1, None),
    "ingress": ("yes", 0), "pin": ("flows", 3, [3], b"x"), "dump_maps": ("flows", 3, [None]), "prepare": (3, "f"),
    "observer": (3,), "hooks": (3,), "config": (3,), "progress": ("p",), "limits": (3, {"events": 1}, None),
    "results": (3, b"x", True), "sample": (0, 1.5, None, "soon"), "events": ("yes", 1, None), "title": (3, None),
    "hops": ("fast", 3, [3], None), "back": (3, "slow"),
    "define": ("A=b", 3, {"A": 1}, ["a b=3"], None)}


def test_every_option_of_a_simulation_is_tried() -> None:
    assert set(WRONG) == set(Scenario.__dataclass_fields__)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_simulate_names_the_option_that_is_wrong(name: str, value: object) -> None:
    options: dict[str, Any] = {"flows": FLOWS, name: value}
    source = options.pop("source", PFIFO)
    with pytest.raises(UsageError, match=rf"\b{name}\b|\b{value}\b" if name in ("engine", "kernel") else rf"^{name}"):
        ebpfvm.simulate(source, **options)


def test_an_option_that_does_not_exist_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"simulate has no option 'rates'; did you mean 'rate'\?"):
        ebpfvm.simulate(PFIFO, flows=FLOWS, rates="1mbit")
    with pytest.raises(UsageError, match="simulate has no option 'zzz'; there are: source, pcap"):
        ebpfvm.simulate(PFIFO, zzz=1)


def test_options_of_other_functions_that_do_not_exist() -> None:
    with pytest.raises(UsageError, match=r"test_run has no option 'repeats'; did you mean 'repeat'\?"):
        ebpfvm.test_run(DSCP, repeats=3)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="Session has no option 'wait'; there are: engine, kernel"):
        Session(DSCP, wait=3)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match=r"open_namespace has no option 'seeds'; did you mean 'seed'\?"):
        open_namespace(seeds=3)  # type: ignore[call-arg]


def test_the_command_line_has_the_options_of_a_scenario() -> None:
    python_only = {"source", "btf", "record", "prepare", "observer", "progress", "hooks", "config", "limits", "hops",
                   "back"}
    assert {name for name, _ in Scenario.commands()} == set(Scenario.__dataclass_fields__) - python_only
    args = build_parser().parse_args(["run", PFIFO])
    assert given_options(args, Scenario.commands()) == {}
    args = build_parser().parse_args(["run", PFIFO, "--rate", "10mbit", "--seed", "0"])
    assert given_options(args, Scenario.commands()) == {"rate": "10mbit", "seed": 0}


def test_a_scenario_is_the_same_as_its_options() -> None:
    scenario = Scenario(PFIFO, flows=FLOWS, rate="1mbit")
    assert ebpfvm.simulate(scenario) == ebpfvm.simulate(PFIFO, flows=FLOWS, rate=1_000_000)
    with pytest.raises(UsageError, match="seed: a Scenario brings its own options"):
        ebpfvm.simulate(scenario, seed=3)


@pytest.mark.parametrize(("name", "value"), [
    ("program", 3), ("program", b"\x95"), ("data", "text"), ("data", None), ("data", 5), ("ctx", 3), ("ctx", [1]),
    ("maps", 3), ("maps", [1]), ("maps", {0: 3}), ("maps", {0: {"key": b"v"}}), ("maps", {0: {b"k": 3}}),
    ("engine", "jit"), ("engine", None), ("repeat", 0), ("repeat", -1), ("repeat", 1.5), ("repeat", True),
    ("seed", "x"), ("limits", {"events": 1}), ("limits", None)])
def test_test_run_names_the_argument_that_is_wrong(name: str, value: object) -> None:
    options: dict[str, Any] = {"program": ebpfvm.load(DSCP), name: value}
    with pytest.raises(UsageError, match=rf"^{name}"):
        ebpfvm.test_run(options.pop("program"), **options)


def test_test_run_takes_a_path_an_object_and_the_names_of_maps() -> None:
    code = encode(assemble("""
        *(u64 *)(r10 - 8) = 0
        r2 = r10
        r2 += -8
        r1 = map[id:0] ll
        call 1
        if r0 == 0 goto out
        r0 = *(u32 *)(r0 + 0)
    out:
        exit"""))
    program = ebpfvm.Program.from_bytes(code, type="sched_cls", maps=[
        ebpfvm.MapSpec(type="array", key_size=4, value_size=4, max_entries=2, name="counts")])
    entries = {bytes(4): (7).to_bytes(4, "little")}
    assert ebpfvm.test_run(program, maps={"counts": entries}).retval == 7
    assert ebpfvm.test_run(program, maps={0: entries}).retval == 7
    for which in ("count", 1, -1, True, None):
        with pytest.raises(UsageError, match=rf"no map {which!r}; it has: 0 'counts'"):
            ebpfvm.test_run(program, maps={which: entries})  # type: ignore[dict-item]
    assert ebpfvm.test_run(DSCP).retval == ebpfvm.test_run(ebpfvm.load(DSCP)).retval
    with pytest.raises(UsageError, match="holds 2 programs"):
        ebpfvm.test_run(PFIFO)


@pytest.mark.parametrize(("options", "name"), [
    ({"program": 3}, "program"), ({"log_level": 8}, "log_level"), ({"log_level": "2"}, "log_level"),
    ({"kernel": 7.2}, "kernel")])
def test_verify_names_the_argument_that_is_wrong(options: dict[str, Any], name: str) -> None:
    arguments = {"program": ebpfvm.load(DSCP), **options}
    with pytest.raises(UsageError, match=rf"^{name}"):
        ebpfvm.verify(arguments.pop("program"), **arguments)


@pytest.mark.parametrize(("name", "value"), [("seed", "x"), ("unverified", 1), ("pin", "map"), ("kernel", 7)])
def test_open_namespace_names_the_argument_that_is_wrong(name: str, value: Any) -> None:
    with pytest.raises(UsageError, match=rf"^{name}"):
        open_namespace(**{name: value})


@pytest.mark.parametrize(("make", "name"), [
    (lambda: ebpfvm.MapSpec(type=3.5), "type"), (lambda: ebpfvm.MapSpec("hash", key_size="4"), "key_size"),
    (lambda: ebpfvm.MapSpec("hash", max_entries=-1), "max_entries"),
    (lambda: ebpfvm.MapSpec("hash", name=None), "name"),
    (lambda: ebpfvm.Program.from_bytes("x", "xdp"), "code"),
    (lambda: ebpfvm.Program.from_bytes(bytes(8), None), "type"),
    (lambda: ebpfvm.Program.from_bytes(bytes(8), "xdp", maps=["m"]), r"maps\[0\]"),
    (lambda: ebpfvm.Program.from_bytes(bytes(8), "xdp", license=None), "license"),
    (lambda: ebpfvm.Kernel("7.2"), "dialect"), (lambda: ebpfvm.Kernel(seed="x"), "seed"),
    (lambda: ebpfvm.load(DSCP, name=3), "name"), (lambda: ebpfvm.load(DSCP, config=3), "config")])
def test_what_makes_objects_names_the_argument_that_is_wrong(make: Any, name: str) -> None:
    with pytest.raises(UsageError, match=rf"^{name}: expected"):
        make()
