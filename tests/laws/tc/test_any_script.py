"""Whatever a script says, it is done or refused with a place; nothing else happens, and packets still pass.

Scripts are made by walking the grammars themselves, with good and odd values, and then damaged here and there.
"""

from __future__ import annotations

import random
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.packet import build
from ebpfvm.sched.tc.grammar import QDISC_KINDS, command_grammar, qdisc_grammar
from ebpfvm.sched.tc.grammar_filter import FILTER_KINDS, filter_grammar
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.lr import REST, TcGrammar
from ebpfvm.sched.tc.script import run_script
from ebpfvm.sched.wire import Link

VALUES: Final[dict[str, tuple[str, ...]]] = {
    "DEVICE": ("eth0", "eth0", "eth1", "mq0", "nodev"), "HANDLE": ("1:", "2:", "1", "20:5", "ffff:"),
    "CLASSID": ("1:", "1:1", "1:2", "2:1", "20:3", "root", ":5", "ffff:fff1"), "NUMBER": ("1", "2", "3", "16", "0x10"),
    "PRIO": ("1", "2", "0"), "U32HANDLE": ("800:", "1:", "2:", "800::800", "1:5:"),
    "RATE": ("1mbit", "8kbit", "10gbit"),
    "SIZE": ("0", "1", "3000", "10k"), "BURST": ("1500", "10k", "5k/8"), "TIME": ("0", "1ms", "20us", "1s"),
    "TIME64": ("0", "1ms", "3us", "7"), "CHANCE": ("0%", "1%", "50%", "100%"),
    "PREFIX": ("10.0.0.0/8", "any", "fd00::1"),
    "PROTOCOL": ("ip", "all", "ipv6", "arp", "802.1q"), "TEXT": ("1", "5/0xff", "800::800", "0x1"),
    "FILE": ("normal", "pareto", "nofile", "/dev/null"), "IPPROTO": ("tcp", "udp", "11"),
    "PORTS": ("80", "1-9", "80/0xf0"),
    "MAC": ("02:00:00:00:00:01", "02:00:00:00:00:01/24"), "NAME": ("dummy", "ifb", "veth"),
    "OFFSET": ("0", "4", "-14", "8"),
    "U32OFFSET": ("0", "nexthdr+4", "-14", "12"), "HEX32": ("ff", "0xffffffff", "0"), "HEX16": ("0f00", "0"),
    "KIND": (*QDISC_KINDS, *FILTER_KINDS), "SEED": ("1", "99"), "VERDICTS": ("drop/pipe", "drop", "pass/pass"),
    "LAYER": ("link", "network", "2"), "IPFLAGS": ("frag", "nofrag/firstfrag"), "ETHERTYPE": ("ip", "802.1q", "0x88cc"),
    "COOKIE": ("a1b2",), "MARK": ("1", "5/0xf"), "SELECTOR": ("1/3",), "LINKLAYER": ("atm", "ethernet"),
    "VLANPROTO": ("802.1Q", "802.1ad"), "HEXDEC": ("5", "0x10", "0xffff")}
ODD: Final = ("", "-1", "0", "18446744073709551616", "9" * 5000, "1" * 30, "0x", "1:1:1:1", ":", "::", "/", "%", "1e99",
              "1e-99", "nan", "inf", "1_0", "\u0661", "\u00e9", "-", "a:b", "1/", "/1", "'a b'", "~", "0x1g",
              "9999:9999",
              "1.1.1.1.1", "fd00::/200", "10.0.0.0/99", "\\", "(", ")", "1mbit/", "5k/0", "-0x5", "+5", "00", "08")
SETUP: Final = ("ip link add eth1 type dummy; ip link add mq0 numtxqueues 2 type dummy; ip link set eth1 up\n"
                "tc qdisc add dev eth0 root handle 1: prio; tc qdisc add dev eth0 clsact")


class Writer:
    """Writes commands that a grammar takes."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def words(self, grammar: TcGrammar) -> list[str]:
        rules: dict[str, list[list[str]]] = {}
        for text, _ in grammar.rules:
            name, _, symbols = text.partition(":")
            rules.setdefault(name.strip(), []).append(symbols.split())
        return self._expand(next(iter(rules)), rules, grammar, 0)

    def _expand(self, symbol: str, rules: dict[str, list[list[str]]], grammar: TcGrammar, depth: int) -> list[str]:
        if symbol[0] == "'":
            return [symbol[1:-1]]
        if symbol in rules:
            choices = rules[symbol]
            if depth > 12:
                choices = [min(choices, key=len)]
            return [word for part in self.rng.choice(choices)
                    for word in self._expand(part, rules, grammar, depth + 1)] if depth < 30 else []
        if symbol == REST:
            return []
        if self.rng.random() < 0.04:
            return [self.rng.choice(ODD)]
        return [self.rng.choice(VALUES.get(symbol, ("1", "2", "5")))]

    def command(self) -> str:
        """Return a command, its options by the grammar of its kind; now and then damaged."""
        words = self.words(command_grammar())
        kind = next((word for word in words if word in QDISC_KINDS or word in FILTER_KINDS), "")
        if kind:
            words = words[:words.index(kind) + 1]
            is_filter = "filter" in words
            if is_filter == (kind in FILTER_KINDS) or (kind == "bpf"):
                words += self.words(filter_grammar(kind) if is_filter else qdisc_grammar(kind))
        if "dev" not in words and words[:1] == ["tc"] and self.rng.random() < 0.9:
            words[3:3] = ["dev", "eth0"]
        if self.rng.random() < 0.15 and words:
            at = self.rng.randrange(len(words))
            words[at:at + self.rng.randrange(2)] = [self.rng.choice((*ODD, *words))]
        return " ".join(words)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 1 << 32), count=st.integers(1, 12))
def test_any_script_is_done_or_refused(seed: int, count: int) -> None:
    rng = random.Random(seed)
    net = Namespace(Kernel(seed=seed))
    dev = net.add_device("eth0", link=Link(80_000_000), up=True)
    net.load_program = _no_program
    run_script(SETUP, net)
    writer = Writer(rng)
    for _ in range(count):
        line = writer.command()
        try:
            run_script(line, net)
        except ScriptError as error:
            assert (error.line, error.column >= 1) == (1, True), line
            assert len(str(error)) < 2000
    for flags in ("", "-s ", "-d "):
        for what in ("qdisc show", "class show dev eth0", "filter show dev eth0", "filter show dev eth0 ingress"):
            if "eth0" in net.devices:
                run_script(f"tc {flags}{what}", net)
    for _ in range(5):
        dev.xmit(net.packet(build(length=rng.choice((60, 500, 1500)), sport=rng.randrange(1, 9)),
                            priority=rng.randrange(16)))
    net.loop.run(2_000_000_000)
    assert net.account.problems == []


def _no_program(path: str, section: str, hook: str) -> Any:
    from ebpfvm.errors import LoadError
    raise LoadError("cannot be read", path=path)
