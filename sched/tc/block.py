"""Blocks, chains and filters: where filters are kept, and in which order they see a packet.

Source: net/sched/cls_api.c, Linux 7.2.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypedDict, Unpack

from ebpfvm.checked import known
from ebpfvm.errnos import EEXIST, EINVAL, ENOENT
from ebpfvm.net import ETH_P_ALL
from ebpfvm.sched.shown import Part, entry, worded
from ebpfvm.sched.tc.tc_text import classid_text
from ebpfvm.sched.tc.tc_verdict import TC_ACT_OK, TC_ACT_PIPE, TC_ACT_REPEAT, TcfResult, is_jump

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ebpfvm.kernel.skb import SkBuff
    from ebpfvm.sched.sch_generic import Qdisc
    from ebpfvm.sched.tc.action import Action

FIRST_AUTO_PRIO: Final = 0xC000  # tcf_auto_prio: the first automatic priority; later ones are lower
_AUTO_RANGE: Final = 0x8000
_MAX_PRIO: Final = 0xFFFF
_NOT_FOUND: Final = "Filter with specified priority/protocol not found"
_OTHER_KIND: Final = "Specified filter kind does not match existing one"
_NO_CREATE: Final = "Need both RTM_NEWTFILTER and NLM_F_CREATE to create a new filter"
_JUMP_TTL: Final = 32  # TCA_ACT_MAX_PRIO
_REPEAT_TTL: Final = 32


class Filter:
    """One filter of a classifier.

    Attributes:
        handle: its number within the classifier.
        classid: the class of matching packets, 0 for none.
        actions: the actions for matching packets, in order.
        options: the options that were set, by the keywords of `tc`.
    """

    __slots__ = ("actions", "classid", "handle", "options")

    def __init__(self, handle: int, options: Mapping[str, Any]) -> None:
        self.handle = handle
        self.classid: int = options.get("classid", 0)
        self.actions: Sequence[Action] = tuple(options.get("actions", ()))
        self.options = dict(options)


class TcfProto:
    """The filters of one kind, priority and protocol in a chain (struct tcf_proto); kinds are subclasses.

    Args:
        block: the block that it belongs to.
        chain, prio, protocol: `protocol` is an Ethernet type, `ETH_P_ALL` for any.

    Attributes:
        filters: the filters, in the order in which they see a packet.
    """

    kind: ClassVar[str] = ""
    blank_line: ClassVar[bool] = False  # whether `tc` prints one before the actions of a filter
    id_word: ClassVar[str] = "classid"  # the word that `tc` prints for the class of a filter of this kind

    def __init__(self, block: Block, chain: int, prio: int, protocol: int) -> None:
        self.block = block
        self.chain = chain
        self.prio = prio
        self.protocol = protocol
        self.filters: list[Filter] = []

    def classify(self, skb: SkBuff, result: TcfResult) -> int:
        """Return the verdict of the first filter that matches and does not say "continue".

        TC_ACT_UNSPEC without one.
        """
        raise NotImplementedError

    def listed(self) -> Iterator[Filter]:
        """Yield the filters as `tc filter show` lists them."""
        return iter(self.filters)

    def get(self, handle: int) -> Filter | None:
        """Return the filter of a handle, or None."""
        return next((found for found in self.filters if found.handle == handle), None)

    def change(self, handle: int, options: Mapping[str, Any]) -> Filter:
        """Add a filter, or replace the one of this handle in its place; 0 selects the lowest free handle.

        Raises:
            OSError: the kernel would refuse the change.
        """
        old = self.get(handle) if handle else None
        new = self.make(handle or self.new_handle(), options)
        if old is None:
            self.insert(new)
        else:
            self.filters[self.filters.index(old)] = new
        return new

    def make(self, handle: int, options: Mapping[str, Any]) -> Filter:
        """Return a filter of this kind."""
        return Filter(handle, options)

    def insert(self, new: Filter) -> None:
        """Add a new filter after the others."""
        self.filters.append(new)

    def new_handle(self) -> int:
        """Return the lowest free number from 1 on."""
        used = {found.handle for found in self.filters}
        return next(handle for handle in range(1, len(used) + 2) if handle not in used)

    def delete(self, handle: int) -> bool:
        """Remove a filter; return False if there is none."""
        found = self.get(handle)
        if found is None:
            return False
        self.filters.remove(found)
        return True

    def empty(self) -> bool:
        """Return whether no filter is left."""
        return not self.filters

    def destroy(self) -> None:
        """Clean up after the classifier has been removed from its chain."""

    def take(self, found: Filter, skb: SkBuff, result: TcfResult) -> int:
        """Set the class of a matching filter, and execute its actions."""
        result.classid = found.classid
        return exts_exec(found.actions, skb, result)

    def shown_handle(self, handle: int) -> Part:
        """Return a handle as `tc` prints it."""
        return entry("handle", handle, "handle {:#x} ")

    def shown(self, found: Filter, stats: bool) -> list[Part]:
        """Return what `tc filter show` prints after the handle: the rest of the line, then further lines."""
        return shown_class(self.id_word, found)

    def __lt__(self, other: TcfProto) -> bool:
        return self.prio < other.prio


def shown_class(name: str, found: Filter) -> list[Part]:
    """Return the class, as in `classid 1:10 `, or nothing."""
    return [worded(name, classid_text(found.classid))] if "classid" in found.options else []


def shown_skips(found: Filter, lead: str = "\n  ", tail: str = "") -> list[Part]:
    """Return what a filter says of hardware, which never has it."""
    names = [name for name in ("skip_hw", "skip_sw") if found.options.get(name)]
    return [Part(f"{lead}{name}{tail}", name, True) for name in (*names, "not_in_hw")]


class FilterPlace(TypedDict, total=False):
    """The place of a filter, and whether to create or replace it.

    Attributes:
        chain, prio, protocol, handle: a `prio` or `handle` of 0, the default, is chosen automatically; by default, the
            filter is for any protocol.
        replace: change the filter if the handle exists; by default that is an error.
        create: create the filter if the handle does not exist; this is the default.
    """

    chain: int
    prio: int
    protocol: int
    handle: int
    replace: bool
    create: bool


class Block:
    """Filters of a qdisc, or shared by several devices.

    Args:
        qdisc: the qdisc that the filters belong to, None for a shared block.
        index: number of a shared block, 0 for other blocks.

    Attributes:
        chains: chain index -> classifiers in order of priority.
        shared: data that filters of the block share, by kind (the hash tables of u32).
    """

    def __init__(self, qdisc: Qdisc | None = None, index: int = 0) -> None:
        self.qdisc = qdisc
        self.index = index
        self.chains: dict[int, list[TcfProto]] = {}
        self.shared: dict[str, Any] = {}

    def chain(self, index: int) -> list[TcfProto]:
        """Return the classifiers of a chain, in order."""
        return self.chains.get(index, [])

    def find(self, chain: int, prio: int, protocol: int = 0) -> TcfProto | None:
        """Return the classifier of a priority, and of a protocol unless that is 0."""
        return next((tp for tp in self.chain(chain)
                     if tp.prio == prio and protocol in (0, tp.protocol)), None)

    def auto_prio(self, chain: int) -> int:
        """Return the priority for a filter that names none: lower than all chosen so far."""
        given = [tp.prio for tp in self.chain(chain) if tp.prio >= _AUTO_RANGE]
        return min(given) - 1 if given else FIRST_AUTO_PRIO

    def _find(self, chain: int, prio: int, protocol: int) -> TcfProto | None:
        """Return the classifier of a priority (tcf_chain_tp_find).

        Raises:
            OSError: EINVAL if it has another protocol.
        """
        tp = self.find(chain, prio)
        if tp is not None and protocol not in (0, tp.protocol):
            raise OSError(EINVAL, "Protocol mismatch for filter with specified priority: "
                                        f"priority {prio} of chain {chain} is taken by another protocol")
        return tp

    def add(self, make: type[TcfProto], options: Mapping[str, Any], **place: Unpack[FilterPlace]) -> Filter:
        """Add a filter (tc_new_tfilter).

        Args:
            make: the class of its kind.
            options: options by the keywords of `tc`; "classid" and "actions" mean the same in all kinds.
            place: see `FilterPlace`.

        Raises:
            OSError: EEXIST, ENOENT, EINVAL or ENOSPC as in a kernel.
        """
        known("Block.add", place, FilterPlace.__annotations__)
        chain, handle = place.get("chain", 0), place.get("handle", 0)
        prio, protocol = self._prio(place), place.get("protocol", ETH_P_ALL)
        tp = self._find(chain, prio, protocol)
        if tp is not None and type(tp) is not make:
            raise OSError(EINVAL, f"{_OTHER_KIND}: priority {prio} has filters of kind {tp.kind}")
        found = tp.get(handle) if tp is not None and handle else None
        if found is None and not place.get("create", True):
            raise OSError(ENOENT, _NO_CREATE)
        if found is not None and not place.get("replace"):
            raise OSError(EEXIST, "Filter already exists")
        if tp is not None:
            return tp.change(handle, options)
        tp = make(self, chain, prio, protocol)
        try:
            added = tp.change(handle, options)
        except OSError:
            tp.destroy()
            raise
        insort(self.chains.setdefault(chain, []), tp)
        if self.qdisc is not None:
            self.qdisc.bind_filter()
        return added

    def _prio(self, place: FilterPlace) -> int:
        """Return the priority of a new filter."""
        prio = place.get("prio", 0)
        if not prio and not place.get("create", True):
            raise OSError(ENOENT, "Invalid filter command with priority of zero")
        prio = prio or self.auto_prio(place.get("chain", 0))
        if not 0 < prio <= _MAX_PRIO:
            raise OSError(EINVAL, f"priority {prio}: expected 1 to {_MAX_PRIO}")
        return prio

    def delete(self, *, chain: int | None = None, prio: int = 0, protocol: int = 0, handle: int = 0,
               kind: str = "") -> None:
        """Remove filters: all of a chain (chain 0 if none is named), all of a priority, or one (tc_del_tfilter).

        Raises:
            OSError: ENOENT if the named filter does not exist or the command names no priority; EINVAL for another kind
                or protocol.
        """
        if not prio and (protocol or handle or kind):
            raise OSError(ENOENT, "Cannot flush filters with protocol, handle or kind set: name a priority too")
        chain = chain or 0
        if chain not in self.chains:
            if prio:
                raise OSError(ENOENT, "Cannot find specified filter chain" if chain else _NOT_FOUND)
            return
        if not prio:
            for tp in list(self.chains[chain]):
                self._remove(tp)
            return
        tp_found = self._find(chain, prio, protocol)
        if tp_found is None:
            raise OSError(ENOENT, _NOT_FOUND)
        if kind and tp_found.kind != kind:
            raise OSError(EINVAL, _OTHER_KIND)
        if handle and not tp_found.delete(handle):
            raise OSError(ENOENT, "Specified filter handle not found")
        if not handle or tp_found.empty():
            self._remove(tp_found)

    def find_one(self, chain: int, prio: int, protocol: int, kind: str, handle: int) -> tuple[TcfProto, Filter]:
        """Return a filter and its classifier.

        Raises:
            OSError: ENOENT if it does not exist; EINVAL for another kind or protocol.
        """
        tp = self._find(chain, prio, protocol)
        if tp is None:
            raise OSError(ENOENT, _NOT_FOUND)
        if tp.kind != kind:
            raise OSError(EINVAL, _OTHER_KIND)
        found = tp.get(handle)
        if found is None:
            raise OSError(ENOENT, "Specified filter handle not found")
        return tp, found

    def _remove(self, tp: TcfProto) -> None:
        """Remove a classifier, and its chain with the last one."""
        chain = self.chains[tp.chain]
        chain.remove(tp)
        if not chain:
            del self.chains[tp.chain]
        tp.destroy()

    def protos(self) -> Iterator[TcfProto]:
        """Yield all classifiers: chains in the order of their creation, by priority."""
        for chain in self.chains.values():
            yield from chain


def exts_exec(actions: Sequence[Action], skb: SkBuff, result: TcfResult) -> int:
    """Execute a filter's actions in order (tcf_action_exec); the first that does not say "pipe" decides."""
    if not actions:
        return TC_ACT_OK
    verdict, ttl, position = TC_ACT_OK, _JUMP_TTL, 0
    while position < len(actions):
        verdict = _act(actions[position], skb, result)
        position += 1
        if is_jump(verdict):
            # A jump restarts the list and skips that many actions; the number of restarts is limited.
            skip = verdict & 0xFFFF
            ttl -= 1
            if not skip or skip > len(actions) or ttl <= 0:
                return TC_ACT_OK
            position = skip
            verdict = TC_ACT_OK
        elif verdict != TC_ACT_PIPE:
            break
    return verdict


def _act(action: Action, skb: SkBuff, result: TcfResult) -> int:
    for _ in range(_REPEAT_TTL):
        verdict = action.run(skb, result)
        if verdict != TC_ACT_REPEAT:
            return verdict
    return TC_ACT_OK

