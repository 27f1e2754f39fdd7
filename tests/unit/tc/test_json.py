"""`tc -j` prints what iproute2 prints: recorded in tests/data/tc_json.txt, with the text of a few other commands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.shown import json_text
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script
from tests.unit.tc.test_transcripts import SETUP, scenarios, steady

RECORD = Path(__file__).parents[2] / "data" / "tc_json.txt"
UNSTEADY = {"seed", "bytes", "packets", "installed", "last_used"}


def plain(value: Any, key: str = "") -> Any:
    """Return a value without default qdiscs and what differs from run to run."""
    if isinstance(value, tuple):
        return tuple((name, plain(item, name)) for name, item in value)
    if isinstance(value, list):
        return [plain(item) for item in value if not (isinstance(item, tuple) and ("handle", "0:") in item)]
    if key in UNSTEADY and isinstance(value, int) and (key != "seed" or value > 1 << 20):
        return 0
    return "8xxx:" if key == "handle" and re.fullmatch(r"80\d\d:", str(value)) else value


def objects(lines: list[str]) -> Any:
    """Return JSON with objects as tuples of pairs, because names may repeat and have an order."""
    return plain(json.loads("\n".join(lines), object_pairs_hook=tuple))


@pytest.mark.parametrize("number", range(len(scenarios(RECORD))))
def test_a_recorded_session_prints_the_same_json(number: int) -> None:
    net = Namespace(Kernel())
    for device in ("eth0", "eth1"):
        run_script(SETUP.format(device), net)
    for command, said in scenarios(RECORD)[number]:
        try:
            printed = run_script(command, net)
        except ScriptError as error:
            assert any(line.startswith("rc=") for line in said), f"{command}: {error}"
            continue
        assert not any(line.startswith("rc=") for line in said), command
        if said and re.match(r"tc (-\S+ )*-j", command):
            assert objects(printed) == objects(said), command
        else:
            assert steady("\n".join(printed).split("\n")) == steady(said), command


def test_pretty_json_has_the_white_space_of_iproute2() -> None:
    checked = 0
    for command, said in (item for scenario in scenarios(RECORD) for item in scenario):
        if "-p" in command and said:
            value = json.loads("\n".join(said), object_pairs_hook=tuple)
            assert json_text(value, spread=True).split("\n") == [line for line in said if line]
            checked += 1
    assert checked >= 5


def test_matches_that_iproute2_has_no_json_for_are_lists_of_words() -> None:
    net = Namespace(Kernel())
    run_script(SETUP.format("eth0"), net)
    run_script("tc qdisc add dev eth0 root handle 1: prio; tc filter add dev eth0 parent 1: prio 1 protocol ip basic "
               "match 'u32(u8 0x10 0xff at 1)' flowid 1:1", net)
    shown = json.loads("\n".join(run_script("tc -j filter show dev eth0", net)))
    assert shown[1]["options"] == {"handle": "1", "flowid": "1:1", "match": ["u32(00100000/00ff0000 at 0)"]}
