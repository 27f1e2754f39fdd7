"""Qdiscs whose programs fill Qdisc_ops: life cycle, ownership, registration, scripts; on both engines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import ebpfvm
from ebpfvm.cli.main import main
from ebpfvm.dialects import linux
from ebpfvm.errors import Fault, LoadError, UsageError
from ebpfvm.experiments import open_namespace
from ebpfvm.judging import verify
from ebpfvm.kernel import Kernel
from ebpfvm.loaded import Loaded, open_engine
from ebpfvm.loader.open import load
from ebpfvm.registering import only_variable, refusal
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.qdiscs.mq import Mq
from ebpfvm.sched.qdiscs.tbf import Tbf
from ebpfvm.sched.sch_struct_ops import QdiscOps, SchStructOps
from ebpfvm.sched.tc.lexer import ScriptError
from ebpfvm.sched.tc.script import run_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.account import Packet

ROOT = Path(__file__).parents[3]
FIFO = ROOT / "samples" / "mainline" / "fifo.o"
JUDGED = load(ROOT / "tests" / "unit" / "verifier" / "objects" / "qdisc_ops.o")
OPS = linux().struct_ops["Qdisc_ops"]
HANDLE = 0x80010000


class Member:
    """A program in Python: it notes that it was called, and returns what `body` returns."""

    def __init__(self, name: str, calls: list[str], body: Callable[[Any], int] = lambda ctx: 0) -> None:
        self.prog: Any = SimpleNamespace(name=name)
        self.calls, self.body = calls, body

    def __call__(self, ctx: Any) -> int:
        self.calls.append(self.prog.name)
        return self.body(ctx.owner)

    def tail(self, ctx: Any) -> int:
        raise NotImplementedError

    def callback(self, pc: int, args: tuple[int, ...]) -> int:
        raise NotImplementedError


def members(calls: list[str], **bodies: Callable[[Any], int]) -> dict[str, Any]:
    """Programs in Python for all members."""
    return {name: Member(name, calls, bodies.get(name, lambda ctx: 0)) for name in OPS.members}


def namespace() -> Namespace:
    net = Namespace(Kernel(linux()))
    net.add_device("eth0", num_tx_queues=2)
    return net


def made(net: Namespace, programs: dict[str, Any], **more: Any) -> SchStructOps:
    return SchStructOps(net.device("eth0"), HANDLE, QdiscOps("mine", OPS, programs), **more)


def given(net: Namespace, qdisc: SchStructOps, number: int) -> Packet:
    skb = net.packet(bytes(100), priority=number, id=number, hash=7)
    net.hand(skb, qdisc.holder)
    return skb


# ---- life -------------------------------------------------------------------------------------------------------

def test_an_error_of_init_calls_destroy_and_is_the_errno() -> None:
    calls: list[str] = []
    with pytest.raises(OSError, match="Cannot allocate memory") as caught:
        made(namespace(), members(calls, init=lambda ctx: -12 & (1 << 32) - 1))
    assert caught.value.errno == 12
    assert calls == ["init", "destroy"]


def test_only_root_and_mq_take_the_qdisc() -> None:
    net, calls = namespace(), []  # type: tuple[Namespace, list[str]]
    dev = net.device("eth0")
    tbf = Tbf(dev, 0x10000, rate=1_000_000, burst=10_000, limit=10_000)
    with pytest.raises(OSError, match="BPF qdisc only supported on root or mq"):
        made(net, members(calls), parent=0x10001, upper=tbf)
    assert calls == ["destroy"]
    made(net, members(calls), parent=0x20001, upper=Mq(dev, 0x20000))
    assert calls == ["destroy", "init"]


def test_reset_zeroes_what_programs_count_and_cancels_the_timer() -> None:
    calls: list[str] = []
    qdisc = made(namespace(), members(calls))
    qdisc.kernel_view.qlen, qdisc.kernel_view.backlog = 5, 500
    qdisc.watchdog.schedule(1 << 40)
    qdisc.reset()
    qdisc.destroy()
    assert (qdisc.kernel_view.qlen, qdisc.kernel_view.backlog, qdisc.watchdog.expires) == (0, 0, None)
    assert calls == ["init", "reset", "destroy"]


def test_a_packet_that_enqueue_keeps_nowhere_is_a_leak() -> None:
    net = namespace()
    qdisc = made(net, members([]))
    skb = given(net, qdisc, 1)
    with pytest.raises(Fault, match="program enqueue ends holding packet 1"):
        qdisc.enqueue(skb, [])
    assert net.account.close() == {}
    assert [problem.kind for problem in net.account.problems] == ["lost"]


def test_dequeue_returns_packets_only() -> None:
    net = namespace()
    qdisc = made(net, members([]))
    assert qdisc.dequeue() is None
    device = net.kernel.structs.pointer("net_device", net.device("eth0"))
    other = made(net, members([], dequeue=lambda ctx: device))
    with pytest.raises(Fault, match="which is no packet"):
        other.dequeue()


# ---- programs that Linux 7.2 accepts ------------------------------------------------------------------------------

FAULTS = {"e_returns_packet": "leak", "i_reads_options": "memory", "i_object_kept": "leak", "t_leaks_object": "leak"}
ACCEPTED = {name: verdict for name, program in JUDGED.programs.items()
            if program.struct_ops is not None and (verdict := verify(program, log_level=0)).ok}


def outcome(name: str, engine: str) -> tuple[str, list[Any]]:
    """The kind of fault, and what the qdisc shows after each call of the member that the program fills."""
    net, seen = namespace(), []  # type: tuple[Namespace, list[Any]]
    program = JUDGED.programs[name]
    assert program.struct_ops is not None
    loaded = Loaded(net.kernel, open_engine(engine), judge=lambda _: ACCEPTED[name].facts)
    member = program.struct_ops[1]
    try:
        qdisc = made(net, {**members([]), member: loaded.program(program)})
        for number in range(3):
            to_free: list[Packet] = []
            if member == "enqueue":
                seen += [qdisc.enqueue(given(net, qdisc, number), to_free), [skb.id for skb in to_free]]
            elif member != "init":
                seen.append(str(getattr(qdisc, member)()))
            seen += [str(qdisc.kernel_view), qdisc.limit, qdisc.qstats_qlen, qdisc.watchdog.expires]
            if member == "destroy":
                break
    except Fault as fault:
        return fault.kind, [*seen, fault.message]
    except OSError as error:
        return "", [*seen, error.errno]
    return "", seen


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_programs_do_the_same_on_both_engines(name: str) -> None:
    kind, seen = outcome(name, "interp")
    assert (kind, seen) == outcome(name, "translate")
    assert kind == FAULTS.get(name, "")  # the kernel leaks there, or uses NULL


# ---- registration -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("change", "errno", "text"), [
    (lambda ops: replace(ops, members={"enqueue": ops.members["enqueue"]}), 22, "dequeue, init, reset, destroy"),
    (lambda ops: replace(ops, data=bytes(len(ops.data))), 22, "id is empty"),
    (lambda ops: replace(ops, data=b"a b".ljust(len(ops.data), b"\0")), 22, "only letters"),
    (lambda ops: replace(ops, data=b"pfifo".ljust(len(ops.data), b"\0")), 17, "exists")])
def test_registration_is_refused_as_the_kernel_refuses_it(change: Callable[[Any], Any], errno: int, text: str) -> None:
    found = load(FIFO)
    refused = refusal(found, change(only_variable(found)), linux())
    assert refused is not None
    assert refused.errno == errno
    assert text in refused.message


def test_an_id_is_taken_once() -> None:
    found = load(FIFO)
    assert refusal(found, only_variable(found), linux()) is None
    refused = refusal(found, only_variable(found), linux(), {"bpf_fifo": None})
    assert refused is not None
    assert str(refused) == "fifo.id 'bpf_fifo': a kind of qdisc of this name exists (EEXIST)"


# ---- front ends ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("engine", ["interp", "translate"])
@pytest.mark.parametrize("name", ["fifo", "prio", "pacer", "drr", "codel", "fq"])
def test_samples_run_and_account_for_every_packet(name: str, engine: str) -> None:
    result = ebpfvm.simulate(ROOT / "samples" / "mainline" / f"{name}.o", engine=engine, rate="10mbit",
                             flows=["cbr:rate=8mbit,n=3,packets=60", "poisson:rate=1mbit,prio=7,packets=20"])
    assert result.ok
    assert result.in_packets == 200
    assert result.held == 0
    assert result.kernel_view.packets == result.out_packets
    assert result.notes[0].endswith(f"is registered as kind of qdisc 'bpf_{name}'")


def test_scripts_register_and_add() -> None:
    net = open_namespace(mainline=True)
    net.add_device("eth0", num_tx_queues=2, up=True)
    shown = run_script(f"bpftool struct_ops register {FIFO}\ntc qdisc add dev eth0 root handle 1: mq\n"
                       "tc qdisc add dev eth0 parent 1:1 handle 2: bpf_fifo\ntc -s qdisc show dev eth0", net)
    assert "qdisc bpf_fifo 2: parent 1:1 " in shown
    with pytest.raises(ScriptError, match=r"a kind of qdisc of this name exists \(EEXIST\)"):
        run_script(f"bpftool struct_ops register {FIFO}", net)
    with pytest.raises(ScriptError, match=r"BPF qdisc only supported on root or mq \(EINVAL\)"):
        run_script("tc qdisc replace dev eth0 root handle 3: tbf rate 1mbit burst 10kb latency 20ms\n"
                   "tc qdisc add dev eth0 parent 3:1 bpf_fifo", net)


def test_two_qdiscs_of_one_object_share_its_queue() -> None:
    net = open_namespace(mainline=True)
    first, second = (net.add_device(name, up=True) for name in ("eth0", "eth1"))
    run_script(f"bpftool struct_ops register {FIFO}\ntc qdisc add dev eth0 root bpf_fifo\n"
               "tc qdisc add dev eth1 root bpf_fifo", net)
    skb = net.packet(bytes(100))
    net.hand(skb, first.qdisc.holder)
    assert first.qdisc.enqueue(skb, []) == 0
    assert second.qdisc.dequeue() is skb


def test_the_rfc_kernel_says_that_it_has_no_struct_ops() -> None:
    net = open_namespace()
    with pytest.raises(ScriptError, match="the RFC's kernel has no struct Qdisc_ops"):
        run_script(f"bpftool struct_ops register {FIFO}", net)
    with pytest.raises(UsageError, match="fills struct_ops, whose variable says"):
        ebpfvm.simulate(FIFO, flows=["cbr:rate=1mbit,packets=1"], enqueue="fifo_enqueue")


def test_a_script_names_an_object_that_fills_nothing() -> None:
    net = open_namespace(mainline=True)
    with pytest.raises((ScriptError, LoadError), match="no variable of struct Qdisc_ops"):
        run_script(f"bpftool struct_ops register {ROOT / 'samples' / 'tc' / 'dscp.o'}", net)


@pytest.mark.parametrize(("path", "text"), [
    ("mainline/fifo.o", "fifo: can be registered as kind of qdisc bpf_fifo"),
    ("broken_qdiscs/missing_op.o", "broken: registration fails: broken: the member reset is missing (EINVAL)"),
    ("broken_qdiscs/priv_size.o", "broken: registration fails: broken.priv_size is not 0 (EINVAL)")])
def test_verify_says_what_registration_would(path: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(ROOT / "samples" / path)]) == 0  # the programs are accepted
    assert capsys.readouterr().out.splitlines()[-1] == text
