"""The RED flags of gred belong to all of its virtual queues, or to each one."""

from __future__ import annotations

import pytest

from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script

QUEUE = "gred limit 20000 min 2000 max 2001 avpkt 500 burst 6 probability 1.0 bandwidth 4mbit DP 0"


def commands(*words: str) -> list[str]:
    net = Namespace(Kernel())
    net.add_device("eth0", up=True)
    for text in words:
        run_script(f"tc qdisc {text}", net)
    return run_script("tc qdisc show dev eth0", net)


def test_flags_of_all_go_to_each() -> None:
    lines = commands("add dev eth0 root gred setup DPs 1 default 0", f"change dev eth0 root {QUEUE}",
                     "change dev eth0 root gred setup DPs 1 default 0 ecn")
    assert "ecn" in lines[1].split()


@pytest.mark.parametrize(("first", "second", "message"), [
    ("add dev eth0 root gred setup DPs 1 default 0 ecn", f"change dev eth0 root {QUEUE}",
     "can't change per-virtual queue RED flags when per-Qdisc flags are used"),
    ("add dev eth0 root gred setup DPs 1 default 0 ecn", f"change dev eth0 root {QUEUE} harddrop",
     "can't change per-virtual queue RED flags when per-Qdisc flags are used"),
    ("add dev eth0 root gred setup DPs 1 default 0", f"change dev eth0 root {QUEUE} ecn",
     "can't set per-Qdisc RED flags when per-virtual queue flags are used"),
])
def test_flags_of_both_kinds_are_refused(first: str, second: str, message: str) -> None:
    with pytest.raises(ScriptError, match=message):
        commands(first, second, "change dev eth0 root gred setup DPs 1 default 0 harddrop")
