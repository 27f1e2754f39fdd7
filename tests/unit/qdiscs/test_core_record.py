"""The core around qdiscs of programs, command by command, as Linux 7.2.13 was recorded with the same objects.

Each case is a list of steps: a command, or a packet for a device. What the programs say (which member is called, and
what it finds) and what commands print must be equal. The devices of the record send at once, so each step ends when
nothing is left to do. A packet's queue is set by its mark.
"""

from __future__ import annotations

import gzip
import json
import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ebpfvm.experiments import open_namespace
from ebpfvm.sched.packet import build
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script

if TYPE_CHECKING:
    from ebpfvm.sched.netdev import Namespace

HERE = Path(__file__).parent
CASES = json.loads(gzip.decompress((HERE.parents[1] / "data" / "qdisc_core_7_2.json.gz").read_bytes()))
REGISTER, *CASES = CASES
ENGINES = ["interp", "translate"]
# What tc says about words that it cannot read is ebpfvm's own text.
OWN_WORDS = re.compile(r"Unknown qdisc .* hence option|Qdisc .* is classless")
ANSWER = re.compile(r"(?:Error|RTNETLINK answers|sysctl): (.*?)\.?$")


class Machine:
    """The emulator's side of the record."""

    def __init__(self, engine: str) -> None:
        self.net: Namespace = open_namespace(mainline=True, engine=engine)
        self.seen = 0
        for step in REGISTER["steps"][1:]:
            self.command(step["do"])

    def command(self, text: str) -> list[str]:
        return run_script(text, self.net, folder=str(HERE / "objects"))

    def do(self, step: Any) -> list[str]:
        """What the step prints."""
        if isinstance(step, str):
            try:
                shown = self.command(step)
            except ScriptError as error:
                return [str(error)]
            self.wait(1)
            return shown
        if step[0] == "sleep":
            self.wait(step[1])
        elif step[0] == "send":
            self.send(*step[1:])
        else:
            name, header, data = step[1:]
            size = struct.unpack("<BBHHHH", bytes.fromhex(header))[3]
            self.net.device(name).xmit(self.net.packet(bytes.fromhex(data), gso_size=size))
            self.wait(1)
        return []

    def send(self, name: str, mark: int, priority: int = 0, size: int = 100) -> None:
        self.net.device(name).xmit(self.net.packet(build(length=size), mark=mark, priority=priority))
        self.wait(1)

    def wait(self, ms: int) -> None:
        self.net.loop.run(self.net.loop.now + ms * 1_000_000)

    def trace(self) -> list[str]:
        """What the programs have said since the last call."""
        lines = [line.rstrip("\n") for line in self.net.kernel.trace[self.seen:]]
        self.seen += len(lines)
        return lines


def printed(lines: list[str]) -> list[str]:
    """Lines without what differs: numbers of maps, counters of clsact."""
    kept = [re.sub("^(.*egistered .*) id [0-9]+$", "\\1", line) for line in lines]
    kept = [re.sub(r',\{"kind":"clsact".*', "]", line) for line in kept]
    at = next((number for number, line in enumerate(kept) if line.startswith("qdisc clsact")), len(kept))
    return kept[:at]


def same_output(recorded: list[str], shown: list[str]) -> bool:
    if recorded and recorded[-1].startswith("rc "):
        answer = ANSWER.match(recorded[0])
        return len(shown) == 1 and (OWN_WORDS.search(recorded[0]) is not None
                                    or (answer is not None and answer[1] in shown[0]))
    return printed(recorded) == printed(shown)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_core_does_what_linux_did(case: dict[str, Any], engine: str) -> None:
    machine = Machine(engine)
    handles = re.findall(r"handle (80[0-9a-f]{2})0000", json.dumps(case))
    machine.net._next_handle = int(min(handles, default="8001"), 16)  # one machine was recorded, case after case
    for number, step in enumerate(case["steps"]):
        shown = machine.do(step["do"])
        where = number, step["do"]
        assert (where, machine.trace()) == (where, step["trace"])
        if isinstance(step["do"], str):
            assert same_output(step["out"], shown), (where, step["out"], shown)
    assert machine.net.account.close() == {}
    assert not machine.net.account.problems
    assert machine.net.kernel.refs.live() == []


@pytest.mark.parametrize("engine", ENGINES)
def test_reading_the_options_of_a_kind_that_has_none_is_a_fault(engine: str) -> None:
    """Linux 7.2 kills tc with an oops there, and keeps its lock; a comparison with NULL does not help."""
    machine = Machine(engine)
    machine.command("bpftool struct_ops register core_po.o\nip link add d0 type dummy")
    with pytest.raises(ScriptError, match="through the argument opt of init, which is NULL"):
        machine.command("tc qdisc add dev d0 root handle 1: bpf_po")
    assert machine.trace()[1] == "po init limit 0 state 0 opt 1"
