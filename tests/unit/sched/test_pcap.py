from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest

from ebpfvm.errors import LoadError
from ebpfvm.sched.pcap import ETHERNET, RAW_IP, PcapWriter, read_capture

PACKET = bytes(range(60))


def classic(order: str = "<", magic: int = 0xA1B2C3D4, link: int = 1, records: bytes = b"", minor: int = 4) -> bytes:
    return struct.pack(order + "IHHiIII", magic, 2, minor, 0, 0, 65535, link) + records


def record(order: str, seconds: int, fraction: int, captured: int, length: int, data: bytes = PACKET) -> bytes:
    return struct.pack(order + "IIII", seconds, fraction, captured, length) + data[:captured]


def block(order: str, kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def section(order: str) -> bytes:
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link: int = 1, snaplen: int = 0, options: bytes = b"") -> bytes:
    return block(order, 1, struct.pack(order + "HHI", link, 0, snaplen) + options)


def enhanced(order: str, stamp: int, data: bytes = PACKET, length: int | None = None, number: int = 0) -> bytes:
    head = struct.pack(order + "IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, len(data),
                       len(data) if length is None else length)
    return block(order, 6, head + data)


@pytest.fixture
def read(tmp_path: Path):  # type: ignore[no-untyped-def]
    def read(data: bytes):  # type: ignore[no-untyped-def]
        path = tmp_path / "in.pcap"
        path.write_bytes(data)
        return read_capture(str(path))
    return read


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "unit"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_classic_captures_of_both_orders_and_resolutions(read, order: str, magic: int, unit: int) -> None:  # type: ignore[no-untyped-def]
    capture = read(classic(order, magic, records=record(order, 7, 5, 60, 60) + record(order, 8, 6, 20, 1500)))
    assert list(capture) == [(7_000_000_000 + 5 * unit, 60, PACKET), (8_000_000_000 + 6 * unit, 1500, PACKET[:20])]
    assert (capture.link, len(capture), capture.truncated, capture.first) == (ETHERNET, 2, 1, 7_000_000_000 + 5 * unit)


@pytest.mark.parametrize("order", "<>")
def test_pcapng_with_its_time_resolutions(read, order: str) -> None:  # type: ignore[no-untyped-def]
    nanoseconds = struct.pack(order + "HHB3xHH", 9, 1, 9, 0, 0)
    binary = struct.pack(order + "HHB3xHHq", 9, 1, 0x80 | 10, 14, 8, 100)
    capture = read(section(order) + interface(order) + interface(order, options=nanoseconds)
                   + interface(order, options=binary) + block(order, 5, bytes(8)) + enhanced(order, 3_000_001)
                   + enhanced(order, 4_000_000_001, number=1) + enhanced(order, 1536, number=2, length=99))
    assert [(stamp, length) for stamp, length, _ in capture] == [
        (3_000_001_000, 60), (4_000_000_001, 60), (101_500_000_000, 99)]


def test_pcapng_simple_and_old_packet_blocks(read) -> None:  # type: ignore[no-untyped-def]
    simple = block("<", 3, struct.pack("<I", 100) + PACKET[:32])
    old = block("<", 2, struct.pack("<HHIIII", 0, 0, 0, 9, 60, 60) + PACKET)
    capture = read(section("<") + interface("<", snaplen=32) + old + simple)
    assert list(capture) == [(9000, 60, PACKET), (9000, 100, PACKET[:32])]


def test_a_second_section_may_have_the_other_byte_order(read) -> None:  # type: ignore[no-untyped-def]
    capture = read(section("<") + interface("<") + enhanced("<", 1) + section(">") + interface(">") + enhanced(">", 2))
    assert [stamp for stamp, _, _ in capture] == [1000, 2000]


def test_bare_ip_captures_are_read(read) -> None:  # type: ignore[no-untyped-def]
    assert read(classic(link=101, records=record("<", 0, 0, 60, 60))).link == RAW_IP


@pytest.mark.parametrize(("data", "message"), [
    (b"", "empty"),
    (b"\x7f", "only 1 bytes"),
    (b"\x7fELF" + bytes(60), "not a capture"),
    (classic()[:20], "cut short in its file header"),
    (classic(), "holds no packet"),
    (section("<"), "holds no packet"),
    (classic(records=record("<", 0, 0, 60, 60)[:9]), "cut short in the header of packet 1"),
    (classic(records=record("<", 0, 0, 60, 60)[:30]), "packet 1 has 14 of 60 bytes"),
    (classic(records=record("<", 0, 0, 0xFFFFFFFF, 60)), "claims 4294967295 captured bytes"),
    (classic(link=105, records=record("<", 0, 0, 60, 60)), r"link type 105 \(IEEE802_11\) is not supported"),
    (struct.pack("<IHHiIII", 0xA1B2C3D4, 3, 0, 0, 0, 0, 1), "version 3.0"),
    (section("<")[:-6], "cut short"),
    (section("<")[:8] + b"abcd" + section("<")[12:], "byte-order mark"),
    (section("<") + enhanced("<", 1), "interface 0, which no block describes"),
    (section("<") + struct.pack("<II", 6, 0xFFFFFFF0) + bytes(8), "claims 4294967280 bytes"),
    (section("<") + struct.pack("<II", 6, 13) + bytes(8), "claims 13 bytes"),
    (section("<") + interface("<") + block("<", 6, bytes(8)), "too short"),
    (section("<") + block("<", 1, b""), "too short"),
    (section("<") + interface("<") + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 5000, 5000)), "claims 5000"),
    (section("<") + interface("<", options=struct.pack("<HHB3x", 9, 1, 0x7F)), "time resolution"),
    (section("<") + interface("<") + interface("<", link=113) + enhanced("<", 1) + enhanced("<", 1, number=1),
     "mixes link types"),
])
def test_a_bad_capture_is_refused_with_its_reason(read, data: bytes, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(LoadError, match=message) as error:
        list(read(data))
    assert "in.pcap" in str(error.value)


def test_a_missing_file_is_a_load_error(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="No such file"):
        read_capture(str(tmp_path / "none.pcap"))


def test_a_length_on_the_wire_is_believed_within_reason(read) -> None:  # type: ignore[no-untyped-def]
    capture = read(classic(records=record("<", 0, 0, 60, 0xFFFFFFFF) + record("<", 0, 0, 60, 5)))
    assert [length for _, length, _ in capture] == [60, 60]


def test_what_is_written_is_a_nanosecond_capture(read) -> None:  # type: ignore[no-untyped-def]
    file = io.BytesIO()
    writer = PcapWriter(file, RAW_IP)
    writer.write(1_000_000_007, 1500, PACKET)
    capture = read(file.getvalue())
    assert capture.link == RAW_IP
    assert list(capture) == [(1_000_000_007, 1500, PACKET)]
