"""`ebpfvm map`, and what user space may read of maps and of the packets in them."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from ebpfvm.api import Scene, load, simulate
from ebpfvm.btf.encode import BtfBuilder
from ebpfvm.cli.main import main
from ebpfvm.dialects import rfc6
from ebpfvm.errors import UsageError
from ebpfvm.kernel import Kernel
from ebpfvm.loader.object import MapSpec
from ebpfvm.maps import make_map
from ebpfvm.maps.map_dump import DEBUG_KEY, dump_map, format_value
from ebpfvm.sched.simulation import BOOT_NS

SAMPLES = Path(__file__).parents[3] / "samples"
WFQ, PFIFO = str(SAMPLES / "rfc" / "wfq.o"), str(SAMPLES / "rfc" / "pfifo.o")
QUICK = ("--unverified", "--engine", "interp")
STATS = ("run", WFQ, *QUICK, "--flows", "cbr:rate=1mbit,packets=3")
FULL = ("run", PFIFO, *QUICK, "--flows", "cbr:rate=20mbit", "--duration", "2ms")


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["map", *words]) == 0
    return capsys.readouterr().out


def test_show_lists_maps(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "show", *STATS)
    assert "array  name stats  flags 0x0\n\tkey 4B  value 40B  max_entries 8\n" in out
    assert "rbtree_of_maps  name queues" in out
    shown = json.loads(said(capsys, "-j", "list", "name", "weights", *STATS))
    assert [(item["name"], item["type"], item["value_size"]) for item in shown] == [("weights", "array", 4)]


def test_dump_in_bpftools_shape(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "dump", "name", "weights", *STATS)
    assert out.splitlines()[0] == "key: 00 00 00 00  value: 00 00 00 00"
    assert out.splitlines()[-1] == "Found 8 elements"
    elements = json.loads(said(capsys, "-j", "dump", "name", "stats", *STATS))
    assert elements[0]["key"] == ["0x00"] * 4
    assert sum(item["formatted"]["value"]["packets"] for item in elements) == 3


def test_a_map_by_id_and_an_element_by_key(capsys: pytest.CaptureFixture[str]) -> None:
    shown = json.loads(said(capsys, "-j", "show", "name", "stats", *STATS))
    out = said(capsys, "lookup", "id", str(shown[0]["id"]), "key", "hex", "07", "00", "00", "00", *STATS)
    assert out.startswith("key:\n07 00 00 00\nvalue:\n")
    same = said(capsys, "lookup", "name", "stats", "key", "0x07", "0", "0", "0", *STATS)
    assert same == out
    assert main(["map", "lookup", "name", "stats", "key", "9", "0", "0", "0", *STATS]) == 2
    assert "Not found" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "message"), [
    (("dump", *STATS), "'name NAME' or 'id N' is missing"),
    (("dump", "name", "stats"), "'run ARGUMENTS...' is missing"),
    (("dump", "name", "nope", *STATS), "no map 'nope'; there are: "),
    (("show", "everything", *STATS), "unknown word 'everything'"),
    (("lookup", "name", "stats", *STATS), "'key BYTE...' is missing"),
    (("lookup", "name", "stats", "key", "x", *STATS), "expected bytes"),
    (("lookup", "name", "stats", "key", "256", "0", "0", "0", *STATS), "expected bytes"),
    (("lookup", "name", "stats", "key", "1", *STATS), "has keys of 4 bytes, not 1"),
])
def test_wrong_usage(words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["map", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_stored_packet_reads_as_zeros(capsys: pytest.CaptureFixture[str]) -> None:
    elements = json.loads(said(capsys, "-j", "dump", "name", "pifo", *FULL))
    assert elements and all(item["value"] == ["0x00"] * 8 for item in elements)
    assert elements[0]["formatted"]["value"] == {"skb": "0x0"}
    assert elements[0][DEBUG_KEY][0]["sk_buff"]["len"] == 1000
    out = said(capsys, "dump", "name", "pifo", *FULL)
    assert "value: 00 00 00 00 00 00 00 00\n  [debug, no kernel shows this] owns at 0: id " in out


def test_run_dumps_maps(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*STATS, "--dump-maps", "weights", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in data["maps"]] == ["weights"]
    assert main([*STATS, "--dump-maps"]) == 0
    assert "rbtree_of_maps  name queues" in capsys.readouterr().out
    assert main([*STATS, "--json"]) == 0
    assert "maps" not in json.loads(capsys.readouterr().out)
    assert main([*STATS, "--dump-maps", "nope"]) == 2


def test_a_map_of_maps_reads_as_ids() -> None:
    result = simulate(load(WFQ), flows=["cbr:rate=1mbit,packets=1"], unverified=True, dump_maps=[])
    assert result.maps is not None
    by_name = {item.name: item for item in result.maps}
    first = by_name["queues"].elements[0]
    assert int.from_bytes(first.value, "little") == by_name["q0"].id


def test_what_cannot_be_read_says_so() -> None:
    ring = make_map(Kernel(rfc6()), MapSpec("user_ringbuf", max_entries=4096, name="ring"))
    dump = dump_map(ring)
    assert dump.elements == () and "ENOTSUPP" in dump.error and dump.error in list(dump.body())


def test_records_are_shown_and_stay() -> None:
    ring: Any = make_map(Kernel(rfc6()), MapSpec("ringbuf", max_entries=4096, name="ring"))
    ring.output(b"abc", 0)
    ring.output(bytes(range(20)), 0)
    for _ in range(2):
        dump = dump_map(ring)
        assert list(dump.body()) == [
            "record (CPU 00): 61 62 63", "record (CPU 00):", "00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f",
            "10 11 12 13", "Found 2 records"]
        assert dump.as_dict()["records"][0] == {"cpu": 0, "data": ["0x61", "0x62", "0x63"]}
    assert [record.data for record in ring.records()] == [b"abc", bytes(range(20))]
    assert dump_map(ring).records == () and ring.records() == []


def test_perf_records_are_shown() -> None:
    events: Any = make_map(Kernel(rfc6()), MapSpec("perf_event_array", 4, 4, 2, name="events"))
    assert [events.output(index, b"x") for index in (0, 1, 2)] == [0, -errno.ENOENT, -errno.E2BIG]
    assert list(dump_map(events).body()) == ["record (CPU 00): 78", "Found 1 record"]
    assert events.records() == [(0, b"x")] and events.kernel.records.bytes == 0


def test_values_by_their_types() -> None:
    made = BtfBuilder()
    u32, s8 = made.integer("unsigned int", 4), made.integer("signed", 1, signed=True)
    struct = made.struct("s", [("a", u32), ("b", made.array(s8, 2)), ("p", made.ptr(u32))])
    btf = made.btf()
    data = (5).to_bytes(4, "little") + b"\xff\x02" + bytes(2) + (0x1234).to_bytes(8, "little")
    value: Any = format_value(btf, struct, data)
    assert value["a"] == 5 and value["b"] == [-1, 2]


def test_user_space_writes_while_it_runs() -> None:
    seen: list[bytes] = []

    def prepare(scene: Scene) -> None:
        scene.map("weights").sys_update(bytes(4), (9).to_bytes(4, "little"))
        scene.simulation.loop.at(BOOT_NS + 1_000_000, lambda _: seen.append(scene.map("weights").sys_lookup(bytes(4))))
        with pytest.raises(UsageError, match="no map 'nope'"):
            scene.map("nope")
        with pytest.raises(UsageError, match="tc commands need"):
            scene.tc("tc qdisc show")

    simulate(load(WFQ), flows=["cbr:rate=1mbit,packets=3"], unverified=True, prepare=prepare)
    assert seen == [(9).to_bytes(4, "little")]


def test_ingress_needs_a_script() -> None:
    with pytest.raises(UsageError, match="needs a tc script that says"):
        simulate(PFIFO, flows=["cbr:rate=1mbit"], ingress=True)


def test_ingress_reaches_the_stack(tmp_path: Path) -> None:
    script = tmp_path / "empty.tc"
    script.write_text("")
    result = simulate(tc=script, flows=["cbr:rate=1mbit,packets=5"], ingress=True)
    assert result.ok and result.out_packets == 5
    assert result.flows[0].delay["max"] == 0


def test_values_of_each_cpu() -> None:
    counts = make_map(Kernel(rfc6()), MapSpec("percpu_array", 4, 8, 1, name="counts"))
    dump = dump_map(counts)
    assert list(dump.body()) == ["key:", "00 00 00 00", "value (CPU 00): 00 00 00 00 00 00 00 00", "Found 1 element"]
    assert dump.elements[0].as_dict()["values"] == [{"cpu": 0, "value": ["0x00"] * 8}]


@pytest.mark.parametrize(("key_size", "value_size", "lines"), [
    (4, 4, ["key: 00 00 00 00  value: 00 00 00 00"]),
    (16, 16, ["key: " + "00 " * 8 + " " + "00 " * 7 + "00", "value: " + "00 " * 8 + " " + "00 " * 7 + "00"]),
    (4, 17, ["key:", "00 00 00 00", "value:", "00 " * 8 + " " + "00 " * 7 + "00", "00"]),
])
def test_lines_break_as_bpftools(key_size: int, value_size: int, lines: list[str]) -> None:
    made = make_map(Kernel(rfc6()), MapSpec("hash", key_size, value_size, 1, name="m"))
    made.sys_update(bytes(key_size), bytes(value_size))
    assert list(dump_map(made).body()) == [*lines, "Found 1 element"]


def test_a_map_of_maps_names_its_values(capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, "dump", "name", "queues", *STATS)
    assert out.startswith("key: 00 00 00 00  inner_map_id: ")
