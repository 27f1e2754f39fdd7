"""Programs that run inside programs keep their packet, their context and what the qdisc reads of it; timers fire."""

from __future__ import annotations

import pytest

from ebpfvm import verify
from ebpfvm.dialects import linux
from ebpfvm.isa.asm import assemble
from ebpfvm.kernel import Kernel, SkbCtx
from ebpfvm.loaded import Loaded, open_engine
from ebpfvm.loader.object import MapSpec, Program
from ebpfvm.sched.events import EventLoop
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.packet import build
from ebpfvm.sched.tc.script import run_script

ENGINES = ("interp", "translate")
SCENE = """ip link add eth0 type dummy; ip link add eth1 type dummy; ip link set eth0 up; ip link set eth1 up
tc qdisc add dev eth0 clsact; tc qdisc add dev eth1 clsact"""
# Sends a copy to the device in cb[0]; cb[1] counts down how often. The array gets what it sees of its own packet
# afterwards, at the index of the depth: ifindex and mark.
CLONES = """
r6 = r1
r7 = *(u32 *)(r6 + 52)
if r7 == 0 goto leaf
r7 -= 1
*(u32 *)(r6 + 52) = r7
*(u32 *)(r6 + 8) = r7
r2 = *(u32 *)(r6 + 48)
r1 = *(u32 *)(r6 + 40)
*(u32 *)(r6 + 48) = r1
r1 = r6
r3 = 0
call 13
r1 = *(u32 *)(r6 + 40)
r2 = *(u32 *)(r6 + 8)
r2 <<= 32
r1 |= r2
*(u64 *)(r10 - 16) = r1
*(u32 *)(r10 - 4) = r7
r1 = map[id:0]
r2 = r10
r2 += -4
r3 = r10
r3 += -16
r4 = 0
call 2
r0 = 0
exit
leaf:
*(u32 *)(r6 + 8) = 222
r0 = 0
exit
"""


def scene(engine: str) -> tuple[Namespace, Loaded]:
    kernel = Kernel(linux(), 0)
    net = Namespace(kernel)
    run_script(SCENE, net)
    program = Program(name="p", insns=tuple(assemble(CLONES)), type="sched_cls", license="GPL",
                      maps=(MapSpec("array", 4, 8, 8, name="m"),))
    verdict = verify(program)
    assert verdict.ok, verdict.message
    loaded = Loaded(kernel, open_engine(engine))
    run = loaded.program(program, verdict.facts if engine == "translate" else None)
    net.load_program = lambda path, section, hook: run
    run_script("tc filter add dev eth0 egress bpf da obj x.o; tc filter add dev eth1 egress bpf da obj x.o", net)
    return net, loaded


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("same", [True, False])
def test_a_program_inside_itself(engine: str, depth: int, same: bool) -> None:
    net, loaded = scene(engine)
    first, second = net.device("eth0"), net.device("eth0" if same else "eth1")
    skb = net.packet(build("udp"))
    skb.cb = [second.ifindex, depth, 0, 0, 0]
    first.xmit(skb)
    net.loop.run()
    for level in range(depth):
        value = loaded.maps["m"].sys_lookup(level.to_bytes(4, "little"))
        device = (first, second)[(depth - 1 - level) % 2]
        assert int.from_bytes(value[:4], "little") == device.ifindex
        assert int.from_bytes(value[4:], "little") == level
    assert net.account.sent == depth + 1 and not net.account.problem_count


def test_contexts_are_used_again() -> None:
    net, _ = scene("interp")
    regions = net.kernel.memory.regions
    for _ in range(3):
        skb = net.packet(build("udp"))
        skb.cb = [net.device("eth0").ifindex, 3, 0, 0, 0]
        net.device("eth0").xmit(skb)
        net.loop.run()
        assert sum(isinstance(region, SkbCtx) for region in regions.values()) == 4


def test_the_loop_ends_with_only_idle_events_left() -> None:
    kernel = Kernel(linux(), 0)
    loop = EventLoop(kernel)
    seen: list[int] = []

    def again(argument: object) -> None:
        seen.append(loop.now)
        loop.at_idle(loop.now + 10, again)

    loop.at_idle(5, again)
    loop.at(32, seen.append, -1)
    loop.run()
    assert seen == [5, 15, 25, -1] and len(loop) == 1
    loop.run(50)
    assert seen == [5, 15, 25, -1, 35, 45] and loop.now == 50


@pytest.mark.parametrize("engine", ENGINES)
def test_programs_that_send_within_each_other_have_an_end(engine: str) -> None:
    net, _ = scene(engine)
    dev = net.device("eth0")
    skb = net.packet(build("udp"))
    skb.cb = [dev.ifindex, 100, 0, 0, 0]
    dev.xmit(skb)
    net.loop.run()
    assert (net.account.sent, net.account.dropped, net.sending) == (10, 1, 0)
