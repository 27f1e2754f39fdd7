"""Generate the page of the words of tc(8): which of them work here, from the grammars, and which do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.sched.qdiscs.kinds import QDISCS
from ebpfvm.sched.tc.action_kind import COMMON
from ebpfvm.sched.tc.actions import ACTIONS, action_rules
from ebpfvm.sched.tc.filters import FILTERS
from ebpfvm.sched.tc.grammar import command_grammar
from ebpfvm.sched.tc.manual_words import WHY, WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_REFUSED: Final = "is refused"
BEGIN: Final = "<!-- made by `ebpfvm doc tc-words`; do not edit below -->"


def tc_words() -> str:
    """Return the page's tables, in Markdown."""
    return "\n".join([BEGIN, *(line for title in WORDS for line in _table(title))]) + "\n"


def counted() -> tuple[int, int]:
    """Return how many words of the manual pages work, and how many there are."""
    pairs = [_sorted_out(title, subject) for title in WORDS for subject in WORDS[title]]
    return sum(len(known) for known, _ in pairs), sum(len(known) + len(missing) for known, missing in pairs)


def _table(title: str) -> Iterator[str]:
    yield from ("", f"## {title}", "", "| | words that work | rejected | why |", "|---|---|---|---|")
    for subject in WORDS[title]:
        known, missing = _sorted_out(title, subject)
        why = WHY.get(f"{title} {subject}") or WHY.get(subject, "not modelled") if missing else ""
        yield f"| {f'`{subject}`' if subject else ''} | {_listed(known)} | {_listed(missing)} | {why} |"


def _listed(words: Iterable[str]) -> str:
    return " ".join(f"`{word}`" for word in words)


def _sorted_out(title: str, subject: str) -> tuple[list[str], list[str]]:
    """Return the words of a subject that a grammar has, also those that the manual lacks, and the others."""
    vocabulary = _vocabulary(title, subject)
    manual = WORDS[title][subject].split() or [subject]
    more = vocabulary - {subject} if title != "program" else set()
    return sorted({word for word in manual if word in vocabulary} | more), [
        word for word in manual if word not in vocabulary]


def _vocabulary(title: str, subject: str) -> set[str]:
    """Return the words that a subject's grammar has, and the subject itself if there is one."""
    if title == "program":
        return _keywords(command_grammar().rules) & set(WORDS[title][subject].split())
    if title in ("qdiscs", "classes"):
        kind = QDISCS.get(subject)
        options = () if kind is None else kind.options if title == "qdiscs" else kind.class_options
        found = {word for item in options if not item.doc.startswith(_REFUSED)
                 for word in (item.word, *item.also, *item.inner)}
        return found if kind is None else found | {subject}
    if title == "filters":
        shared = {text for text, _ in action_rules()}
        own = FILTERS[subject].rules() if subject in FILTERS else []
        return _keywords([rule for rule in own if rule[0] not in shared])
    return _keywords(ACTIONS[subject].rules()) | set(COMMON) if subject in ACTIONS else set()


def _text(rules: Sequence[tuple[str, object]]) -> str:
    return " ".join(text for text, _ in rules)


def _keywords(rules: Sequence[tuple[str, object]]) -> set[str]:
    """Return the words in quotes of a grammar's rules, without punctuation."""
    return {symbol.strip("'~") for symbol in _text(rules).split()
            if symbol.startswith("'") and any(char.isalnum() for char in symbol)}
