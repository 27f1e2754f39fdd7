"""The line mode: what its commands print, in a file of commands, and typed at a terminal."""

from __future__ import annotations

import io
import os
import pty
import select
import sys
import time
from subprocess import Popen

import pytest

from ebpfvm.cli.main import main
from ebpfvm.debugger.console import Console
from ebpfvm.debugger.cursor import Cursor
from ebpfvm.debugger.knowledge import Knowledge
from ebpfvm.dialects import rfc6
from ebpfvm.limits import DEFAULTS
from tests.house.tree import ROOT
from tests.unit.debugger.recordings import of_qdisc

PFIFO = str(ROOT / "samples/rfc/pfifo.o")
QDISC = of_qdisc("pfifo", packets=3)[0]
PATIENCE = 30  # seconds for a process to answer


def answers(*commands: str) -> list[str]:
    """Return the lines that commands print, without those about the start."""
    out = io.StringIO()
    console = Console(Cursor(QDISC), lambda prog: Knowledge(prog.program, rfc6(), DEFAULTS),
                      io.StringIO("".join(f"{command}\n" for command in commands)), out)
    console.cmdloop()
    return out.getvalue().splitlines()[3:]


def test_a_position_is_a_line_and_an_instruction() -> None:
    assert answers("where")[2:4] == ["pfifo.bpf.c:18: if (pifo_len >= limit || pifo_push(ctx, 0)) {",
                                     "    0: (18) r2 = 0x0"]


def test_stepi_says_what_an_instruction_changed() -> None:
    assert any("packet 1 (1000 bytes) is held by" in line for line in answers("break call bpf_kptr_xchg", "c", "si 4"))


def test_elements_of_maps_are_shown_by_their_types_with_the_packets_in_them() -> None:
    at_packet_2 = ("break packet 2", "c", "break call bpf_kptr_xchg", "c", "si")
    assert "       map pifo, key {rank=0, seq=1}: {skb=NULL} -> {skb=packet 2}" in answers(*at_packet_2)
    assert answers(*at_packet_2, "maps pifo")[-1] == "pifo  key {rank=0, seq=1}  value {skb=packet 2}"
    assert answers(*at_packet_2, "rc 9", "maps pfifo.bss")[-1].endswith("value {pifo_len=0, dropped=0, pifo_seq=0}")


def test_a_breakpoint_is_named_where_it_stops() -> None:
    lines = answers("break packet 2", "continue")
    assert lines[0] == "breakpoint 1: packet 2"
    assert lines[1] == "stopped at breakpoint 1: packet 2"
    assert "pfifo_enqueue, packet #2" in lines[2]


def test_breakpoints_are_listed_and_deleted() -> None:
    assert answers("b 18", "b map pifo", "b", "d 1", "b", "d", "b")[2:] == [
        "1  18", "2  map pifo", "1  map pifo", "no breakpoints"]


def test_the_verifier_knew_more_than_the_registers_say() -> None:
    assert any(line.startswith("R1=ctx()") for line in answers("known"))


def test_the_queue_is_who_holds_which_packet() -> None:
    assert "packet 2 (1000 bytes): held by map pifo" in answers("b packet 3", "c", "owners")


def test_the_registers_say_what_they_point_to() -> None:
    assert any(line.endswith("fp") for line in answers("regs"))


def test_the_packet_is_shown_in_bytes() -> None:
    assert answers("packet")[0] == "packet #1, 1000 bytes"


@pytest.mark.parametrize(("command", "message"), [
    ("fly", "error: there is no command 'fly'; `help` lists them"),
    ("goto home", f"error: goto home: expected the number of a step, 0 to {len(QDISC.steps)}"),
    ("step often", "error: often: expected a number of times"),
    ("delete 7", "error: delete 7: expected the number of a breakpoint; `break` lists them"),
    ("regs 3", "error: regs 3: regs takes no argument"),
    ("help fly", "error: help fly: there is no such command; `help` lists them"),
])
def test_a_wrong_command_is_an_error_and_not_the_end(command: str, message: str) -> None:
    assert answers(command, "where")[0] == message
    assert len(answers(command, "where")) > 1


def test_comments_and_empty_lines_of_a_file_are_skipped() -> None:
    assert answers("# nothing", "", "breaks")[-1].startswith("error: there is no command 'breaks'")


def test_every_command_has_help() -> None:
    names = [name[3:] for name in dir(Console) if name.startswith("do_")]
    for name in names:
        assert answers(f"help {name}")[0].endswith((".", "]")), name


def test_a_wrong_command_in_a_file_is_the_exit_status(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    script = tmp_path / "commands"
    script.write_text("stepi\nfly\n")
    assert main(["debug", PFIFO, "--flows", "cbr:rate=1mbit,packets=1", "--commands", str(script)]) == 2
    assert "there is no command 'fly'" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "status", "message"), [
    ([PFIFO], 2, "name one"),
    ([PFIFO, "--flows", "cbr:rate=1mbit,packets=1", "--commands", "/nonexistent"], 3, "cannot be read"),
    ([str(ROOT / "samples/tc/dscp.o"), "--data-in", "/nonexistent"], 3, "cannot be read"),
])
def test_what_cannot_be_recorded(arguments: list[str], status: int, message: str, capsys) -> None:  # type: ignore[no-untyped-def]
    assert main(["debug", *arguments]) == status
    assert message in capsys.readouterr().err


def test_a_person_at_a_terminal_goes_back_in_time() -> None:
    master, slave = pty.openpty()
    process = Popen([sys.executable, "-m", "ebpfvm", "debug", PFIFO, "--flows", "cbr:rate=1mbit,packets=2"],
                    stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env={**os.environ, "TERM": "dumb"})
    os.close(slave)
    try:
        read_until(master, b"(ebpfvm) ")
        os.write(master, b"stepi 4\n")
        read_until(master, b"(ebpfvm) ")
        os.write(master, b"backi\n")
        assert b"    5: " in read_until(master, b"(ebpfvm) ")
        os.write(master, b"\x04")  # end of input leaves the debugger
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)


def read_until(terminal: int, end: bytes, anywhere: bool = False) -> bytes:
    """Return what a terminal shows until it ends with `end`, or until that is there if `anywhere`."""
    found, deadline = b"", time.monotonic() + PATIENCE
    while not (end in found if anywhere else found.endswith(end)):
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"no {end!r} within {PATIENCE} s, but {found!r}"
        found += os.read(terminal, 4096)
    return found
