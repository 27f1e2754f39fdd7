"""`ebpfvm.test_run`: one program on one packet. tests/kernel/test_testrun.py compares it with a kernel."""

from __future__ import annotations

import struct

import pytest

import ebpfvm
from ebpfvm.errors import Fault, UsageError
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import Insn, encode
from ebpfvm.testrun import SKB_IN_OUT, Session, pack_ctx
from ebpfvm.testrun import test_run as run_once

IPV4 = bytes.fromhex("020000000001 020000000002 0800") + bytes(50)


def program(text: str, type: str = "sched_cls", **more: object) -> ebpfvm.Program:
    return ebpfvm.Program.from_bytes(encode(assemble(text)), type, **more)  # type: ignore[arg-type]


def field(off: int, type: str = "sched_cls", size: int = 4) -> ebpfvm.Program:
    return program(f"r0 = *(u{8 * size} *)(r1 + {off})\nexit", type)


def test_the_promised_interface() -> None:
    maps = [ebpfvm.MapSpec(type="array", key_size=4, value_size=48, max_entries=4)]
    code = encode(assemble("""
        r6 = r1
        *(u32 *)(r10 - 4) = 2
        r2 = r10
        r2 += -4
        r1 = map[id:0] ll
        call 1
        if r0 == 0 goto out
        r1 = *(u32 *)(r6 + 8)
        *(u64 *)(r0 + 8) += r1
        r0 = *(u64 *)(r0 + 0)
    out:
        exit""".replace("*(u64 *)(r0 + 8) += r1", "lock *(u64 *)(r0 + 8) += r1")))
    prog = ebpfvm.Program.from_bytes(code, type="sched_cls", maps=maps)
    key, value = (2).to_bytes(4, "little"), struct.pack("<QQ", 77, 1) + bytes(32)
    run = ebpfvm.test_run(prog, data=IPV4, ctx={"mark": 5, "priority": 2}, maps={0: {key: value}}, engine="interp")
    assert (run.retval, run.data, run.ctx["mark"], run.ctx["priority"]) == (77, IPV4, 5, 2)
    assert run.maps[0][key] == struct.pack("<QQ", 77, 6) + bytes(32)
    assert run.warnings == ()
    assert len(run.maps[0]) == 4 and list(run.maps[0])[1] == (1).to_bytes(4, "little")
    with pytest.raises(KeyError):
        run.maps[0][b"\xff" * 4]


def test_what_a_classifier_sees() -> None:
    assert run_once(field(0), IPV4).retval == len(IPV4)
    assert run_once(field(16), IPV4).retval == 0x0008
    assert run_once(field(40), IPV4).retval == 1
    for address, kind in ((bytes(6), 0), (b"\xff" * 6, 2), (b"\x01" + bytes(5), 2), (b"\x02" + bytes(5), 3)):
        assert run_once(field(4), address + IPV4[6:]).retval == kind
    for ether, protocol in (("0100", 0x0400), ("86dd", 0xDD86), ("0600", 0x0006)):
        assert run_once(field(16), IPV4[:12] + bytes.fromhex(ether) + IPV4[14:]).retval == protocol
    assert run_once(field(16), IPV4[:12] + bytes.fromhex("0100ffff") + IPV4[16:]).retval == 0x0100


def test_socket_filters_see_the_network_header() -> None:
    run = run_once(program("r6 = r1\nr0 = *(u8 *)skb[0]\nexit", "socket_filter"), IPV4[:14] + b"\x45" + IPV4[15:])
    assert run.retval == 0x45
    assert run.data == bytes(14) + b"\x45" + IPV4[15:]
    assert run_once(field(0, "socket_filter"), IPV4).retval == len(IPV4) - 14


def test_packets_are_changed() -> None:
    text = "r2 = *(u32 *)(r1 + {0})\nr3 = *(u32 *)(r1 + {1})\nr4 = r2\nr4 += 14\nif r4 > r3 goto +1\n" \
           "*(u8 *)(r2 + 0) = 0xaa\nr0 = 2\nexit"
    for kind, offsets in (("sched_cls", (76, 80)), ("xdp", (0, 4))):
        run = run_once(program(text.format(*offsets), kind), IPV4)
        assert (run.retval, run.data) == (2, b"\xaa" + IPV4[1:])


def test_any_field_may_be_set_and_linux_s_refusals_are_told() -> None:
    assert run_once(field(12), IPV4, {"queue_mapping": 3}).retval == 3
    assert "queue_mapping" in run_once(field(12), IPV4, {"queue_mapping": 3}).warnings[0]
    assert run_once(field(68), IPV4, {"hash": 0xDEADBEEF}).retval == 0xDEADBEEF
    run = run_once(field(52), IPV4, {"cb": [1, 2], "wire_len": 100, "gso_segs": 3, "tstamp": 9, "mark": 0})
    assert (run.retval, run.warnings) == (2, ())
    assert "EINVAL" in run_once(field(0), IPV4, {"wire_len": 1}).warnings[0]
    assert "EINVAL" in run_once(field(0), IPV4, {"gso_segs": 70000}).warnings[0]
    assert "ENODEV" in run_once(field(0), IPV4, {"ifindex": 7}).warnings[0]


def test_wire_len_is_known_once_there_is_a_context() -> None:
    assert run_once(field(160), IPV4).retval == 0
    assert run_once(field(160), IPV4, {"mark": 1}).retval == len(IPV4)
    assert run_once(field(160), IPV4, bytes(192)).retval == len(IPV4)


@pytest.mark.parametrize(("ctx", "message"), [
    ({"nothing": 1}, "no field 'nothing' that can be set; it has: len, pkt_type, mark"),
    ({"data": 1}, "no field 'data'"),
    ({"mark": 1 << 32}, "field 'mark' takes a number of 32 bits"),
    ({"mark": "red"}, "field 'mark' takes a number of 32 bits"),
    ({"cb": 4}, "field 'cb' takes up to 5 numbers"),
    ({"cb": [0] * 6}, "field 'cb' takes up to 5 numbers"),
    (bytes(192) + b"\x01", "E2BIG"),
])
def test_fields_that_do_not_exist(ctx: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run_once(field(0), IPV4, ctx)  # type: ignore[arg-type]


def test_the_context_as_bytes() -> None:
    raw = bytearray(192)
    struct.pack_into("<I", raw, 8, 7)
    struct.pack_into("<5I", raw, 48, 1, 2, 3, 4, 5)
    struct.pack_into("<Q", raw, 152, 1 << 40)
    run = run_once(field(8), IPV4, bytes(raw[:160]))
    assert (run.retval, run.ctx["cb"], run.ctx["tstamp"], run.warnings) == (7, [1, 2, 3, 4, 5], 1 << 40, ())
    packed = pack_ctx(field(8), run.ctx)
    assert packed[:156] == bytes(raw[:40]) + b"\x01" + bytes(raw[41:156])
    assert "ifindex" in SKB_IN_OUT
    raw[172] = raw[181] = 1
    warnings = run_once(field(8), IPV4, bytes(raw)).warnings
    assert "'sk' must be zero" in warnings[1] and "belong to no field" in warnings[0]


def test_xdp_metadata() -> None:
    data = b"\x01\x02\x03\x04" + IPV4
    ctx = {"data": 4, "data_end": len(data)}
    text = "r2 = *(u32 *)(r1 + 8)\nr3 = *(u32 *)(r1 + 0)\nr4 = r2\nr4 += 4\nr0 = 0\nif r4 > r3 goto +1\n" \
           "r0 = *(u32 *)(r2 + 0)\nexit"
    run = run_once(program(text, "xdp"), data, ctx)
    assert (run.retval, run.data) == (0x04030201, data)
    assert (run.ctx["data"], run.ctx["data_end"], run.ctx["ingress_ifindex"]) == (4, len(data), 1)
    assert run_once(program(text, "xdp"), data, struct.pack("<6I", 4, len(data), 0, 0, 0, 0)).retval == 0x04030201
    for wrong in ({"data": 2}, {"data": 256}, {"data_meta": 4}, {"data_end": 1000}):
        with pytest.raises(UsageError, match="EINVAL"):
            run_once(program(text, "xdp"), data, wrong)


def test_xdp_sees_the_linear_part_of_a_large_packet() -> None:
    size = program("r0 = *(u32 *)(r1 + 4)\nr1 = *(u32 *)(r1 + 0)\nr0 -= r1\nexit", "xdp")
    run = run_once(size, bytes(4000))
    assert (run.retval, len(run.data), run.ctx["data_end"]) == (3520, 4000, 4000)


def test_xdp_fields_that_linux_refuses() -> None:
    assert run_once(field(16, "xdp"), IPV4, {"rx_queue_index": 3}).retval == 3
    assert "EINVAL" in run_once(field(16, "xdp"), IPV4, {"rx_queue_index": 3}).warnings[0]
    assert "ENODEV" in run_once(field(12, "xdp"), IPV4, {"ingress_ifindex": 3}).warnings[0]


def test_repeated_runs_see_what_the_last_left() -> None:
    count = program("r0 = *(u32 *)(r1 + 8)\nr0 += 1\n*(u32 *)(r1 + 8) = r0\nexit")
    run = run_once(count, IPV4, repeat=5)
    assert (run.retval, run.ctx["mark"]) == (5, 5)


def test_packets_that_are_too_short_and_types_that_cannot_be_run() -> None:
    with pytest.raises(UsageError, match="13 bytes is too short; it needs an Ethernet header of 14"):
        run_once(field(0), bytes(13))
    with pytest.raises(UsageError, match="test runs do not support program type kprobe; supported: sched_cls"):
        run_once(field(0, "kprobe"), IPV4)
    with pytest.raises(UsageError, match="no map 1; it has: none"):
        run_once(field(0), IPV4, maps={1: {}})
    with pytest.raises(UsageError, match="map 0: key ff cannot be set"):
        run_once(program("r0 = 0\nexit", maps=[ebpfvm.MapSpec("array", 4, 4, 1)]), IPV4, maps={0: {b"\xff": b""}})


def test_programs_that_were_not_verified_run_and_fault() -> None:
    with pytest.raises(Fault, match="offset 64 of a packet of 64 bytes"):
        run_once(program("r2 = *(u32 *)(r1 + 76)\nr0 = *(u8 *)(r2 + 64)\nexit"), IPV4)


def test_a_qdisc_program_gets_a_made_up_packet() -> None:
    enqueue = program("r2 = *(u64 *)(r1 + 0)\nr0 = *(u32 *)(r2 + 32)\nexit", "qdisc", attach="enqueue")
    run = run_once(enqueue, IPV4, {"priority": 6, "classid": 3})
    assert (run.retval, run.ctx["classid"]) == (6, 3)
    assert "no test run" in run.warnings[0]
    dequeue = program("r0 = *(u64 *)(r1 + 0)\nexit", "qdisc", attach="dequeue")
    assert run_once(dequeue, IPV4).retval == 0


@pytest.mark.parametrize(("type", "name"), [
    *[("sched_cls", name) for name in ("gso_segs", "wire_len", "ifindex", "mark")],
    *[("xdp", name) for name in ("data", "data_end", "rx_queue_index", "ingress_ifindex")]])
@pytest.mark.parametrize("value", ["1", [1, 2], 1 << 64, None])
def test_fields_of_the_wrong_kind_are_usage_errors(type: str, name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"'{name}' takes a number of 32 bits"):
        run_once(program("r0 = 0\nexit", type), bytes(64), ctx={name: value})


@pytest.mark.parametrize("engine", ["interp", "translate"])
def test_the_clock(engine: str) -> None:
    clocked = program("call 5\nexit")
    assert run_once(clocked, engine=engine).retval == 1_000_000_000
    assert run_once(clocked, engine=engine, clock=77).retval == 77
    for wrong in (-1, 1 << 62, "soon", 1.5, None):
        with pytest.raises(UsageError, match=r"^clock: "):
            run_once(clocked, engine=engine, clock=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["interp", "translate"])
def test_bytes_before_the_packet_by_legacy_loads(engine: str) -> None:
    frame = bytes(range(12)) + b"\x08\x00\x45" + bytes(range(60, 109))
    for offset, type, wanted in (
            (-0x200000 + 12, "socket_filter", 0x0800), (-0x200000 + 12, "sched_cls", 0x0800),
            (-0x100000, "socket_filter", 0x453C), (-0x100000, "sched_cls", 0x453C), (-0x1000, "sched_cls", 0),
            (-0x200001, "socket_filter", 0), (0, "socket_filter", 0x453C)):
        code = encode((Insn(0xBF, 6, 1), Insn(0x28, imm=offset), Insn(0x95)))
        assert run_once(ebpfvm.Program.from_bytes(code, type), frame, engine=engine).retval == wanted


def test_bytes_before_the_packet_by_helper() -> None:
    for start, wanted in ((0, 0x0008), (1, 0x0245)):
        text = f"""
            r2 = {12 if start == 0 else 0}
            r3 = r10
            r3 += -8
            r4 = 2
            r5 = {start}
            call 68
            r0 = *(u16 *)(r10 - 8)
            exit"""
        frame = bytes(range(12)) + b"\x08\x00\x45\x02" + bytes(50)
        assert run_once(program(text, "socket_filter"), frame).retval == wanted


@pytest.mark.parametrize("type", ["sched_cls", "socket_filter", "xdp"])
def test_a_session_does_not_grow(type: str) -> None:
    session = Session(program("r0 = 2\nexit", type))
    machine = session._machine
    sizes = set()
    for _ in range(5):
        assert session.run(bytes(64)).retval == 2
        sizes.add((len(machine.memory.regions), len(machine.refs.live())))
    assert len(sizes) == 1
