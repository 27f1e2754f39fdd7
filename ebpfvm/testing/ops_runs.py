"""Runs of programs for the members of `Qdisc_ops`: a kernel with one device, one qdisc, and the programs under test.

The other members do nothing, so a single program runs on what it has left itself in maps, lists and trees. A
`QdiscMachine` has programs for all members, which share these.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import Fault
from ebpfvm.kernel import Kernel
from ebpfvm.kernel.kernel_structs import structs_of
from ebpfvm.kernel.memory import REGION_SHIFT
from ebpfvm.kernel.object_roots import ObjectList
from ebpfvm.kernel.ops_ctx import OpsCtx, ops_layout
from ebpfvm.kernel.refs import CTX_HOLDER, PROGRAM
from ebpfvm.loaded import Loaded
from ebpfvm.runners import HANDLE
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.sch_struct_ops import QdiscOps, SchStructOps, ToFree
from ebpfvm.testing.runs import Machine, RunOutcome
from ebpfvm.verifier import verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ebpfvm.contract import Dialect
    from ebpfvm.contract.ops import OpsStruct
    from ebpfvm.kernel.program import Engine
    from ebpfvm.loader.object import Program
    from ebpfvm.sched.account import Packet
    from ebpfvm.testing.runs import Given

_DEVICE: Final = "eth0"
ADDRESS: Final = -1
"""The result of a program that returns an address: memory has addresses on demand, so engines may differ in them."""

OWN_PACKET: Final = -2
"""The result of a program that returns the address of the packet that it was given."""

RETURNED: Final = "returned"
"""The kind of a leak of a packet that the program returned (see `laws.allowed`)."""


class _Idle:
    """A member that does nothing."""

    def __init__(self, name: str) -> None:
        self.prog = SimpleNamespace(name=name)

    def __call__(self, ctx: Any) -> int:
        return 0


class OpsMachine(Machine):
    """A kernel with one program for a member of `Qdisc_ops` in one engine; the arguments are those of `Machine`."""

    def __init__(self, program: Program, dialect: Dialect, engine: Engine, seed: int = 0) -> None:
        assert program.struct_ops is not None
        struct, self.member = program.struct_ops
        self.kernel = Kernel(dialect, seed)
        self.net = Namespace(self.kernel)
        self.net.add_device(_DEVICE)
        self.loaded = Loaded(self.kernel, engine, judge=lambda program: verify(program, dialect, log_level=0).facts)
        self.run = self.loaded.program(program)
        self.program = self.run.prog.program
        self.maps = [self.loaded.map(spec, index) for index, spec in enumerate(self.program.maps)]
        ops = dialect.struct_ops[struct]
        self.layout = ops_layout(struct, ops.members[self.member])
        self.qdisc = SchStructOps(self.net.device(_DEVICE), HANDLE, _idle(ops))
        self.option = SimpleNamespace()

    def __call__(self, given: Given) -> RunOutcome:
        """Run the program once and return the outcome; `result` is 1 for a packet that dequeue returns."""
        self._fill(given)
        fault, result, returned = "", 0, False
        before, held = len(self.kernel.trace), self.kernel.refs.held
        skb = self.net.packet(given.data, **_fields(given))
        self.net.hand(skb, self.qdisc.holder)
        try:
            result = self._run(skb)
            returned = result == OWN_PACKET and self.kernel.refs.held == held + 1
            self.kernel.refs.program_exit(held, self.program.name)
        except Fault as error:
            fault, ended = str(error), (RETURNED if returned else error.kind, error.pc)
            self.kernel.refs.abandon(held, self.program.name)
        maps = self._contents()
        names = self.kernel.refs.names
        live = tuple((obj.serial, tuple(names(obj))) for obj in self.kernel.refs.live())
        data = self._qdisc_view() + skb.tstamp.to_bytes(8, "little") + repr(self._rooted()).encode()
        return RunOutcome(ended if fault else result, data, maps,
                          tuple(self.kernel.trace[before:]), live, fault)

    def _run(self, skb: Packet) -> int:
        """Call the member as the kernel does, and dispose of the packets that it gives back."""
        dev, refs, structs = self.qdisc.dev, self.kernel.refs, structs_of(self.kernel)
        context, free = OpsCtx(self.kernel, self.layout), ToFree(self.qdisc)
        if self.member == "enqueue":
            structs.show(skb)
            free.running = True
            refs.move(skb, self.qdisc.holder, PROGRAM)
            context.set(skb, self.qdisc, free)
        elif self.member == "init":
            option, extack = (structs.pointer(struct, self.option) for struct in ("nlattr", "netlink_ext_ack"))
            context.set(self.qdisc, option, extack)
        else:
            context.set(self.qdisc)
        result = self.run(context)
        given = context.owner.given
        if self.member == "dequeue" and (result or given is not None):
            sent: Any = given if given is not None else self.kernel.memory.owner(result)
            result = 1
            refs.move(sent, CTX_HOLDER, self.qdisc.holder)
            free.packets.append(sent)
        elif (place := self.kernel.memory.regions.get(result >> REGION_SHIFT)) is not None:
            result = OWN_PACKET if place.owner is skb else ADDRESS
        for dropped in free.packets:
            structs.hide(dropped)
            dev.drop(dropped, self.qdisc.holder)
        structs.forget("bpf_sk_buff_ptr", free)
        self.kernel.memory.free(context)
        return result

    def _rooted(self) -> list[tuple[str, str, list[tuple[int, list[int]]]]]:
        """Return what is in lists and trees, in order: serials of objects, and their numbers."""
        return sorted(("list" if isinstance(root, ObjectList) else "tree", root.holder.name,
                       [(found.serial, [cell for cell in found.cells if isinstance(cell, int)]) for found in root])
                      for root in self.kernel.graph.roots.values() if root)

    def _qdisc_view(self) -> bytes:
        view = self.qdisc.kernel_view
        return repr((self.qdisc.limit, view, self.qdisc.qstats_qlen, self.qdisc.watchdog.expires)).encode()


class QdiscMachine(OpsMachine):
    """A kernel with one qdisc, whose members are programs that share maps.

    Args:
        programs: member -> program, at least one.
        dialect, engine, seed: as for `Machine`.
    """

    def __init__(self, programs: Mapping[str, Program], dialect: Dialect, engine: Engine, seed: int = 0) -> None:
        super().__init__(next(iter(programs.values())), dialect, engine, seed)
        self._members = {member: (self.loaded.program(program), ops_layout("Qdisc_ops", dialect.struct_ops[
            "Qdisc_ops"].members[member])) for member, program in programs.items()}

    def choose(self, member: str) -> None:
        """Let the next run be one of this member."""
        self.member = member
        self.run, self.layout = self._members[member]
        self.program = self.run.prog.program


def _idle(ops: OpsStruct) -> QdiscOps:
    members: dict[str, Any] = {name: _Idle(name) for name in ops.members}
    return QdiscOps("idle", ops, members)


def _fields(given: Given) -> dict[str, Any]:
    known = ("mark", "priority", "hash", "tstamp", "queue_mapping", "tc_index")
    return {name: value for name, value in given.fields.items() if name in known}


def machine(program: Program, dialect: Dialect, engine: Engine, seed: int = 0) -> Machine:
    """Return a machine for a program of any type that can be run."""
    kind = Machine if program.struct_ops is None else OpsMachine
    return kind(program, dialect, engine, seed)
