"""Laws of qdiscs and filters on random input.

* Whatever tree of qdiscs stands at the root, whatever comes and whatever is reconfigured on the way: packets in are
  packets out, dropped or held, each once; the root counts what it holds; a flow's packets leave in their order.
* Filters classify as a plain statement of the same rules does, and what they print is what they were told.
"""

from __future__ import annotations

import contextlib
from ipaddress import IPv4Address, ip_network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfvm.kernel import Kernel
from ebpfvm.sched.classify import tcf_classify
from ebpfvm.sched.netdev import Namespace, NetDev
from ebpfvm.sched.packet import build
from ebpfvm.sched.tc.lexer import ScriptError, Word, commands, split_parentheses
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.tc.tc_verdict import TcfResult
from ebpfvm.sched.wire import Link

# ---- qdiscs --------------------------------------------------------------------------------------------------

LEAVES = st.one_of(
    st.builds("pfifo limit {}".format, st.integers(0, 5)), st.builds("bfifo limit {}".format, st.integers(0, 4000)),
    st.builds("pfifo_head_drop limit {}".format, st.integers(0, 5)),
    st.builds("fq_codel limit {} flows {} drop_batch {}".format, st.integers(1, 8), st.integers(1, 5),
              st.integers(1, 4)),
    st.builds("tbf rate {}kbit burst {} limit {}".format, st.integers(100, 9000), st.integers(200, 3000),
              st.integers(1, 5000)),
    st.builds("netem limit {} delay {}us loss {}%".format, st.integers(0, 6), st.integers(0, 3000),
              st.integers(0, 60)))
PATHS = st.one_of(  # these may change the order of packets
    st.builds("netem delay {}us {}us corrupt {}% reorder {}% gap {} rate {}kbit".format, st.integers(1, 3000),
              st.integers(0, 2000), st.integers(0, 90), st.integers(1, 90), st.integers(1, 5), st.integers(500, 9000)),
    st.builds("netem slot {}us {}us packets {} loss gemodel {}% {}% {}% {}%".format, st.integers(0, 900),
              st.integers(900, 3000), st.integers(1, 4), *(st.integers(1, 99) for _ in range(4))))
ROOTS = st.one_of(LEAVES, st.just("prio"), st.just("prio bands 2 priomap 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"),
                  st.just("tbf rate 4mbit burst 3000 limit 5000"))
FILTERS = st.sampled_from((
    "matchall action ok", "protocol ip flower ip_proto udp classid 1:1", "protocol ip basic classid 1:2",
    "protocol ip u32 match ip sport 1 0x1 classid 1:1 action drop", "matchall action trap",
    "matchall action mirred egress redirect dev eth1", "matchall action mirred egress mirror dev eth1",
    "matchall police rate 1mbit burst 2k drop", "matchall action reclassify"))
EVENTS = st.one_of(
    st.tuples(st.just("send"), st.integers(60, 1500), st.integers(0, 3), st.integers(0, 3)),
    st.tuples(st.just("wait"), st.integers(0, 5_000_000)),
    st.tuples(st.just("graft"), st.integers(1, 2), LEAVES | PATHS), st.tuples(st.just("root"), ROOTS | PATHS),
    st.tuples(st.just("filter"), FILTERS), st.just(("down",)), st.just(("up",)))


class Bench:
    """A device with a slow link, and another that filters may redirect to."""

    def __init__(self, root: str, seed: int) -> None:
        self.net = Namespace(Kernel(seed=seed))
        self.dev: NetDev = self.net.add_device("eth0", link=Link(8_000_000), up=True)
        self.net.add_device("eth1", up=True)
        self.packets: list[Any] = []
        run_script(f"tc qdisc add dev eth0 root handle 1: {root}", self.net)

    def do(self, event: tuple[Any, ...]) -> None:
        kind = event[0]
        if kind == "send":
            skb = self.net.packet(build(length=event[1], sport=event[2] + 1), priority=event[3] * 2)
            self.packets.append(skb)
            self.dev.xmit(skb)
        elif kind == "wait":
            self.net.loop.run(self.net.loop.now + event[1])
        else:
            self._configure(event)

    def _configure(self, event: tuple[Any, ...]) -> None:
        line = {"graft": lambda: f"tc qdisc replace dev eth0 parent 1:{event[1]} {event[2]}",
                "root": lambda: f"tc qdisc replace dev eth0 root {event[1]}",
                "filter": lambda: f"tc filter add dev eth0 parent 1: {event[1]}",
                "down": lambda: "ip link set eth0 down", "up": lambda: "ip link set eth0 up"}[event[0]]()
        # No such class, no filters there, another kind of that handle: refused, and nothing has changed.
        with contextlib.suppress(ScriptError):
            run_script(line, self.net)

    def check(self) -> None:
        account, qdisc = self.net.account, self.dev.qdisc
        assert account.problems == []
        waiting = [packet for packet in self.packets if packet.fate is None and packet is not self.dev.sending
                   and packet.dev is self.dev]
        stats = qdisc.kernel_view
        assert (stats.qlen, stats.backlog) == (len(waiting), sum(packet.len for packet in waiting))
        assert account.inside == sum(dev.qdisc.kernel_view.qlen + (dev.sending is not None)
                                     for dev in self.net.devices.values())


@settings(max_examples=120, deadline=None)
@given(ROOTS, st.lists(EVENTS, max_size=40), st.integers(0, 9))
def test_nothing_is_lost_and_the_root_counts_what_it_holds(root: str, events: list[tuple[Any, ...]],
                                                           seed: int) -> None:
    bench = Bench(root, seed)
    for event in events:
        bench.do(event)
        bench.check()
    run_script("ip link set eth0 down", bench.net)
    bench.net.loop.run()
    assert bench.net.account.inside == 0 and bench.net.account.close() == {}
    assert bench.net.account.problems == []


@settings(max_examples=60, deadline=None)
@given(ROOTS, st.lists(EVENTS.filter(lambda event: event[0] in ("send", "wait")), max_size=40))
def test_packets_of_a_flow_and_priority_keep_their_order(root: str, events: list[tuple[Any, ...]]) -> None:
    bench = Bench(root, 0)
    for event in events:
        bench.do(event)
    bench.net.loop.run()
    left: dict[Any, list[tuple[int, int]]] = {}
    for packet in bench.packets:
        if packet.fate == "sent":
            left.setdefault((packet.flow.key, packet.priority), []).append((packet.departure, packet.id))
    assert all(departures == sorted(departures) for departures in left.values())


# ---- filters -------------------------------------------------------------------------------------------------

PACKETS = st.builds(
    lambda proto, src, dst, sport, dport, tos, size: build(proto, str(IPv4Address(src)), str(IPv4Address(dst)), sport,
                                                            dport, tos=tos, length=size),
    st.sampled_from(("tcp", "udp")), st.integers(0x0A000000, 0x0A000007), st.integers(0x0A000000, 0x0A000007),
    st.integers(1, 6), st.integers(1, 6), st.sampled_from((0, 0x10, 0xB8)), st.integers(60, 70))


class Rule:
    """One rule as a predicate on raw bytes, and how each classifier would write it."""

    def __init__(self, field: str, value: int, extra: int) -> None:
        self.field, self.value, self.extra = field, value, extra

    def holds(self, data: bytes) -> bool:
        proto, tos = data[23], data[15]
        src, dst = int.from_bytes(data[26:30], "big"), int.from_bytes(data[30:34], "big")
        sport, dport = int.from_bytes(data[34:36], "big"), int.from_bytes(data[36:38], "big")
        have = {"proto": proto, "tos": tos, "src": src >> self.extra, "dst": dst >> self.extra, "sport": sport,
                "dport": dport}[self.field]
        want = {"src": (0x0A000000 + self.value) >> self.extra, "dst": (0x0A000000 + self.value) >> self.extra,
                "proto": 6 if self.value % 2 else 17, "tos": (0, 0x10, 0xB8)[self.value % 3]}
        return have == want.get(self.field, self.value)

    def flower(self) -> str:
        net = ip_network((0x0A000000 + self.value, 32 - self.extra), strict=False)
        return {"proto": f"ip_proto {'tcp' if self.value % 2 else 'udp'}", "tos": f"ip_tos {self._tos()}",
                "src": f"src_ip {net}", "dst": f"dst_ip {net}",
                "sport": f"ip_proto {{}} src_port {self.value}",
                "dport": f"ip_proto {{}} dst_port {self.value}"}[self.field]

    def u32(self) -> str:
        net = ip_network((0x0A000000 + self.value, 32 - self.extra), strict=False)
        return {"proto": f"match ip protocol {6 if self.value % 2 else 17} 0xff",
                "tos": f"match ip tos {self._tos()} 0xff", "src": f"match ip src {net}", "dst": f"match ip dst {net}",
                "sport": f"match ip sport {self.value} 0xffff",
                "dport": f"match ip dport {self.value} 0xffff"}[self.field]

    def basic(self) -> str:
        mask = 0xFFFFFFFF << self.extra & 0xFFFFFFFF
        want = 0x0A000000 + self.value & mask
        return {"proto": f"cmp(u8 at 9 layer network eq {6 if self.value % 2 else 17})",
                "tos": f"u32(u8 {self._tos()} 0xff at 1)", "src": f"u32(u32 {want:#x} {mask:#x} at 12)",
                "dst": f"cmp(u32 at 16 layer 1 mask {mask:#x} eq {want})",
                "sport": f"cmp(u16 at 0 layer transport eq {self.value})",
                "dport": f"cmp(u16 at 2 layer 2 eq {self.value})"}[self.field]

    def _tos(self) -> str:
        return hex((0, 0x10, 0xB8)[self.value % 3])


RULES = st.builds(Rule, st.sampled_from(("proto", "tos", "src", "dst", "sport", "dport")), st.integers(0, 7),
                  st.integers(0, 3))


def verdict(lines: list[str], data: bytes) -> int:
    """The class that a list of filters gives a packet, 0 for none."""
    net = Namespace(Kernel())
    run_script("ip link add eth0 type dummy; tc qdisc add dev eth0 root handle 1: prio\n" + "\n".join(lines), net)
    result, qdisc = TcfResult(), net.device("eth0").qdisc
    found = tcf_classify(net.packet(data), qdisc.block, result)  # type: ignore[attr-defined]
    return result.classid & 0xFFFF if found >= 0 else 0


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(RULES, min_size=1, max_size=3), min_size=1, max_size=5), PACKETS,
       st.lists(st.sampled_from(("u32", "basic")), min_size=5, max_size=5))
def test_filters_are_their_rules(groups: list[list[Rule]], data: bytes, kinds: list[str]) -> None:
    """The first group of which all rules hold decides, whichever classifier says it."""
    expected = next((number for number, group in enumerate(groups, 1) if all(rule.holds(data) for rule in group)), 0)
    lines = []
    for number, (group, kind) in enumerate(zip(groups, kinds, strict=False), 1):
        if kind == "u32":
            match = " ".join(rule.u32() for rule in group)
        else:
            match = f"match '{' and '.join(rule.basic() for rule in group)}'"
        lines.append(f"tc filter add dev eth0 parent 1: protocol ip prio {number} {kind} {match} classid 1:{number:x}")
    try:
        assert verdict(lines, data) == expected
    except ScriptError as error:  # u32 refuses what contradicts itself, and then the group cannot hold
        assert "two things at once" in str(error)


@settings(max_examples=100, deadline=None)
@given(RULES, PACKETS, st.sampled_from(("tcp", "udp")))
def test_flower_says_the_same(rule: Rule, data: bytes, proto: str) -> None:
    line = f"tc filter add dev eth0 parent 1: protocol ip flower {rule.flower().format(proto)} classid 1:1"
    ports = rule.field in ("sport", "dport")
    assert verdict([line], data) == (rule.holds(data) and (not ports or data[23] == (6 if proto == "tcp" else 17)))


MATCHES = st.recursive(
    st.sampled_from(("cmp(u8 at 9 layer 1 eq 6)", "meta(pkt_len gt 64)", "u32(u16 0x1 0xffff at 20)",
                     "cmp(u16 at 2 layer 2 gt 3)")),
    lambda inner: st.one_of(st.builds("not {}".format, inner), st.builds("( {} and {} )".format, inner, inner),
                            st.builds("( {} or {} )".format, inner, inner)), max_leaves=6)


def meaning(text: str, data: bytes) -> bool:
    """The same expression, asked of Python."""
    length, transport = len(data), 34
    facts = {"cmp(u8 at 9 layer 1 eq 6)": data[23] == 6, "meta(pkt_len gt 64)": length > 64,
             "u32(u16 0x1 0xffff at 20)": int.from_bytes(data[34:36], "big") == 1,
             "cmp(u16 at 2 layer 2 gt 3)": int.from_bytes(data[transport + 2:transport + 4], "big") > 3}
    for name, fact in facts.items():
        text = text.replace(name, str(fact))
    return bool(eval(text))


@settings(max_examples=100, deadline=None)
@given(MATCHES, PACKETS)
def test_expressions_in_parentheses_mean_what_they_say(text: str, data: bytes) -> None:
    line = f"tc filter add dev eth0 parent 1: protocol ip basic match '{text}' classid 1:1"
    assert verdict([line], data) == meaning(text, data)


# ---- words ---------------------------------------------------------------------------------------------------

@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="tcab1: \n\\#'\"();/-", max_size=60))
def test_any_text_is_commands_or_an_error(text: str) -> None:
    net = Namespace(Kernel())
    try:
        for words in commands(text):
            for word in words:
                line = text.split("\n")[word.line - 1]
                assert _unquoted(line[word.column - 1:]).startswith(_unquoted(word.text.split("\n")[0]))
        run_script(text, net)
    except ScriptError as error:
        assert error.line >= 1 and error.column >= 1


def _unquoted(text: str) -> str:
    """Leave out quotes, between which parts of one word may stand."""
    return text.replace("'", "").replace('"', "")


VOCABULARY = """tc qdisc filter class add del show dev eth0 root parent 1: 1:1 handle prio bands 3 u32 match ip dst
10.0.0.1/32 protocol flower ip_proto tcp classid action drop mirred egress redirect police rate 1mbit burst 10k basic
cmp ( ) pfifo limit 5 tbf fq_codel netem delay 1ms loss 5% clsact ingress block 7 chain goto ip link set up mtu type
dummy divisor 4 ht 800: sample offset at 0 mask ff shift 6 eat"""
WORDS = st.sampled_from(sorted(set(VOCABULARY.split())))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(WORDS, max_size=14), max_size=4))
def test_any_words_in_any_order_are_done_or_refused(lines: list[list[str]]) -> None:
    net = Namespace(Kernel())
    net.add_device("eth0", up=True)
    try:
        run_script("tc qdisc add dev eth0 root handle 1: prio\n" + "\n".join(map(" ".join, lines)), net)
    except ScriptError as error:
        assert str(error)


@given(st.text(alphabet="a() ", max_size=12))
def test_parentheses_split_and_nothing_gets_lost(text: str) -> None:
    words = split_parentheses([Word(text, 1, 1)])
    assert "".join(word.text for word in words) == text.replace(" ", "")
    assert all(text[word.column - 1:].startswith(word.text) for word in words)
