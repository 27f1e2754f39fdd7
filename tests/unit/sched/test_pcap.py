from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tracemalloc
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
    (section("<") + interface("<") + interface("<", link=127) + enhanced("<", 1) + enhanced("<", 1, number=1),
     r"link type 127 \(IEEE802_11_RADIO\) is not supported by ebpfvm"),
    (section("<")[:12] + struct.pack("<H", 2) + section("<")[14:], "pcapng version 2.0"),
    (section("<") + interface("<") + enhanced("<", 5) + enhanced("<", 1 << 63), "years after the first"),
    (b"\x28\xb5\x2f\xfd" + bytes(60), "zstd is not supported by ebpfvm: unpack"),
    (b"\x04\x22\x4d\x18" + bytes(60), "lz4 is not supported by ebpfvm: unpack"),
    (b"\x1f\x8b" + bytes(60), "gzip data is damaged"),
    (b"BZh9" + bytes(60), "bzip2 data is damaged"),
    (b"\xfd7zXZ\0" + bytes(60), "xz data is damaged"),
    (gzip.compress(b"", mtime=0), "empty"),
    (gzip.compress(b"\x7fELF" + bytes(60), mtime=0), "not a capture"),
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


# ---- what common readers take ---------------------------------------------------------------------------------

IPV4 = bytes([0x45, 0, 0, 40]) + bytes(36)
IPV6 = bytes([0x60]) + bytes(59)
SENDER = bytes([2, 0, 0, 0, 0, 9])


def cooked(kind: int = 4, protocol: int = 0x0800, payload: bytes = IPV4) -> bytes:
    return struct.pack(">HHH", kind, 1, 6) + SENDER + bytes(2) + struct.pack(">H", protocol) + payload


def cooked2(kind: int = 4, protocol: int = 0x0800, payload: bytes = IPV4) -> bytes:
    return struct.pack(">HHIHBB", protocol, 0, 2, 1, kind, 6) + SENDER + bytes(2) + payload


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "unit", "before", "extra"), [
    (0xA1B2CD34, 1000, b"", bytes(8)), (0x1C0001AC, 1, bytes(4), b""), (0x1C0001AB, 1000, bytes(4), b"")])
def test_variants_of_the_classic_format(read, order: str, magic: int, unit: int, before: bytes,  # type: ignore[no-untyped-def]
                                        extra: bytes) -> None:
    one = record(order, 7, 5, 0, 0)[:8] + struct.pack(order + "II", 60, 60) + extra + PACKET
    assert list(read(classic(order, magic, records=before + one + one))) == [(7_000_000_000 + 5 * unit, 60, PACKET)] * 2


@pytest.mark.parametrize("field", [0x24000001, 0x04000001, 0x10000001, 0x00010001, 0xFFFF0001])
def test_the_upper_bits_of_the_link_field_are_no_part_of_the_type(read, field: int) -> None:  # type: ignore[no-untyped-def]
    capture = read(classic(link=field, records=record("<", 1, 0, 60, 60)))
    assert (capture.link, list(capture)) == (ETHERNET, [(1_000_000_000, 60, PACKET)])


@pytest.mark.parametrize(("link", "make", "head"), [(113, cooked, 16), (276, cooked2, 20)])
def test_cooked_captures_become_frames(read, link: int, make, head: int) -> None:  # type: ignore[no-untyped-def]
    def frames(*packets: bytes) -> list[bytes]:
        capture = read(classic(link=link, records=b"".join(record("<", 1, 0, len(data), len(data) + 9, data)
                                                           for data in packets)))
        assert capture.link == ETHERNET
        assert [length for _, length, _ in capture] == [len(data) - head + 14 + 9 for data in packets]
        return [data for _, _, data in capture]

    assert frames(make()) == [bytes(6) + SENDER + b"\x08\x00" + IPV4]
    assert [data[:6] for data in frames(make(1), make(2), make(3))] == [b"\xff" * 6, b"\x01" + bytes(5), bytes(6)]
    assert frames(make(0, 0x86DD, IPV6))[0][12:] == b"\x86\xdd" + IPV6
    assert frames(make(0, 4, PACKET))[0][12:] == struct.pack(">H", 60 + 9) + PACKET  # 802.2: a length, not a type


@pytest.mark.parametrize(("link", "family", "packet"), [
    (0, struct.pack("<I", 2), IPV4), (0, struct.pack(">I", 2), IPV4), (0, struct.pack("<I", 30), IPV6),
    (108, struct.pack(">I", 2), IPV4), (108, struct.pack(">I", 24), IPV6)])
def test_loopback_captures_become_bare_ip(read, link: int, family: bytes, packet: bytes) -> None:  # type: ignore[no-untyped-def]
    data = family + packet
    capture = read(classic(link=link, records=record("<", 1, 0, len(data), len(data), data)))
    assert (capture.link, list(capture)) == (RAW_IP, [(1_000_000_000, len(packet), packet)])


def test_interfaces_of_several_kinds_are_all_frames(read) -> None:  # type: ignore[no-untyped-def]
    links = (1, 101, 113, 0, 276, 229)
    data = section("<") + b"".join(interface("<", link=link) for link in links)
    packets = (PACKET, IPV4, cooked(), struct.pack("<I", 30) + bytes(40), cooked2(), IPV6)
    data += b"".join(enhanced("<", 1, packet, number=number) for number, packet in enumerate(packets))
    capture = read(data)
    assert capture.link == ETHERNET
    assert [frame[12:14] for _, _, frame in capture] == [
        PACKET[12:14], b"\x08\x00", b"\x08\x00", b"\x86\xdd", b"\x08\x00", b"\x86\xdd"]
    assert [length for _, length, _ in capture] == [60, 54, 54, 54, 54, 74]


@pytest.mark.parametrize("link", [0, 101, 108, 113, 276])
@pytest.mark.parametrize("size", range(22))
def test_headers_that_are_cut_are_no_trouble(read, link: int, size: int) -> None:  # type: ignore[no-untyped-def]
    short = record("<", 1, 0, size, 60)
    assert len(list(read(classic(link=link, records=short)))) == 1
    data = section("<") + interface("<") + interface("<", link=link)
    assert len(list(read(data + enhanced("<", 1) + enhanced("<", 1, PACKET[:size], number=1)))) == 2


def simple(data: bytes = PACKET) -> bytes:
    return block("<", 3, struct.pack("<I", len(data)) + data)


def test_packets_without_time_stamps_have_those_of_their_neighbours(read) -> None:  # type: ignore[no-untyped-def]
    late = 1_700_000_000_000_000
    capture = read(section("<") + interface("<") + simple() + simple() + enhanced("<", late) + simple()
                   + enhanced("<", late + 7) + simple())
    assert capture.first == late * 1000
    assert [stamp - capture.first for stamp, _, _ in capture] == [0, 0, 0, 0, 7000, 7000]
    assert [stamp for stamp, _, _ in read(section("<") + interface("<") + simple() + simple())] == [0, 0]


@pytest.mark.parametrize("cut", range(1, 76))
def test_a_capture_that_is_cut_in_its_last_packet_is_read_up_to_there(read, cut: int) -> None:  # type: ignore[no-untyped-def]
    one = record("<", 7, 5, 60, 60)
    capture = read(classic(records=one * 3)[:-cut])
    assert list(capture) == [(7_000_005_000, 60, PACKET)] * 2
    assert "packet 3" in capture.warnings[0]
    assert "the 2 packets before that are used" in capture.warnings[0]
    capture = read((section("<") + interface("<") + enhanced("<", 5) * 2)[:-cut])
    assert len(list(capture)) == 1
    assert "the packet before that is used" in capture.warnings[0]


def test_a_whole_capture_has_no_warning(read) -> None:  # type: ignore[no-untyped-def]
    assert read(classic(records=record("<", 7, 5, 60, 60))).warnings == ()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress,
                                  lambda data: gzip.compress(data[:70], mtime=0) + gzip.compress(data[70:]),
                                  lambda data: gzip.compress(data, mtime=0) + b"what follows is no gzip"])
def test_compressed_captures_are_unpacked(read, pack) -> None:  # type: ignore[no-untyped-def]
    capture = read(pack(classic(records=record("<", 7, 5, 60, 60) * 2)))
    assert list(capture) == [(7_000_005_000, 60, PACKET)] * 2
    assert capture.warnings == ()


def test_compressed_data_that_ends_early_is_read_up_to_there(read) -> None:  # type: ignore[no-untyped-def]
    import random
    noise = random.Random(1).randbytes(60)
    packed = gzip.compress(classic(records=record("<", 7, 5, 60, 60, noise) * 2000), 0)
    capture = read(packed[:-3000])
    assert 1900 < len(capture) < 2000
    assert "gzip data ends too early" in capture.warnings[0]


def test_a_file_that_unpacks_to_gigabytes_is_refused_in_little_memory(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("ebpfvm.sched.pcap._MAX_READ", 8 << 20)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(classic() + bytes(64 << 20), mtime=0))
    tracemalloc.start()
    with pytest.raises(LoadError, match="unpacks to more than 8 MiB"):
        read_capture(str(path))
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("data", [
    classic(records=struct.pack("<IIII", 0, 0, 1 << 31, 1 << 31)),
    section("<") + struct.pack("<II", 6, 1 << 31) + bytes(8),
    section("<") + interface("<", snaplen=1 << 31) + block("<", 3, struct.pack("<I", 1 << 31) + PACKET),
    struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 31, 1) + record("<", 0, 0, 60, 1 << 31)])
def test_great_lengths_allocate_nothing(read, data: bytes) -> None:  # type: ignore[no-untyped-def]
    tracemalloc.start()
    try:
        list(read(data))
    except LoadError as error:
        assert "claims" in str(error)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
