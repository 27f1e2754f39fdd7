"""Test runs of types that are not given an skb or xdp_buff; Linux 6.18 returned the same."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.api import load
from ebpfvm.errors import UsageError
from ebpfvm.testrun import TestRun, pack_ctx
from ebpfvm.testrun import test_run as run_once
from tests.unit.runs.packets import PACKETS

OBJECT = load(Path(__file__).parent / "programs" / "others.o")
pytestmark = pytest.mark.parametrize("engine", ["interp", "translate"])


def run(name: str, engine: str, **more: Any) -> tuple[TestRun, list[int]]:
    program = OBJECT.programs[name]
    result = run_once(program, engine=engine, kernel="6.18", source=OBJECT, **more)
    index = [spec.name for spec in program.maps].index("results")
    return result, [int.from_bytes(value, "little", signed=True) for value in result.maps[index].values()]


@pytest.mark.parametrize(("packet", "retval", "keys"), [
    ("syn", 0, "0e002200000800000006080010e100500a010203c0a80709"), ("arp", 2, "0e000e00000000000000080600000000"),
    ("icmp", 0, "0e004a000008000000010800080012340a010203c0a80709"),
])
def test_flow_dissector(engine: str, packet: str, retval: int, keys: str) -> None:
    result, notes = run("dissect", engine, data=PACKETS[packet])
    assert result.retval == retval and result.data.hex() == keys.ljust(112, "0")
    assert notes[1] == len(PACKETS[packet]) and notes[2] == (-14 if retval == 0 else 0)
    flagged, _ = run("dissect", engine, data=PACKETS[packet], ctx={"flags": 2})
    assert flagged.data[48:52] == b"\2\0\0\0"
    with pytest.raises(UsageError, match="accepts no context except flags"):
        run("dissect", engine, ctx={"mark": 1})


def test_memory(engine: str) -> None:
    result, _ = run("add", engine, ctx=struct.pack("<3Q", 5, 2, 9))
    assert result.retval == 7 and pack_ctx(OBJECT.programs["add"], result.ctx) == struct.pack("<3Q", 5, 2, 7)
    assert run("add", engine, ctx=bytes(24))[0].retval == (1 << 32) - 3
    result, notes = run("traced", engine, ctx=struct.pack("<2Q", 7, 8))
    assert (result.retval, notes[:2], result.warnings) == (0, [7, 8], ())
    with pytest.raises(UsageError, match="takes its context as bytes"):
        run("add", engine, ctx={"a": 1})


@pytest.mark.parametrize(("family", "port", "retval"), [(2, 443, 1), (2, 80, 0), (10, 80, 0)])
def test_sk_lookup(engine: str, family: int, port: int, retval: int) -> None:
    ctx = {"family": family, "protocol": 6, "remote_ip4": 0x0100007F, "remote_ip6": [1, 2, 3, 4], "local_port": port,
           "local_ip4": 0x0200007F, "remote_port": 0x5000}
    result, notes = run("choose", engine, ctx=ctx)
    addresses = (0x0100007F, 0x0200007F) if family == 2 else (0, 0)
    assert result.retval == retval and not result.warnings
    assert notes[:8] == [family, 6, *addresses, port, 0x5000, 3 if family == 10 else 0, 1]
    assert pack_ctx(OBJECT.programs["choose"], result.ctx)[8:12] == family.to_bytes(4, "little")


def test_what_linux_would_refuse(engine: str) -> None:
    result, _ = run("choose", engine, ctx={"family": 7, "local_port": 70000, "ingress_ifindex": 1})
    assert [line.split(":")[0] for line in result.warnings] == [
        "family", "local_port 70000", "field 'ingress_ifindex' must be zero in a test run of Linux (EINVAL)"]
    with pytest.raises(UsageError, match="no field 'mark' that can be set"):
        run("choose", engine, ctx={"mark": 1})
