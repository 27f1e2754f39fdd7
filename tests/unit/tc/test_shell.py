"""What shell scripts have around `tc` commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script, run_script_file

if TYPE_CHECKING:
    from pathlib import Path


def network() -> Namespace:
    net = Namespace(Kernel())
    net.add_device("eth0", up=True)
    return net


SCRIPT = """#!/bin/sh
DEV=eth0
RATE=10mbit PARENT=1:
sudo tc qdisc del dev $DEV root 2>/dev/null
/sbin/tc qdisc del dev ${DEV} root || true
/usr/sbin/tc qdisc add dev $DEV root handle 1: htb default 20 > /dev/null 2>&1
tc class add dev $DEV parent $PARENT classid ${PARENT}20 htb rate $RATE && tc class show dev $DEV
"""


def test_a_shell_script_is_run() -> None:
    net = network()
    assert run_script(SCRIPT, net) == [
        "class htb 1:20 root prio 0 rate 10Mbit ceil 10Mbit burst 1600b cburst 1600b "]
    assert net.device("eth0").qdisc.kind == "htb"


@pytest.mark.parametrize(("script", "define"), [
    ('RATE="10mbit"\nOPTIONS="rate 5mbit burst 10k"\ntc qdisc add dev eth0 root tbf $OPTIONS latency 20ms', {}),
    ("export DEV=eth0 RATE='5mbit'\ntc qdisc add dev \"$DEV\" root tbf rate $RATE burst 10k latency 20ms", {}),
    ("TC='sudo /sbin/tc'\n$TC qdisc add dev eth0 root tbf rate 5mbit burst 10k latency 20ms\nexit 0\nnonsense", {}),
    ("tc qdisc add dev ${1:-eth0} root tbf rate ${RATE-5mbit} burst 10k latency 20ms", {}),
    ("DEV=ppp0\ntc qdisc add dev $DEV root tbf rate ${RATE}mbit burst 10k latency 20ms", {"DEV": "eth0", "RATE": "5"}),
    ("set -e\nmodprobe sch_tbf\nsudo -n tc qdisc add dev $1 root tbf rate 5mbit burst 10k latency 20ms || exit 1\n"
     "echo done", {"1": "eth0"}),
])
def test_variables_hold_words(script: str, define: dict[str, str]) -> None:
    net = network()
    run_script(script, net, define=define)
    assert run_script("tc qdisc show dev eth0", net) == [
        "qdisc tbf 8001: root refcnt 2 rate 5Mbit burst 10Kb lat 20ms "]


def test_a_variable_in_single_quotes_is_none() -> None:
    with pytest.raises(ScriptError, match=r"Cannot find device '\$DEV'"):
        run_script("DEV=eth0; tc qdisc show dev '$DEV'", network())


def test_the_module_of_ifb_makes_devices() -> None:
    net = network()
    run_script("modprobe ifb; sudo modprobe -q ifb numifbs=0", net)
    assert [name for name in net.devices if name.startswith("ifb")] == ["ifb0", "ifb1"]


@pytest.mark.parametrize("tail", ["|| true", "|| :", "2>/dev/null", "2> /dev/null", "&>/dev/null"])
def test_a_refusal_of_the_kernel_is_forgiven(tail: str) -> None:
    net = network()
    run_script(f"tc qdisc del dev eth0 root {tail}\ntc qdisc add dev eth0 root pfifo", net)
    assert net.device("eth0").qdisc.kind == "pfifo"


@pytest.mark.parametrize(("line", "message"), [
    ("tc qdisc del dev eth0 root", "line 1, column 1: Cannot delete qdisc with handle of zero (ENOENT)"),
    ("tc qdisc del dev eth0 root > /dev/null", "line 1, column 1: Cannot delete qdisc with handle of zero (ENOENT)"),
    ("tc qdisc add dev eth0 root pfifo limmit 3 || true",
     "line 1, column 34: unknown word 'limmit': expected limit; did you mean 'limit'?"),
    ("tc qdisc show dev $DEV", "line 1, column 19: variable 'DEV' is not set: write DEV=VALUE on a line before, or "
                               "give --define DEV=VALUE"),
    ("tc qdisc show dev $(hostname)",
     "line 1, column 19: $(...) is not supported by ebpfvm: write what it stands for"),
    ("for dev in eth0 eth1; do",
     "line 1, column 1: 'for': what controls a shell is not supported by ebpfvm; write the commands one after the "
     "other"),
    ("modprobe dummy", "line 1, column 10: modprobe dummy: expected ifb, or a module of tc, as in sch_htb"),
    ("modprobe", "line 1, column 1: modprobe: a module is missing: ifb, or one of tc, as in sch_htb"),
    ("ifconfig eth0 mtu", "line 1, column 15: ifconfig: a number is missing after 'mtu'"),
    ("ethtool -K eth0 tso", "line 1, column 17: ethtool: a word is missing after 'tso': expected -K DEV FEATURE "
     "on|off, which changes nothing, because packets are as the link carries them"),
    ("ifconfig eth0 10.0.0.1", "line 1, column 15: ifconfig: '10.0.0.1' is not supported by ebpfvm: expected up, down, "
     "mtu N or txqueuelen N"),
    ("ethtool -K eth0 tso maybe", "line 1, column 21: ethtool: unknown value 'maybe': expected -K DEV "
     "FEATURE on|off, which changes nothing, because packets are as the link carries them"),
    ("ethtool eth0", "line 1, column 9: ethtool: 'eth0' is not supported by ebpfvm: expected -K DEV FEATURE on|off, "
     "which changes nothing, because packets are as the link carries them"),
    ("tc qdisc show || reboot",
     "line 1, column 15: || is followed by 'true', ':' or 'exit' here; other commands are not supported by ebpfvm"),
    ("tc qdisc del dev eth0 root || exit 1", "line 1, column 1: Cannot delete qdisc with handle of zero (ENOENT)"),
])
def test_what_is_an_error_all_the_same(line: str, message: str) -> None:
    with pytest.raises(ScriptError) as caught:
        run_script(line, network())
    assert str(caught.value) == message


def test_a_batch_file_has_commands_without_tc(tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("qdisc add dev eth0 root handle 1: prio\nqdisc add dev eth0 parent 1:1 sfq\n")
    script = tmp_path / "script"
    script.write_text("tc -b rules\n")
    net = network()
    run_script_file(script, net)
    assert [qdisc.kind for qdisc in net.qdiscs(net.device("eth0"))] == ["prio", "sfq", "pfifo", "pfifo"]


@pytest.mark.parametrize(("batch", "message"), [
    ("qdisc add dev eth0 root pfifo limit\n", "{batch}:1:31: expected a size, as in 10k or 1500b after 'limit', found "
                                              "the end of the command"),
    ("qdisc add dev eth0 parent 1:1 pfifo\n", "{batch}:1:1: Failed to find specified qdisc: 1: (ENOENT)"),
    ("tc qdisc show\n", "{batch}:1:1: lines of a batch file begin after 'tc'"),
])
def test_a_mistake_in_a_batch_file_is_placed_there(tmp_path: Path, batch: str, message: str) -> None:
    path = tmp_path / "rules"
    path.write_text(batch)
    with pytest.raises(ScriptError) as caught:
        run_script(f"tc -batch {path}", network())
    assert str(caught.value) == message.format(batch=path)


def test_a_batch_file_that_is_missing() -> None:
    with pytest.raises(ScriptError, match=r"^line 1, column 1: batch file nowhere: cannot be read: No such file"):
        run_script("tc -b nowhere", network())


def test_ifconfig_and_ethtool_are_what_they_are_for_devices() -> None:
    net = Namespace(Kernel())
    net.add_device("eth0")
    run_script("/sbin/ifconfig eth0 up mtu 1400 txqueuelen 50; sudo ethtool -K eth0 tso off gso off gro off", net)
    device = net.device("eth0")
    assert (device.up, device.mtu, device.tx_queue_len) == (True, 1400, 50)
