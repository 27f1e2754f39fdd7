"""Find the lints of a queueing discipline whose programs the verifier accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ebpfvm.btf.types import Kind, Struct
from ebpfvm.kernel.struct_layout import find_member
from ebpfvm.lints.lint_rules import Lint
from ebpfvm.lints.members import MemberProgram, first, overlap
from ebpfvm.lints.path_state import const
from ebpfvm.lints.program_paths import ProgramPaths
from ebpfvm.net import NET_XMIT_DROP, NET_XMIT_MASK, NET_XMIT_SUCCESS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ebpfvm.contract.ops import StructAccess
    from ebpfvm.lints.program_paths import End
    from ebpfvm.loader.object import StructOps
    from ebpfvm.verifier import Verdict


def discipline_lints(variable: StructOps, verdicts: Mapping[str, Verdict]) -> Iterator[Lint]:
    """Return the lints of a `Qdisc_ops`, in the order of its members; for `verdicts` see `lints_of`."""
    return _Discipline(variable, verdicts).lints()


class _Discipline:
    """The accepted programs of a `Qdisc_ops`, by member."""

    def __init__(self, variable: StructOps, verdicts: Mapping[str, Verdict]) -> None:
        self.members: dict[str, MemberProgram] = {}
        for member, name in variable.members.items():
            verdict = verdicts.get(name)
            if verdict is not None and verdict.ok and verdict.program is not None:
                self.members[member] = MemberProgram(verdict.program, verdict.facts)
        self.whole = len(self.members) == len(variable.members)

    def lints(self) -> Iterator[Lint]:
        """Yield all lints."""
        for member, judged in self.members.items():
            if member == "enqueue":
                yield from _enqueue(judged)
            elif member == "dequeue":
                yield from self._dequeue(judged)
            elif member == "init":
                yield from _init(judged)
            yield from _borrowed(judged)
        if self.whole and not any("tail_call" in judged.roles for judged in self.members.values()):
            yield from self._limit()
            yield from self._counters()
            yield from self._reset()
            yield from self._unset_fields()

    def _accesses(self, path: str, write: bool) -> dict[str, StructAccess]:
        """Return, for each member that accesses a field of `struct Qdisc`, its first access."""
        found = {}
        for member, judged in self.members.items():
            item = first(judged.kernel_accesses("Qdisc", *_place(judged, path), write))
            if item is not None:
                found[member] = item
        return found

    def _limit(self) -> Iterator[Lint]:
        reads = self._accesses("limit", write=False)
        if reads and not self._accesses("limit", write=True):
            member = "enqueue" if "enqueue" in reads else next(iter(reads))
            yield _at("no-limit", self.members[member], reads[member].pc,
                      "compares with sch->limit, which no program sets, so it is 0")

    def _counters(self) -> Iterator[Lint]:
        writes = self._accesses("q.qlen", write=True)
        for member in ("enqueue", "dequeue"):
            if member in self.members and member not in writes:
                yield Lint("no-qlen", self.members[member].program.name, "does not change sch->q.qlen")
        if "enqueue" in writes and not self._accesses("qstats.backlog", write=True):
            yield _at("no-backlog", self.members["enqueue"], writes["enqueue"].pc,
                      "counts packets, but no bytes in sch->qstats.backlog")

    def _reset(self) -> Iterator[Lint]:
        enqueue, reset = self.members.get("enqueue"), self.members.get("reset")
        if enqueue is None or reset is None or not {"graph_put", "kptr_xchg"} & enqueue.roles:
            return
        empties = {"graph_take", "kptr_xchg"} & reset.roles or reset.releases or "map_delete_elem" in reset.names
        if not empties:
            yield Lint("reset-keeps", reset.program.name, "takes no packet out of what enqueue fills", reset.line(0))

    def _dequeue(self, judged: MemberProgram) -> Iterator[Lint]:
        if "bpf_qdisc_bstats_update" not in judged.names and "tail_call" not in judged.roles:
            yield Lint("no-bstats", judged.program.name, "does not call bpf_qdisc_bstats_update", judged.line(0))
        if any("bpf_qdisc_watchdog_schedule" in item.names for item in self.members.values()):
            return
        for end in sorted(ProgramPaths(judged).ends):
            if end.result == const(0) and end.deeds.waited >= 0:
                yield _at("no-watchdog", judged, end.deeds.waited,
                          "returns NULL because of the time, and no program schedules the watchdog")
                return

    def _unset_fields(self) -> Iterator[Lint]:
        """Yield a lint for each field of the program's objects that is read, and written nowhere."""
        written = [item for judged in self.members.values() for item in judged.accesses if item.own and item.write]
        seen = set()
        for judged in self.members.values():
            for item in sorted(item for item in judged.accesses if item.own and not item.write):
                place = (item.struct, item.off)
                if place not in seen and not any(other.struct == item.struct and overlap(other, item.off, item.size)
                                                 for other in written):
                    yield _at("unset-field", judged, item.pc,
                              f"reads {_member(judged, item)} of struct {item.struct}, which no program writes")
                seen.add(place)


def _place(judged: MemberProgram, path: str) -> tuple[int, int]:
    """Return offset and size of a member of `struct Qdisc`, (0, 0) if the kernel has none."""
    types = judged.dialect.types() if judged.dialect.types is not None else None
    struct = types.find("Qdisc", Kind.STRUCT) if types is not None else None
    found = find_member(types, struct, path) if types is not None and struct is not None else None
    return (found.start // 8, found.bits // 8) if found is not None else (0, 0)


def _member(judged: MemberProgram, item: StructAccess) -> str:
    """Return the member of one of the program's own structs that is accessed."""
    btf = judged.program.btf
    number = btf.find(item.struct, Kind.STRUCT) if btf is not None else None
    shape = btf[number] if btf is not None and number is not None else None
    members = [member.name for member in shape.members if member.bit_offset // 8 <= item.off] \
        if isinstance(shape, Struct) else []
    return repr(members[-1]) if members else f"byte {item.off}"


def _enqueue(judged: MemberProgram) -> Iterator[Lint]:
    paths = ProgramPaths(judged, owns_packet=True)
    told: dict[str, Lint] = {}
    for end in sorted(paths.ends):
        for id, pc, text in _of_path(end):
            told.setdefault(id, _at(id, judged, pc, text))
    yield from told.values()
    stored = [end for end in paths.ends if end.deeds.fate == "stored"]
    if stored and not any(end.deeds.tested for end in stored):
        yield _at("unbounded", judged, min(end.deeds.at for end in stored),
                  "keeps every packet: nothing is compared with a limit")
    for pc in sorted(paths.kept):
        yield _at("address-kept", judged, pc, "writes the packet's address to memory as a number")


def _of_path(end: End) -> Iterator[tuple[str, int, str]]:
    """Yield what is wrong with what enqueue returns: id, slot, and text."""
    result, deeds = end.result, end.deeds
    if deeds.fate == "own" and result.kind == "packet":
        yield "packet-leaked", end.pc, "returns with the packet neither stored nor dropped"
    if result.kind != "const":
        return
    if deeds.fate == "dropped" and result.n == NET_XMIT_SUCCESS:
        yield "dropped-but-success", deeds.at, "drops the packet here, and then returns NET_XMIT_SUCCESS"
    if deeds.fate == "stored" and not deeds.others and result.n & NET_XMIT_MASK == NET_XMIT_DROP:
        yield "kept-but-dropped", deeds.at, "keeps the packet here, and then returns NET_XMIT_DROP"


def _init(judged: MemberProgram) -> Iterator[Lint]:
    for pc in sorted(ProgramPaths(judged, maybe_null=(1, 2)).null_reads)[:1]:
        yield _at("null-option", judged, pc, "reads through an argument that may be NULL; Linux removes tests for it")


def _borrowed(judged: MemberProgram) -> Iterator[Lint]:
    item = first(item for item in judged.accesses if item.borrowed and item.struct == "sk_buff" and not item.own)
    if item is not None:
        yield _at("borrowed-packet", judged, item.pc, "reads a packet that it does not own")


def _at(id: str, judged: MemberProgram, pc: int, text: str) -> Lint:
    return Lint(id, judged.program.name, text, judged.line(pc))
