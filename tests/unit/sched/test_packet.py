from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfvm.errors import UsageError
from ebpfvm.sched.flow_key import IP_TOS2PRIO, FlowKey, flow_mark, parse, priority_of
from ebpfvm.sched.packet import build, checksum
from ebpfvm.sched.pcap import ETHERNET, RAW_IP


def test_the_checksum_of_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D
    assert checksum(b"") == 0xFFFF
    assert checksum(b"\xff\xff") == 0
    assert checksum(b"\x01") == 0xFEFF


@pytest.mark.parametrize("ends", [("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2")])
@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_built_packets_have_right_checksums_and_parse_back(ends: tuple[str, str], proto: str) -> None:
    frame = build(proto, *ends, 1234, 80, payload=b"hello", tos=0xB8, length=201)
    headers = parse(frame)
    assert len(frame) == 201
    assert str(headers.flow) == (f"{proto} 10.0.0.1:1234 > 10.0.0.2:80" if "." in ends[0]
                                 else f"{proto} [fd00::1]:1234 > [fd00::2]:80")
    assert (headers.tos, headers.vlan, headers.network) == (0xB8, None, 14)
    four = headers.protocol == 0x0800
    addresses, segment = (frame[26:34], frame[34:]) if four else (frame[22:54], frame[54:])
    pseudo = addresses + struct.pack("!HH", {"tcp": 6, "udp": 17}[proto], len(segment))
    assert checksum(pseudo + segment) == 0
    assert not four or checksum(frame[14:34]) == 0


def test_vlan_tags_are_looked_through() -> None:
    headers = parse(build(vlan=42))
    assert (headers.protocol, headers.vlan, headers.network) == (0x8100, 42, 18)
    assert headers.flow == parse(build()).flow


def test_what_is_not_ip_is_a_flow_of_its_addresses() -> None:
    arp = bytes.fromhex("ffffffffffff 020000000001 0806") + bytes(46)
    assert str(parse(arp).flow) == "arp 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff"
    assert str(parse(b"\1\2\3").flow) == "ether-0x0000 ? > 01:02:03"
    assert FlowKey(99, bytes(4), bytes(4), 0, 0).proto_name == "proto-99"


def test_later_fragments_have_no_ports() -> None:
    frame = bytearray(build())
    frame[20:22] = b"\x20\x10"
    assert parse(bytes(frame)).flow[3:] == (0, 0)
    frame[20:22] = b"\x20\x00"
    assert parse(bytes(frame)).flow[3:] == (1000, 2000)


def test_ipv6_extension_headers_are_skipped() -> None:
    frame = build(src="::1", dst="::2")
    hop = frame[:20] + b"\0" + frame[21:54] + b"\x11\0" + bytes(6) + frame[54:]
    assert parse(hop).flow == parse(frame).flow
    for offset, ports in ((0, (1000, 2000)), (8, (0, 0))):
        fragment = frame[:20] + b"\x2c" + frame[21:54] + b"\x11\0" + struct.pack("!H", offset) + bytes(4) + frame[54:]
        assert parse(fragment).flow[3:] == ports


def test_bare_ip_starts_with_its_header() -> None:
    assert parse(build()[14:], RAW_IP)[:2] == parse(build())[:2]
    assert parse(b"", RAW_IP).protocol == 0


def test_priorities_follow_the_rule() -> None:
    voice = parse(build(tos=0xB8))
    assert {rule: priority_of(voice, rule) for rule in ("tos", "precedence", "dscp", "none")} == {
        "tos": 4, "precedence": 5, "dscp": 46, "none": 0}
    assert priority_of(parse(build(src="::1", dst="::2", tos=0xB8))) == 0
    assert priority_of(parse(build(tos=0x10))) == 6
    assert priority_of(parse(b"")) == 0
    assert len(IP_TOS2PRIO) == 16
    with pytest.raises(UsageError, match="priority rule 'best'"):
        priority_of(voice, "best")


@pytest.mark.parametrize("wrong", [{"proto": "sctp"}, {"src": "::1"}, {"length": 41}, {"length": 70000}])
def test_impossible_packets_are_not_built(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        build(**wrong)  # type: ignore[arg-type]


@given(st.binary(max_size=120), st.sampled_from([ETHERNET, RAW_IP]))
def test_any_bytes_parse(data: bytes, link: int) -> None:
    headers = parse(data, link)
    assert str(headers.flow)
    assert 0 <= priority_of(headers, "dscp") < 64


@given(st.sampled_from([build(), build("tcp"), build(src="::1", dst="::2"), build("tcp", "::1", "::2")]),
       st.lists(st.tuples(st.integers(12, 60), st.integers(0, 255)), max_size=4))
def test_packets_of_one_mark_are_read_alike(frame: bytes, changes: list[tuple[int, int]]) -> None:
    other = bytearray(frame.ljust(61, b"\0"))
    for at, value in changes:
        other[at] = value
    mark, second = flow_mark(frame), flow_mark(bytes(other))
    assert mark is not None
    if mark == second:
        assert parse(frame) == parse(bytes(other))
