"""Real programs on clsact's hooks: packets read and written directly, fields, verdicts, and maps shared by objects."""

from __future__ import annotations

import pytest

from ebpfvm.api import open_namespace, verify
from ebpfvm.errors import LoadError
from ebpfvm.isa.asm import assemble
from ebpfvm.isa.insn import encode
from ebpfvm.kernel.program import Runnable
from ebpfvm.loaded import Loaded, Pins, open_engine
from ebpfvm.loader.object import MapSpec, Object, Program
from ebpfvm.sched.account import Packet
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.packet import build
from ebpfvm.sched.tc.script import run_script

ENGINES = ("interp", "translate")
PINNED = MapSpec("array", 4, 8, 1, name="shared", pinning=1)

# Sets the TOS byte by direct packet access, if the packet is long enough.
SET_TOS = """
r2 = *(u32 *)(r1 + 76)
r3 = *(u32 *)(r1 + 80)
r4 = r2
r4 += 16
if r4 > r3 goto out
r5 = 0xb8
*(u8 *)(r2 + 15) = r5
out:
r0 = 0
exit
"""
SET_FIELDS = """
r2 = 7
*(u32 *)(r1 + 8) = r2
*(u32 *)(r1 + 32) = r2
*(u32 *)(r1 + 48) = r2
r2 = 123456789
*(u64 *)(r1 + 152) = r2
r0 = *(u32 *)(r1 + 0)
r0 &= 0
exit
"""
ADD_ONE = """
r2 = 0
*(u32 *)(r10 - 4) = r2
r2 = r10
r2 += -4
r1 = map[idx:0] ll
call 1
if r0 == 0 goto out
r1 = *(u64 *)(r0 + 0)
r1 += 1
*(u64 *)(r0 + 0) = r1
out:
r0 = 0
exit
"""


def sched_cls(text: str, *maps: MapSpec, name: str = "cls") -> Program:
    text = text.replace("map[idx:0] ll", "map[id:0]")
    return Program.from_bytes(encode(assemble(text)), "sched_cls", maps, name=name)


def judged(program: Program) -> object:
    return verify(program, kernel="rfc6").require().facts


def runnable(loaded: Loaded, program: Program) -> Runnable:
    return loaded.program(program)


def hooked(engine: str, *texts: str, side: str = "egress") -> Namespace:
    """eth0 with programs on one side of clsact."""
    net = open_namespace(engine=engine)
    loaded = Loaded(net.kernel, open_engine(engine), judge=judged)
    programs = [runnable(loaded, sched_cls(text, name=f"cls{number}")) for number, text in enumerate(texts)]
    net.load_program = lambda path, section, hook: programs[int(path)]
    filters = [f"tc filter add dev eth0 {side} prio {n + 1} bpf obj {n} da" for n in range(len(texts))]
    run_script("ip link add eth0 type dummy; ip link set eth0 up; tc qdisc add dev eth0 clsact\n" + "\n".join(filters),
               net)
    return net


def send(net: Namespace) -> Packet:
    packet = net.packet(build(length=100))
    net.device("eth0").xmit(packet)
    net.loop.run()
    assert not net.account.problems
    return packet


@pytest.mark.parametrize("engine", ENGINES)
def test_a_packet_is_written_directly(engine: str) -> None:
    net = hooked(engine, SET_TOS)
    assert build(length=100)[15] == 0
    assert send(net).payload()[15] == 0xB8


@pytest.mark.parametrize("engine", ENGINES)
def test_fields_are_written(engine: str) -> None:
    packet = send(hooked(engine, SET_FIELDS))
    assert (packet.mark, packet.priority, packet.cb[0], packet.tstamp) == (7, 7, 7, 123456789)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("side", ["egress", "ingress"])
@pytest.mark.parametrize(("verdict", "passes"), [(-1, True), (0, True), (1, True), (2, False), (3, True), (4, False),
                                                 (5, True), (6, True), (8, False), (77, True)])
def test_verdicts(engine: str, side: str, verdict: int, passes: bool) -> None:
    # Direct action knows OK, SHOT, STOLEN, TRAP and REDIRECT; any other number means the next filter, here none.
    net = hooked(engine, f"r0 = {verdict}\nexit", side=side)
    packet = net.packet(build())
    if side == "egress":
        net.device("eth0").xmit(packet)
    else:
        net.device("eth0").receive(packet)
    net.loop.run()
    assert (net.account.sent, net.account.dropped) == (int(passes), int(not passes))
    assert net.account.close() == {} and not net.account.problems


@pytest.mark.parametrize("engine", ENGINES)
def test_objects_share_a_pinned_map(engine: str) -> None:
    net = open_namespace(engine=engine)
    pins = Pins()
    programs = [runnable(Loaded(net.kernel, open_engine(engine), pins, judge=judged), sched_cls(ADD_ONE, PINNED))
                for _ in range(2)]
    net.load_program = lambda path, section, hook: programs[int(path)]
    run_script("ip link add eth0 type dummy; ip link set eth0 up; tc qdisc add dev eth0 clsact\n"
               "tc filter add dev eth0 egress bpf obj 0 da; tc filter add dev eth0 ingress bpf obj 1 da", net)
    send(net)
    net.device("eth0").receive(net.packet(build()))
    assert pins.maps["shared"].sys_lookup(bytes(4)) == (2).to_bytes(8, "little")


def test_a_map_is_shared_by_name_on_demand() -> None:
    net = open_namespace()
    spec = MapSpec("array", 4, 8, 1, name="counts")
    for names, same in ((frozenset[str](), False), (frozenset({"counts"}), True)):
        pins = Pins(names)
        first, second = (Loaded(net.kernel, open_engine("interp"), pins).map(spec) for _ in range(2))
        assert (first is second) is same


def test_another_map_of_the_pinned_name_is_refused() -> None:
    net = open_namespace()
    pins = Pins()
    Loaded(net.kernel, open_engine("interp"), pins).map(PINNED)
    with pytest.raises(LoadError, match="pinned map of this name is different"):
        Loaded(net.kernel, open_engine("interp"), pins).map(MapSpec("array", 4, 16, 1, name="shared", pinning=1))


def test_maps_of_maps_hold_what_their_definition_says() -> None:
    net = open_namespace()
    inner = MapSpec("array", 4, 8, 1, name="a")
    specs = {"a": inner, "b": MapSpec("array", 4, 8, 1, name="b")}
    outer = MapSpec("array_of_maps", 4, 4, 2, name="outer", inner=inner, init={0: "b", 1: "a"})
    loaded = Loaded(net.kernel, open_engine("interp"), found=Object("", {}, specs, "GPL", None))
    made = loaded.map(outer)
    ids = [int.from_bytes(made.sys_lookup(bytes([n, 0, 0, 0])), "little") for n in range(2)]
    assert ids == [loaded.maps["b"].id, loaded.maps["a"].id]
    wrong = MapSpec("array_of_maps", 4, 4, 2, name="wrong", inner=inner, init={0: "nobody"})
    with pytest.raises(LoadError, match="slot 0: 'nobody' cannot be an element"):
        loaded.map(wrong)


@pytest.mark.parametrize("engine", ENGINES)
def test_program_arrays_hold_what_their_definition_says(engine: str) -> None:
    net = open_namespace(engine=engine)
    calls = MapSpec("prog_array", 4, 4, 2, name="calls", init={1: "second"})
    first = sched_cls("r2 = map[idx:0] ll\nr3 = 1\ncall 12\nr0 = 0\nexit", calls, name="first")
    second = sched_cls("r0 = 4\nexit", calls, name="second")
    found = Object("", {"first": first, "second": second}, {"calls": calls}, "GPL", None)
    loaded = Loaded(net.kernel, open_engine(engine), found=found, judge=lambda program: verify(program).facts)
    program = runnable(loaded, first)
    net.load_program = lambda path, section, hook: program
    run_script("ip link add eth0 type dummy; ip link set eth0 up; tc qdisc add dev eth0 clsact\n"
               "tc filter add dev eth0 egress bpf obj 0 da", net)
    net.device("eth0").xmit(net.packet(build()))
    assert [prog.name for prog in (loaded.maps["calls"].prog(1),) if prog] == ["second"]  # type: ignore[attr-defined]
    assert net.account.dropped == 1
    calls = MapSpec("prog_array", 4, 4, 2, name="other", init={0: "nobody"})
    with pytest.raises(LoadError, match=r"slot 0: 'nobody' cannot be an element \(ENOENT\)"):
        loaded.map(calls)
