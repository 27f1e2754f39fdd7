"""What `tc` on a kernel accepted, refused and printed, recorded in tests/data/tc_transcripts.txt, is what we do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script

RECORD = Path(__file__).parents[2] / "data" / "tc_transcripts.txt"
SETUP = "ip link add {0} type dummy; ip link set {0} up"
ERRNO = {"Invalid argument": "EINVAL", "Operation not supported": "EOPNOTSUPP", "File exists": "EEXIST",
         "No such file or directory": "ENOENT", "No space left on device": "ENOSPC",
         "Numerical result out of range": "ERANGE", "No such device": "'dev NAME' is missing"}
UNSTEADY = ((r"seed \d{6,}", "seed N"), (r"Sent \d+ bytes \d+ pkt", "Sent N bytes N pkt"),
            (r"(installed|used) \d+ sec", r"\1 N sec"), (r"\b80\d\d:", "8xxx:"))


def scenarios(record: Path = RECORD) -> list[list[tuple[str, list[str]]]]:
    """Return the scenarios: commands with what they print."""
    found: list[list[tuple[str, list[str]]]] = []
    for line in record.read_text().split("\n"):
        if line == "%%":
            found.append([])
        elif line.startswith("$ "):
            found[-1].append((line[2:], []))
        elif found and line != "":
            found[-1][-1][1].append(line)
        elif found:
            found[-1][-1][1].append("")
    return found


def steady(lines: list[str]) -> list[str]:
    """Return lines without what differs from run to run, empty ones at the end and default qdiscs."""
    kept = [line.rstrip() for line in lines if "pfifo_fast 0:" not in line]
    while kept and not kept[-1]:
        kept.pop()
    for pattern, text in UNSTEADY:
        kept = [re.sub(pattern, text, line) for line in kept]
    return kept


def refused(error: str, said: list[str]) -> bool:
    """Return whether an error is the recorded one; what `tc` itself refuses is refused in our own words."""
    for line in said:
        if line.startswith("Error: "):
            return line.removeprefix("Error: ").rstrip(".") in error
        if line.startswith("RTNETLINK answers: "):
            return ERRNO[line.removeprefix("RTNETLINK answers: ")] in error
    return True


@pytest.mark.parametrize("number", range(len(scenarios())))
def test_a_recorded_session_goes_as_it_went(number: int) -> None:
    net = Namespace(Kernel())
    for device in ("eth0", "eth1"):
        run_script(SETUP.format(device), net)
    for command, said in scenarios()[number]:
        try:
            printed = run_script(command, net)
        except ScriptError as error:
            assert any(line.startswith("rc=") for line in said), f"{command}: {error}"
            assert refused(str(error), said), f"{command}: {error} instead of {said}"
        else:
            assert steady("\n".join(printed).split("\n")) == steady(said), command
