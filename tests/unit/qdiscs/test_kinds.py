"""A kind of qdisc declares itself: what is missing or wrong in a declaration is an error that names it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ebpfvm.cli.doc_qdiscs import BEGIN, qdiscs
from ebpfvm.dialects import rfc6
from ebpfvm.errors import InternalError, UsageError
from ebpfvm.kernel import Kernel
from ebpfvm.sched.netdev import Namespace
from ebpfvm.sched.qdisc_kind import QdiscKind, QdiscOption
from ebpfvm.sched.qdiscs import kinds
from ebpfvm.sched.qdiscs.fifo import PFIFO, Fifo, Pfifo
from ebpfvm.sched.qdiscs.fq_codel import FqCodel
from ebpfvm.sched.qdiscs.kinds import QDISCS
from ebpfvm.sched.qdiscs.mq import Mq
from ebpfvm.sched.qdiscs.netem import Netem
from ebpfvm.sched.qdiscs.netem_options import NETEM, netem_rules
from ebpfvm.sched.qdiscs.tbf import Tbf
from ebpfvm.sched.sch_generic import Qdisc
from ebpfvm.sched.tc.grammar import qdisc_grammar
from ebpfvm.sched.tc.lexer import ScriptError, Word
from tests.house.tree import ROOT

if TYPE_CHECKING:
    from ebpfvm.sched.account import Packet


class Empty(Qdisc):
    """Gives out nothing."""

    kind = "empty"

    def enqueue(self, skb: Packet, to_free: list[Packet]) -> int:
        return 0

    def dequeue(self) -> Packet | None:
        return None

    def reset(self) -> None:
        super().reset()


class NoReset(Empty):
    reset = Qdisc.reset


class NotShown(Empty):
    def change(self, limit: int = 0) -> None:  # type: ignore[override]
        pass


def test_the_page_is_current() -> None:
    """If this fails: replace what is below the mark with the output of `ebpfvm doc qdiscs`."""
    text = (ROOT / "docs" / "reference" / "qdiscs.md").read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2] == qdiscs().partition(BEGIN)[2]


LIMIT = QdiscOption(word="limit", value="SIZE", doc="packets")


@pytest.mark.parametrize(("given", "message"), [
    ({"name": "two words"}, "the name is one word"),
    ({"doc": ""}, "doc is a sentence that says what the kind does"),
    ({"make": None}, "it needs a class (make), or hooks to which filters attach"),
    ({"hooks": ("ingress",)}, "a kind with a class has no hooks"),
    ({"make": int}, "make is <class 'int'>, not a class derived from Qdisc"),
    ({"make": Pfifo}, "its class Pfifo says kind = 'pfifo'"),
    ({"make": NoReset}, "class NoReset does not define reset()"),
    ({"options": (LIMIT,)}, "class Empty does not define shown(): tc qdisc show has to print its options"),
    ({"make": NotShown, "options": (LIMIT,)}, "class NotShown does not define shown()"),
])
def test_what_a_kind_lacks(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InternalError, match=f"^qdisc kind {given.get('name', 'empty')!r}: ") as caught:
        QdiscKind(**{"name": "empty", "make": Empty, "doc": "Gives out nothing."} | given)
    assert message in str(caught.value)


@pytest.mark.parametrize(("options", "message"), [
    ((replace(LIMIT, word="limits"),),
     "option 'limits': Pfifo.change() has no argument 'limits'; it has limit"),
    ((replace(LIMIT, argument="size"),), "option 'limit': Pfifo.change() has no argument 'size'; it has limit"),
    ((LIMIT, replace(LIMIT, word="max", argument="limit", also=("limit",))), "option 'limit' is declared twice"),
])
def test_options_that_the_class_does_not_take(options: tuple[QdiscOption, ...], message: str) -> None:
    with pytest.raises(InternalError) as caught:
        replace(PFIFO, options=options)
    assert str(caught.value) == f"qdisc kind 'pfifo': {message}"


def test_a_grammar_of_its_own_has_the_words_of_the_options() -> None:
    with pytest.raises(InternalError, match="'netem': its grammar has the word 'seed', which is no option"):
        replace(NETEM, options=NETEM.options[:-1])
    with pytest.raises(InternalError, match="'netem': its grammar does not read option 'seed'"):
        replace(NETEM, grammar=lambda: netem_rules()[:-1])


@pytest.mark.parametrize(("given", "message"), [
    ({"value": "SIZES"}, "there is no kind of word 'SIZES' in ebpfvm.sched.tc.word_kinds.VALUES"),
    ({"doc": "packets."}, "doc says what it is, without a full stop"), ({"doc": ""}, "doc says what it is")])
def test_what_an_option_lacks(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InternalError, match=r"^qdisc option 'limit': ") as caught:
        QdiscOption(**{"word": "limit", "value": "SIZE", "doc": "packets"} | given)
    assert message in str(caught.value)


def test_a_kind_that_is_not_in_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_KINDS", tuple(kind for kind in QDISCS.values() if kind.name != "tbf"))
    with pytest.raises(InternalError, match=r"^ebpfvm\.sched\.qdiscs\.tbf declares the qdisc kind 'tbf', which is "
                                            r"not in the list of ebpfvm\.sched\.qdiscs\.kinds$"):
        kinds._by_name()


def test_two_kinds_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_KINDS", (*QDISCS.values(), replace(PFIFO)))
    with pytest.raises(InternalError, match="two qdisc kinds are called 'pfifo'"):
        kinds._by_name()


def test_every_kind_can_be_made_and_changed_without_programs() -> None:
    for kind in QDISCS.values():
        assert kind.make is None or kind.make.kind == kind.name  # type: ignore[attr-defined]
        assert kind.has_classes == (bool(kind.class_options) or kind.name == "bpf")
    assert list(QDISCS) == sorted(QDISCS)


def test_a_kind_without_options_cannot_be_changed() -> None:
    for make in (Mq, Empty):
        qdisc = make.__new__(make)
        qdisc.change()
        with pytest.raises(OSError, match="Change operation not supported by specified qdisc"):
            qdisc.change(limit=3)


def test_a_misspelt_option_is_answered_with_the_declared_ones() -> None:
    with pytest.raises(ScriptError) as caught:
        qdisc_grammar("pfifo").parse([Word("limt", 1, 1)], Word("pfifo", 1, 1))
    assert str(caught.value) == "line 1, column 1: unknown word 'limt': expected limit; did you mean 'limit'?"


def test_arguments_of_options_are_those_of_the_class() -> None:
    assert PFIFO.arguments([("limit", 3), ("limit", 4)], "") == {"limit": 4}
    assert issubclass(Pfifo, Fifo)
    with pytest.raises(UsageError, match="tbf: 'rate' is needed"):
        QDISCS["tbf"].arguments([("burst", 3)], "")


@pytest.mark.parametrize(("make", "message"), [
    (lambda dev: FqCodel(dev, 0, quantun=300), "fq_codel has no option 'quantun'; did you mean 'quantum'?"),
    (lambda dev: Netem(dev, 0, jiter=3), "netem has no option 'jiter'; did you mean 'jitter'?"),
    (lambda dev: Tbf(dev, 0, rate=1, burst=1, limit=1, mtus=1), "tbf has no option 'mtus'; did you mean 'mtu'?")])
def test_a_class_names_the_argument_that_it_does_not_have(make: Any, message: str) -> None:
    dev = Namespace(Kernel(rfc6())).add_device("eth0")
    with pytest.raises(UsageError) as caught:
        make(dev)
    assert str(caught.value) == message
