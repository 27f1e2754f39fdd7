"""Captures that are larger than what is in memory of them: the same packets, warnings and messages."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tracemalloc
from pathlib import Path

import pytest

import ebpfvm
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.sched import pcap, windows
from ebpfvm.sched.pcap import Capture, PcapWriter, read_capture
from ebpfvm.sched.windows import FileContents, HeldContents, Spool

SAMPLE = Path(__file__).parents[3] / "samples"
STEPS = (1, 16, 33, 100, 4096)


def classic(order: str, sizes: list[int], draw: random.Random, magic: int = 0xA1B23C4D) -> bytes:
    found = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1)
    for number, size in enumerate(sizes):
        found += struct.pack(order + "IIII", 100, number, size, size + number % 3) + draw.randbytes(size)
    return found


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def blocks(order: str, sizes: list[int], draw: random.Random) -> bytes:
    """Return a section with an interface that has a long comment, and packets in blocks of all three kinds."""
    comment = struct.pack(order + "HH", 1, 400) + draw.randbytes(400)
    found = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    found += block(order, 1, struct.pack(order + "HHI", 1, 0, 0) + comment)
    for number, size in enumerate(sizes):
        data = draw.randbytes(size)
        if number % 3 == 0:
            found += block(order, 6, struct.pack(order + "IIIII", 0, 1, number, size, size) + data)
        elif number % 3 == 1:
            found += block(order, 3, struct.pack(order + "I", size) + data)
        else:
            found += block(order, 2, struct.pack(order + "HHIIII", 0, 0, 1, number, size, size) + data)
        found += block(order, 0x0BAD, draw.randbytes(number * 7 % 90))
    return found


def seen(path: Path) -> object:
    """Return all that a reader learns of a file: packets and facts, or the error."""
    try:
        capture = read_capture(str(path))
        facts = capture.link, capture.count, capture.truncated, capture.first, capture.warnings
        return facts, list(capture), list(capture)
    except LoadError as error:
        return str(error)


@pytest.fixture
def read_in(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    def read_in(step: int, path: Path) -> object:
        def open_windows(file: io.BufferedReader, path: str) -> FileContents:
            return FileContents(file, path, step)

        with monkeypatch.context() as patch:
            patch.setattr(pcap, "HELD", -1)
            patch.setattr(pcap, "FileContents", open_windows)
            return seen(path)
    return read_in


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("make", [classic, blocks])
def test_windows_of_any_size_show_the_same_packets(tmp_path: Path, read_in, order: str, make) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "in.pcap"
    draw = random.Random(5)
    path.write_bytes(make(order, [draw.choice((0, 1, 3, 60, 99, 5000)) for _ in range(60)], draw))
    whole = seen(path)
    assert isinstance(whole, tuple)
    assert len(whole[1]) == 60
    assert [read_in(step, path) for step in STEPS] == [whole] * len(STEPS)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("make", [classic, blocks])
def test_a_file_that_is_cut_anywhere_is_read_as_one_in_memory(tmp_path: Path, read_in, order: str, make) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "in.pcap"
    data = make(order, [20, 3, 40, 0, 17], random.Random(6))
    for length in range(1, len(data), 1 if make is classic else 3):
        path.write_bytes(data[:length])
        assert read_in(16, path) == seen(path), length


@pytest.mark.parametrize("make", [classic, blocks])
def test_damage_has_the_same_message_in_windows(tmp_path: Path, read_in, make) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "in.pcap"
    draw = random.Random(7)
    data = make("<", [20, 3, 40, 0, 17], draw)
    errors = 0
    for _ in range(300):
        damaged = bytearray(data)
        damaged[draw.randrange(len(data))] = draw.choice((0, 1, 0x7F, 0xFF))
        path.write_bytes(damaged)
        whole = seen(path)
        errors += isinstance(whole, str)
        assert read_in(33, path) == whole
    assert errors > 20


def large(path: Path, packets: int, size: int = 1000) -> None:
    with PcapWriter(path.open("wb")) as writer:
        for number in range(packets):
            writer.write(number, size, number.to_bytes(4, "big") * (size // 4))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "in.pcap"
    large(path, 12_000)
    tracemalloc.start()
    stamps = 0
    for stamp, _, data in read_capture(str(path)):
        assert data[:4] == stamp.to_bytes(4, "big")
        stamps += 1
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    assert stamps == 12_000


@pytest.fixture
def opened(tmp_path: Path) -> tuple[Path, Capture]:
    path = tmp_path / "in.pcap"
    large(path, 6000)
    return path, read_capture(str(path))


def test_the_packets_of_a_large_file_outlive_its_name(opened: tuple[Path, Capture]) -> None:
    path, capture = opened
    path.unlink()
    assert len(list(capture)) == 6000


def test_a_file_that_becomes_shorter_is_an_error(opened: tuple[Path, Capture]) -> None:
    path, capture = opened
    with path.open("r+b") as file:
        file.truncate(3_000_000)
    with pytest.raises(LoadError, match=r"in\.pcap: .*became shorter while it was read"):
        list(capture)


def test_a_file_that_has_other_packets_than_before_is_an_error(opened: tuple[Path, Capture]) -> None:
    path, capture = opened
    size = path.stat().st_size
    with PcapWriter(path.open("r+b")) as writer:
        room = size - 24
        while room:
            captured = min(room - 16, 200_000)
            writer.write(0, captured, bytes(captured))
            room -= captured + 16
            if 0 < room < 16:
                pytest.fail("choose another size")
    with pytest.raises(LoadError, match="changed while it was read"):
        list(capture)


def test_a_run_does_not_overwrite_the_capture_that_it_reads(opened: tuple[Path, Capture]) -> None:
    path, _ = opened
    size = path.stat().st_size
    with pytest.raises(UsageError, match=r"in\.pcap: would overwrite the capture that is replayed"):
        ebpfvm.simulate(SAMPLE / "rfc" / "pfifo.o", pcap=path, out=path, rate="1gbit")
    assert path.stat().st_size == size


# ---- bytes of unknown number ----------------------------------------------------------------------------------

@pytest.mark.parametrize("held", [0, 10, 1000])
def test_a_spool_returns_what_was_written(held: int) -> None:
    spool, written = Spool("p", held), b""
    for number in range(40):
        spool.write(bytes([number]) * number)
        written += bytes([number]) * number
    assert len(spool) == len(written)
    contents = spool.contents()
    assert isinstance(contents, HeldContents if held == 1000 else FileContents)
    assert len(contents) == len(written)
    assert contents.window(0, len(written))[0] == written


def test_without_temporary_files_a_spool_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "_temporary", lambda: None)
    spool = Spool("p", 3)
    spool.write(b"abcd")
    spool.write(b"efgh")
    assert spool.contents().window(0, 8) == (b"abcdefgh", 0)


def test_a_full_disk_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(windows, "_temporary", Full)
    with pytest.raises(LoadError, match=r"p: .*set TMPDIR to a folder with room: No space left on device"):
        Spool("p", 3).write(b"abcd")


@pytest.mark.parametrize("make", [classic, blocks])
def test_a_large_compressed_capture_has_the_packets_of_the_plain_one(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    plain, packed = tmp_path / "in.pcap", tmp_path / "in.gz"
    plain.write_bytes(make("<", [60_000] * 90, random.Random(8)))
    packed.write_bytes(gzip.compress(plain.read_bytes(), 1, mtime=0))
    assert plain.stat().st_size > windows.HELD
    assert seen(plain) == seen(packed)
