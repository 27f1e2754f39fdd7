"""The lints: what each reports, why that matters, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.lazy_dataclasses import dataclass
from ebpfvm.lazy_tuples import NamedTuple

if TYPE_CHECKING:
    from ebpfvm.loader.object import LineInfo


class Rule(NamedTuple):
    """What a lint means.

    Attributes:
        what: the mistake, in a sentence.
        why: what happens at run time.
        help: what to do.
    """

    what: str
    why: str
    help: str


@dataclass(frozen=True, slots=True)
class Lint:
    """A mistake that was found.

    Attributes:
        id: a key of `LINTS`.
        program: the program that has it, "" for the object.
        message: what is wrong, in a sentence without a full stop.
        line: the C line, if it is known.
    """

    id: str
    program: str
    message: str
    line: LineInfo | None = None

    def __str__(self) -> str:
        where = f"{self.line}: " if self.line is not None else ""
        who = f"{self.program}: " if self.program else ""
        return f"{where}{who}{self.message} [{self.id}]"


LINTS: Final[dict[str, Rule]] = {
    "no-limit": Rule(
        "A program compares the length with `sch->limit`, and none sets it.",
        "The limit of a new qdisc is 0, so every packet is dropped.",
        "`sch->limit = 1000;` in init."),
    "unbounded": Rule(
        "Enqueue keeps packets without a test of any length, counter or map.",
        "The queue grows until there is no memory.",
        "`if (sch->q.qlen >= sch->limit)` drop the packet."),
    "reset-keeps": Rule(
        "Enqueue stores packets, and reset takes nothing out of a list, tree, map or kptr.",
        "The kernel sets the length to 0 after reset. The packets stay, hold their memory, and leave when the qdisc or "
        "another of its kind is used again.",
        "Take out and free whatever enqueue may have stored."),
    "no-bstats": Rule(
        "Dequeue does not call `bpf_qdisc_bstats_update`.",
        "The kernel counts nothing for a program: `tc -s` shows 0 bytes and packets sent.",
        "`bpf_qdisc_bstats_update(sch, skb);` before the packet is returned."),
    "no-qlen": Rule(
        "Enqueue or dequeue does not change `sch->q.qlen`.",
        "`tc -s` shows a wrong backlog, and tests such as `sch->q.qlen >= sch->limit` compare a wrong number.",
        "`sch->q.qlen++` in enqueue and `sch->q.qlen--` in dequeue."),
    "no-backlog": Rule(
        "The program counts packets in `q.qlen`, and no bytes in `qstats.backlog`.",
        "`tc -s` shows a backlog of 0 bytes with packets in it.",
        "Add `qdisc_skb_cb(skb)->pkt_len` in enqueue and subtract it in dequeue."),
    "dropped-but-success": Rule(
        "Enqueue drops the packet on a path and returns `NET_XMIT_SUCCESS` there.",
        "The sender takes the packet for sent. TCP does not slow down, and `tc` counts no drop.",
        "Return `NET_XMIT_DROP`, or `NET_XMIT_SUCCESS | __NET_XMIT_STOLEN` for a packet that was dropped on purpose."),
    "kept-but-dropped": Rule(
        "Enqueue stores the packet on a path and returns `NET_XMIT_DROP` there.",
        "The sender takes the packet for lost and may send it again, while the first one still leaves.",
        "Return `NET_XMIT_SUCCESS`."),
    "packet-leaked": Rule(
        "Enqueue returns with the packet neither stored nor dropped.",
        "The verifier overlooks this if the packet itself is the return value. The packet is lost with its memory.",
        "Store or drop the packet on every path, and return a number."),
    "no-watchdog": Rule(
        "Dequeue returns NULL because of the time, and no program schedules the watchdog.",
        "Nobody calls dequeue again until the next packet arrives, so what waits may wait for ever.",
        "`bpf_qdisc_watchdog_schedule(sch, when, 0);` before `return NULL;`."),
    "null-option": Rule(
        "Init reads through `opt` or `extack`.",
        "`opt` is always NULL, because kinds that are registered have no options, and `extack` may be NULL. The read "
        "crashes.",
        "Read nothing through `opt`: a test for NULL does not help, because Linux removes it as always false. Take "
        "settings from global variables or maps."),
    "address-kept": Rule(
        "Enqueue writes the address of the packet to memory as a number.",
        "A number owns nothing: the packet is freed independently of it, and it cannot be used as a pointer again.",
        "A `struct sk_buff __kptr *` and `bpf_kptr_xchg`."),
    "borrowed-packet": Rule(
        "A program reads a packet through a pointer that was loaded from a kptr, and owns no reference.",
        "The packet may be freed at any time; the read then yields 0 or what has taken its place.",
        "Take the packet out with `bpf_kptr_xchg`, read, and put it back; or keep what is needed beside the kptr."),
    "unset-field": Rule(
        "A program reads a field of an object of `bpf_obj_new` that no program writes.",
        "Memory that was in use before is not zeroed, so the field holds what was there.",
        "Set every field after `bpf_obj_new`."),
    "missing-struct": Rule(
        "A list or tree contains a struct that the types of the object lack, because nothing else in the source uses "
        "it.",
        "The kernel then finds no list, tree or lock in that map: its functions are refused, and plain stores over the "
        "list are accepted.",
        "Use the struct, for instance with `bpf_obj_new(struct NAME)`."),
}
