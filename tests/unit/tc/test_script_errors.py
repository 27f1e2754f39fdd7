"""What is wrong with a script is said with the word, what was expected, line and column; nothing else breaks."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from ebpfvm.api import simulate
from ebpfvm.errors import UsageError
from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.tc.grammar import QDISC_KINDS, command_grammar, qdisc_grammar
from ebpfvm.sched.tc.grammar_filter import FILTER_KINDS, filter_grammar
from ebpfvm.sched.tc.lexer import ScriptError, commands
from ebpfvm.sched.tc.script import run_script, run_script_file

SETUP = """
ip link add eth0 type dummy
ip link add ifb0 type ifb
ip link set eth0 up
tc qdisc add dev eth0 root handle 1: prio
tc qdisc add dev eth0 parent 1:1 handle 10: pfifo limit 8
tc qdisc add dev eth0 parent 1:2 handle 20: tbf rate 1mbit burst 10k latency 50ms
tc qdisc add dev eth0 clsact
tc filter add dev eth0 parent 1: protocol ip prio 11 flower ip_proto udp dst_port 2000-2010 classid 1:2
"""


@pytest.fixture
def net() -> Namespace:
    net = Namespace(Kernel())
    run_script(SETUP, net)
    return net


@pytest.mark.parametrize("kind", QDISC_KINDS)
def test_grammars_of_qdiscs_are_unambiguous(kind: str) -> None:
    assert qdisc_grammar(kind).conflicts == []


@pytest.mark.parametrize("kind", FILTER_KINDS)
def test_grammars_of_filters_are_unambiguous(kind: str) -> None:
    assert filter_grammar(kind).conflicts == []


def test_the_common_grammar_is_unambiguous() -> None:
    assert command_grammar().conflicts == []


@pytest.mark.parametrize(("line", "column", "parts"), [
    ("foo", 1, ["'foo'", "class, filter, ip, link, qdisc, sysctl or tc"]),
    ("tc qdisc adx dev eth0", 10, ["'adx'", "add, change, del", "did you mean 'add'"]),
    ("tc qdisc add dve eth0 root pfifo", 14, ["'dve'", "a kind of qdisc", "parent, root", "did you mean 'dev'"]),
    ("tc qdisc add dev eth0 root fifo", 28, ["'fifo'", "bfifo, blackhole, bpf", "did you mean 'pfifo'"]),
    ("tc qdisc add dev eth0 root pfifo limt 5", 34, ["'limt'", "limit"]),
    ("tc qdisc add dev eth0 root pfifo limit", 34, ["a size, as in 10k or 1500b after 'limit'", "end of the command"]),
    ("tc qdisc add dev eth0 root pfifo limit 5000000000", 40, ["5000000000", "out of range"]),
    ("tc qdisc add dev eth0 root handle x:3 pfifo", 35, ["'x:3'", "a qdisc's handle, as in 1:"]),
    ("tc qdisc add dev eth0 root tbf rate 10mbti", 37, ["10mbti", "as in 10mbit"]),
    ("tc qdisc add dev eth0 root", 1, ["Exclusivity flag on, cannot modify (EEXIST)"]),
    ("tc qdisc add dev ifb0 root", 1, ["Specified qdisc kind is unknown: no kind of qdisc is named", "bfifo"]),
    ("tc filter add dev eth0 parent 1: prio 70000 matchall", 39, ["70000", "out of range, 0 to 65535"]),
    ("tc qdisc show junk", 15, ["'junk'"]),
    ("tc filter add dev eth0 parent 1: flwer ip_proto tcp", 34, ["'flwer'", "did you mean 'flower'"]),
    ("tc filter add dev eth0 parent 1: flower ip_porto tcp", 41, ["'ip_porto'", "ip_proto, ip_tos"]),
    ("tc filter add dev eth0 parent 1: flower ip_proto tpc", 50, ["'tpc'", "tcp"]),
    ("tc filter add dev eth0 parent 1: u32 match ip dport 80", 53, ["after '80'"]),
    ("tc filter add dev eth0 parent 1: basic match 'cmp(u9 at 3)'", 51, ["'u9'", "u16, u32 or u8"]),
    ("tc filter add dev eth0 parent 1: matchall action drp", 50, ["'drp'", "did you mean 'drop'"]),
    ("tc filter add dev eth0 parent 1: matchall action 'drop", 50, ["quote ' is not closed"]),
    ("tc filter add dev eth0 parent 1: u32 match u8 1 ff at 1 match u32 1 ff at 3", 34, ["offset 3"]),
    ("tc filter add dev eth0 parent 1: u32 match u8 1 ff at 1 match u8 2 ff at 1", 1, ["two things at once"]),
    ("tc filter add dev eth0 parent 1: prio 12 handle 1 flow hash keys src,,dst", 51, ["unknown flow key ''"]),
    ("tc filter add dev eth0 parent 1: prio 12 basic match 'nbyte(GET at -1)'", 68, ["unknown word '-1'"]),
    ("tc filter add dev eth0 parent 1: basic match 'nbyte(\"\" at 0)'", 34, ["nbyte: the text is empty"]),
    ("tc qdisc add dev ifb0 root stab overhead 4 mpu 3 overhead 5 pfifo", 1, ["stab: 'overhead' is given twice"]),
    ("tc filter add dev eth0 parent 1: matchall action csum and iph", 55, ["expected icmp, igmp, index, ip, ip4h"]),
    ("tc filter add dev eth0 parent 1: matchall action ctinfo dscp 0xff", 34, ["dscp mask 0xff: it has six bits"]),
    ("tc filter add dev eth0 parent 1: matchall action ctinfo dscp 0x3f 0x4", 34, ["0x3f and state mask 0x4 have"]),
    ("tc filter add dev eth0 parent 1: matchall action nat egress ::1 1.2.3.4", 34, ["nat: an IPv4 prefix and"]),
    ("tc filter add dev eth0 parent 1: matchall action nat egress 1.2.3.4 5.6.7.0/24", 34, ["nat: an IPv4 prefix and"]),
    ("tc filter add dev eth0 parent 1: matchall action skbmod set etype 0x10000", 67, ["out of range, 0 to 65535"]),
    ("tc filter add dev eth0 parent 1: matchall action ok hw_stats never", 62, ["expected any, immediate, delayed or"]),
    ("tc filter add dev eth0 parent 1: handle 1:2:3:4 u32 match u8 0 0 at 0", 1, ["handle '1:2:3:4'"]),
])
def test_a_word_that_does_not_fit(net: Namespace, line: str, column: int, parts: list[str]) -> None:
    with pytest.raises(ScriptError) as caught:
        run_script(f"\n# a comment\n{line}\n", net, "setup.tc")
    assert (caught.value.line, caught.value.column) == (3, column)
    assert str(caught.value).startswith(f"setup.tc:3:{column}: ")
    assert [part for part in parts if part not in str(caught.value)] == []


@pytest.mark.parametrize(("line", "message"), [
    ("qdisc add dev nope root pfifo", "Cannot find device 'nope'; there are: eth0, ifb0"),
    ("qdisc add dev eth0 pfifo", "Handle cannot be zero: 'root', 'parent CLASS' or 'handle H:' is needed"),
    ("qdisc add dev eth0 root handle 1: pfifo", "Exclusivity flag on, cannot modify (EEXIST)"),
    ("qdisc add dev eth0 root handle 2: pfifo", "NLM_F_REPLACE needed to override (EEXIST)"),
    ("qdisc change dev eth0 root handle 3: prio", "NLM_F_REPLACE needed to override (EEXIST)"),
    ("qdisc add dev eth0 parent 9:9 pfifo", "Failed to find specified qdisc: 9: (ENOENT)"),
    ("qdisc add dev eth0 parent 10:1 pfifo", "Parent qdisc is not classful: pfifo 10: (EOPNOTSUPP)"),
    ("qdisc add dev eth0 parent 1:9 pfifo", "Specified class not found: 1:9 (ENOENT)"),
    ("qdisc replace dev eth0 parent 1:3 handle 1: prio", "Cannot move an existing qdisc to a different parent"),
    ("qdisc add dev eth0 parent 1:3 mq", "mq needs a device with several transmit queues, eth0 has 1 (EOPNOTSUPP)"),
    ("qdisc add dev eth0 parent 1:3 tbf rate 1mbit", "'burst' is needed"),
    ("qdisc add dev eth0 parent 1:3 tbf rate 1mbit burst 2k", "'limit' or 'latency' is needed"),
    ("qdisc add dev eth0 parent 1:3 prio bands 1", "prio has 2 to 16 bands, not 1 (EINVAL)"),
    ("qdisc add dev eth0 parent 1:3 prio bands 2 priomap 0 1 2", "priomap element 2 is out of bands: there are 0 to 1"),
    ("qdisc add dev eth0 parent 1:3 bpf obj x.o", "cannot load programs"),
    ("qdisc add dev eth0 ingress", "Exclusivity flag on, cannot modify (EEXIST)"),
    ("qdisc del dev eth0 parent 1:3", "Cannot delete qdisc with handle of zero (ENOENT)"),
    ("qdisc del dev ifb0 root", "Cannot delete qdisc with handle of zero (ENOENT)"),
    ("qdisc del dev eth0 root handle 7:", "Invalid handle (EINVAL)"),
    ("class add dev eth0 parent 1: classid 2:1 prio", 'Qdisc "prio" is classless'),
    ("class del dev eth0 classid 1:77", "No such file or directory: class 1:77 (ENOENT)"),
    ("class add dev eth0 classid 5:1 bpf", "No such file or directory: no qdisc 5: (ENOENT)"),
    ("filter add dev eth0 parent 7: matchall", "Parent Qdisc doesn't exists: 7: (EINVAL)"),
    ("filter add dev ifb0 egress matchall", "device ifb0 has no egress filters, add qdisc clsact first (EINVAL)"),
    ("filter add dev eth0 parent 10: matchall", "Qdisc not classful: pfifo 10: (EINVAL)"),
    ("filter add dev eth0 parent 1:1 matchall",
     "Invalid argument: the filters of prio are those of the qdisc, not of a class (EINVAL)"),
    ("filter add block 5 matchall", "Block of given index was not found: 5 (EINVAL)"),
    ("filter add dev eth0 parent 1: prio 11 protocol ipv6 flower classid 1:1", "taken by another protocol (EINVAL)"),
    ("filter add dev eth0 parent 1: prio 11 protocol ip matchall", "has filters of kind flower (EINVAL)"),
    ("filter add dev eth0 parent 1: prio 11 protocol ip handle 1 flower", "Filter already exists (EEXIST)"),
    ("filter add dev eth0 parent 1: prio 11 protocol ip flower ip_proto udp dst_port 2000-2010 classid 1:3",
     "a flower filter of this priority compares the same already (EEXIST)"),
    ("filter add dev eth0 parent 1: prio 12 protocol ip flower dst_port 80", "give ip_proto tcp or udp or sctp"),
    ("filter add dev eth0 parent 1: prio 12 flower dst_ip 1.2.3.4", "must be ip or ipv6"),
    ("filter add dev eth0 parent 1: prio 12 protocol ip flower dst_ip fd00::1", "the address is not"),
    ("filter add dev eth0 parent 1: prio 12 protocol ip flower skip_sw", "Operation not supported"),
    ("filter del dev eth0 parent 1: prio 99", "Filter with specified priority/protocol not found (ENOENT)"),
    ("filter del dev eth0 parent 1: prio 11 handle 9 flower", "Specified filter handle not found (ENOENT)"),
    ("filter add dev eth0 parent 1: fw classid 1:1", "fw needs a handle other than 0"),
    ("filter add dev eth0 parent 1: matchall action mirred egress redirect dev ifb9", "Cannot find device 'ifb9'"),
    ("filter add dev eth0 parent 1: matchall police rate 1mbit drop", "police needs a burst"),
    ("filter add dev eth0 parent 1: matchall action skbedit", "nothing to set"),
    ("filter add dev eth0 parent 1: handle 2: u32 divisor 3", "expected a power of two"),
    ("filter add dev eth0 parent 1: u32 ht 5: match u8 0 0 at 0 classid 1:1", "Specified hash table not found: 5:"),
    ("filter add dev eth0 parent 1: u32 link 7: match u8 0 0 at 0", "Link hash table not found: 7:"),
    ("filter add dev eth0 parent 1: prio 12 protocol arp flower arp_sip ::1", "flower arp_sip: an IPv4 address is"),
    ("filter add dev eth0 parent 1: prio 12 protocol ip flower arp_op reply", "flower arp_op: the filter's protocol"),
    ("filter add dev eth0 parent 1: prio 12 flow hash keys src", "flow needs a handle, and keys"),
    ("filter add dev eth0 parent 1: prio 12 handle 1 flow hash", "flow needs a handle, and keys"),
    ("filter add dev eth0 parent 1: prio 12 handle 1 flow map keys src,dst", "a map has one key, not src,dst"),
    ("filter add dev eth0 parent 1: prio 12 handle 1 flow map keys src perturb 10", "perturb changes a hash"),
    ("filter add dev eth0 parent 1: prio 12 handle 1 flow map keys src rshift 32", "rshift 32 is more than 31"),
    ("filter add dev eth0 parent 1: matchall action csum index 99", "there is no action csum of index 99"),
    ("filter add dev eth0 parent 1: matchall action sample rate 0 group 1", "sample: rate and group are needed"),
    ("filter add dev eth0 parent 1: matchall action sample rate 9", "sample: rate and group are needed"),
    (f"filter add dev eth0 parent 1: matchall action simple sdata {'x' * 32}", "simple: a text of 32 characters"),
    ("qdisc add dev ifb0 root stab", "stab: an option is missing, one of linklayer, mpu"),
    ("qdisc add dev ifb0 root stab tsize 32740 mpu 64 pfifo", "tsize 32740 is more than a message can have (32739)"),
    ("qdisc add dev ifb0 root stab overhead 4 stab mpu 5 pfifo", "'stab' is given twice"),
    ("qdisc add dev eth0 parent 1:3 stab overhead 4 pfifo", "STAB not supported on a non root"),
    ("qdisc add dev eth0 parent 1:3 noqueue", "Cannot assign noqueue to a class (EINVAL)"),
    ("qdisc add dev ifb0 root multiq", "multiq needs a device with several transmit queues"),
    ("qdisc add dev ifb0 root red limit 60k avpkt 1k qevent mark block 0", "blocks have numbers from 1 on"),
    ("qdisc add dev ifb0 root red limit 60k avpkt 1k qevent mark block 1 qevent mark block 2", "Duplicate qevent"),
    ("qdisc add dev ifb0 root sfq min 1000", "sfq: min needs redflowlimit BYTES"),
    ("qdisc add dev ifb0 root sfq redflowlimit 5000 max 6000", '"max" is larger than "redflowlimit"'),
    ("qdisc add dev ifb0 root sfq redflowlimit 5000 min 1000 max 1000", '"min" is not smaller than "max"'),
    ("link set dev eth0 mtu 10", "at least 68 bytes"),
    ("link add eth0 type dummy", "device 'eth0' exists already"),
    ("link add x0", "'type' is missing"),
    ("link add x0 type bond", "expected dummy, ifb, veth"),
])
def test_a_command_that_cannot_be_done_changes_nothing(net: Namespace, line: str, message: str) -> None:
    def state() -> list[str]:
        return run_script("tc qdisc show; tc class show dev eth0; tc filter show dev eth0 parent 1:; ip link show", net)

    before = state()
    with pytest.raises(ScriptError) as caught:
        run_script(line, net)
    assert message in str(caught.value)
    assert str(caught.value).startswith("line 1, column 1: ")
    assert state() == before


def test_words_quotes_comments_and_continuations() -> None:
    text = "tc a \\\n  'b  c' # no\n\n;d\"e\" #\n f#g"
    assert [[(word.text, word.line, word.column) for word in command] for command in commands(text)] == [
        [("tc", 1, 1), ("a", 1, 4), ("b  c", 2, 4)], [("de", 4, 2)], [("f#g", 5, 2)]]


def test_commands_before_the_broken_one_are_done(net: Namespace) -> None:
    with pytest.raises(ScriptError, match="line 2"):
        run_script("ip link set eth0 mtu 1400\nip link set eth0 mtu x", net)
    assert net.device("eth0").mtu == 1400


def test_a_script_that_cannot_be_read(net: Namespace) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        run_script_file("/nonexistent/x.tc", net)


def test_a_script_from_a_pipe_is_read_once() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        pipe.write("tc qdisc add dev eth0 root pfifo limit 7\ntc qdisc show dev eth0\n")
    try:
        result = simulate(tc=f"/dev/fd/{reading}", flows=["cbr:rate=1mbit,packets=1"])
    finally:
        os.close(reading)
    assert "pfifo 8001: root refcnt 2 limit 7p" in "\n".join(result.shown)


def test_a_failing_command_is_named_before_a_malformed_one_behind_it(tmp_path: Path) -> None:
    script = tmp_path / "x.tc"
    script.write_text("tc qdisc del dev eth0 root\ntc qdisc nonsense\n")
    with pytest.raises(ScriptError, match=r"x\.tc:1:1: "):
        simulate(tc=str(script), flows=["cbr:rate=1mbit,packets=1"])


@pytest.mark.parametrize(("char", "name"), [("\u00a0", "NO-BREAK SPACE"), ("\u2028", "LINE SEPARATOR"),
                                            ("\u3000", "IDEOGRAPHIC SPACE"), ("\x00", "U+0000"), ("\x1b", "U+001B")])
def test_what_only_looks_like_a_blank_is_named_with_its_place(net: Namespace, char: str, name: str) -> None:
    with pytest.raises(ScriptError, match=re.escape(name)) as found:
        run_script(f"tc qdisc show\ntc qdisc add dev eth0 root{char}pfifo limit 7", net)
    assert (found.value.line, found.value.column) == (2, 27)


@pytest.mark.parametrize("blank", ["\t", "\v", "\f", " \t "])
def test_blanks_of_ascii_separate_words(blank: str) -> None:
    assert [word.text for command in commands(f"a{blank}b") for word in command] == ["a", "b"]


def test_a_long_word_is_quoted_in_part(net: Namespace) -> None:
    with pytest.raises(ScriptError) as found:
        run_script(f"tc qdisc add dev eth0 root pfifo limit {'1' * 5000}", net)
    assert len(str(found.value)) < 200
