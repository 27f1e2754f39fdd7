"""Programs as filters and actions, and what the hooks do with their verdicts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ebpfvm.dialects import rfc6
from ebpfvm.kernel import Kernel
from ebpfvm.kernel.services import Redirect
from ebpfvm.sched.classify import tcf_classify
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.packet import build
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.tc.tc_verdict import TcfResult

if TYPE_CHECKING:
    from collections.abc import Callable


class Body:
    """A program whose body is a Python function of the packet."""

    def __init__(self, body: Callable[[Any], int]) -> None:
        self.prog: Any = SimpleNamespace(name="body", id=7)
        self.body = body

    def __call__(self, ctx: Any) -> int:
        return self.body(ctx.owner) & 0xFFFFFFFFFFFFFFFF

    def tail(self, ctx: Any) -> int:
        raise NotImplementedError

    def callback(self, pc: int, args: tuple[int, ...]) -> int:
        raise NotImplementedError


def network(*bodies: Callable[[Any], int]) -> Namespace:
    """eth0 and eth1; the objects 0, 1, ... of a script are `bodies`."""
    net = Namespace(Kernel(rfc6()))
    net.load_program = lambda path, section, hook: Body(bodies[int(path)])
    run_script("ip link add eth0 type dummy; ip link add eth1 type dummy; ip link set eth0 up; ip link set eth1 up\n"
               "tc qdisc add dev eth0 root handle 1: prio; tc qdisc add dev eth0 clsact", net)
    return net


def classify(net: Namespace) -> tuple[int, int]:
    result, qdisc = TcfResult(), net.device("eth0").qdisc
    verdict = tcf_classify(net.packet(build()), qdisc.block, result)  # type: ignore[attr-defined]
    return verdict, result.classid


def direct(verdict: int, minor: int = 0) -> Callable[[Any], int]:
    def body(skb: Any) -> int:
        if minor:
            skb.tc_classid = minor
        return verdict
    return body


@pytest.mark.parametrize(("verdict", "minor", "expected"), [
    (0, 2, (0, 0x10002)), (0, 0, (0, 0x10005)), (2, 0, (2, 0x10005)), (8, 3, (8, 0x10003)), (7, 0, (7, 0x10005)),
    (-1, 2, (0, 0x10009)), (1, 0, (0, 0x10009)), (99, 0, (0, 0x10009))])
def test_direct_action(verdict: int, minor: int, expected: tuple[int, int]) -> None:
    """What is no verdict of its own, and "unspec", asks the next filter."""
    net = network(direct(verdict, minor))
    run_script("tc filter add dev eth0 parent 1: prio 1 bpf obj 0 classid 1:5 da\n"
               "tc filter add dev eth0 parent 1: prio 2 matchall classid 1:9", net)
    assert classify(net) == expected


@pytest.mark.parametrize(("value", "expected"), [(0, (-1, 0)), (-1, (0, 0x10005)), (0x10002, (0, 0x10002))])
def test_a_program_that_gives_the_class(value: int, expected: tuple[int, int]) -> None:
    net = network(lambda skb: value)
    run_script("tc filter add dev eth0 parent 1: bpf obj 0 classid 1:5", net)
    assert classify(net) == expected


@pytest.mark.parametrize(("value", "expected"), [(-1, 2), (0, 0), (3, 3), (2, 2), (1234, -1)])
def test_a_program_as_an_action(value: int, expected: int) -> None:
    net = network(lambda skb: value)
    run_script("tc filter add dev eth0 parent 1: matchall action bpf obj 0 drop", net)
    assert classify(net)[0] == expected
    (action,) = net.actions.values()
    assert (action.stats.packets, action.stats.drops) == (1, value == 2)
    shown = "\n".join(run_script("tc filter show dev eth0 parent 1:", net))
    assert "action order 1: bpf 0:[action] id 7 name body default-action drop" in shown


def redirecting(net: Namespace, ifindex: int, flags: int = 0, kind: str = "redirect") -> None:
    net.kernel.net.redirect = Redirect(kind, ifindex, flags)


@pytest.mark.parametrize(("flags", "kind", "arrived"), [(0, "redirect", 0), (1, "redirect", 1), (0, "peer", 1)])
def test_bpf_redirect_at_a_hook(flags: int, kind: str, arrived: int) -> None:
    def body(skb: Any) -> int:
        redirecting(net, net.device("eth1").ifindex, flags, kind)
        return 7

    net = network(body)
    run_script("tc filter add dev eth0 egress bpf obj 0 da", net)
    net.device("eth0").xmit(net.packet(build()))
    net.loop.run()
    eth1 = net.device("eth1")
    assert (eth1.rx_packets, eth1.dequeued, net.account.sent) == (arrived, 1 - arrived, 1)
    assert net.kernel.net.redirect is None and not net.account.problems


@pytest.mark.parametrize("where", ["nowhere", "down", "unasked"])
def test_a_redirect_to_nowhere_drops(where: str) -> None:
    def body(skb: Any) -> int:
        if where != "unasked":
            redirecting(net, 99 if where == "nowhere" else net.device("eth1").ifindex)
        return 7

    net = network(body)
    run_script("ip link set eth1 down; tc filter add dev eth0 egress bpf obj 0 da", net)
    assert net.device("eth0").xmit(net.packet(build())) == 1
    assert net.account.dropped == 1 and not net.account.problems


def test_clone_redirect_sends_a_copy() -> None:
    from ebpfvm.funcs.redirect import copy_of

    def body(skb: Any) -> int:
        hook = net.kernel.net.clone_redirect
        assert hook(copy_of(skb), net.device("eth1"), 0) == 0
        net.device("eth1").set_up(False)
        assert hook(copy_of(skb), net.device("eth1"), 0) < 0
        return 0

    net = network(body)
    run_script("tc filter add dev eth0 ingress bpf obj 0 da", net)
    net.device("eth0").receive(net.packet(build()))
    net.loop.run()
    assert (net.account.in_packets, net.account.sent, net.device("eth0").rx_packets) == (2, 2, 1)
    assert net.account.close() == {} and not net.account.problems


def test_the_class_of_a_hook_becomes_tc_index() -> None:
    net = network()
    seen: list[int] = []
    net.stack = lambda dev, skb: seen.append(skb.tc_index)
    run_script("tc filter add dev eth0 ingress matchall classid 1:3", net)
    net.device("eth0").receive(net.packet(build()))
    assert seen == [3]
