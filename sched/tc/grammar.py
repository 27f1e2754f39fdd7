"""The syntax of `tc`, `ip link`, `bpftool struct_ops` and `sysctl` commands.

One grammar covers what all commands share; another one for each kind reads the options after the kind's name. Qdiscs
declare theirs (`ebpfvm.sched.qdiscs.kinds`); those of filters are in `ebpfvm.sched.tc.grammar_filter`. The grammars
follow tc(8) and the kinds' manual pages of iproute2.
"""

from __future__ import annotations

import difflib
import os
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.lazy_dataclasses import dataclass, field
from ebpfvm.sched.qdiscs.kinds import QDISCS
from ebpfvm.sched.size_table import WORDS as SIZE_TABLE_WORDS
from ebpfvm.sched.tc.grammar_tools import bpftool_rules, sysctl_rules
from ebpfvm.sched.tc.lexer import ScriptError, Word, commands
from ebpfvm.sched.tc.lr import REST, TcGrammar, first, listing, option_rules, shown
from ebpfvm.sched.tc.manual_words import OPTIONS, WHY, WORDS, manual_words
from ebpfvm.sched.tc.shell import Variables, shell_parts
from ebpfvm.sched.tc.word_kinds import VALUES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ebpfvm.sched.tc.lr import Rule


@dataclass(frozen=True, slots=True)
class Command:
    """A command.

    Attributes:
        what: "qdisc", "class", "filter", "actions", "link", "struct_ops" or "sysctl".
        verb: "register", "unregister", "show" or "dump" for struct_ops, "set" or "show" for sysctl; "add", "change",
            "replace", "link", "del", "show" or "set"; for filters also "get", for actions "get" and "flush".
        args: the arguments before the kind, by keyword.
        kind: the kind of qdisc, class or filter; "" if none is named.
        options: the words after the kind.
        flags: options of the program itself: "s" for statistics, "d" for details, "j" for JSON, "p" for JSON
            with line breaks, "q" for no output, "n" for values without names.
        at: the first word.
        kind_at: the word that names the kind, or `at` if there is none.
        may_fail: whether the script goes on if the kernel refuses it.
        source: name of the script that it is in.
    """

    what: str
    verb: str
    args: dict[str, Any]
    kind: str
    options: list[Word]
    flags: frozenset[str]
    at: Word
    kind_at: Word = field(default=Word("", 0, 0))
    may_fail: bool = False
    source: str = ""


_TC_ARGS: Final = {
    "qdisc": {"dev": "DEVICE", "root": "", "parent": "CLASSID", "handle": "HANDLE", "ingress_block": "NUMBER",
              "egress_block": "NUMBER"},
    "class": {"dev": "DEVICE", "root": "", "parent": "CLASSID", "classid": "CLASSID"},
    "filter": {"dev": "DEVICE", "root": "", "ingress": "", "egress": "", "parent": "CLASSID", "block": "NUMBER",
               "handle": "TEXT", "prio=pref": "PRIO", "prio=preference~": "PRIO", "prio=priority~": "PRIO",
               "protocol~": "PROTOCOL", "chain~": "NUMBER"},
}
_SHOW_ARGS: Final = {
    "qdisc": {"dev": "DEVICE", "root": "", "parent": "CLASSID", "handle": "HANDLE", "ingress": "", "clsact": "",
              "invisible": ""},
    "class": {"dev": "DEVICE", "root": "", "parent": "CLASSID", "classid": "CLASSID"},
    "filter": _TC_ARGS["filter"],
}
_WHATS: Final = ("qdisc", "class", "filter")
_VERBS: Final = {"add": "add", "change": "change", "replace": "replace", "link": "link", "delete": "del",
                 "get": "get"}
_ACTIONS: Final = {"add": "add", "change": "change", "replace": "replace", "delete": "del", "get": "get",
                   "flush": "flush", "list": "show", "show": "show", "lst": "show", "ls": "show"}
_SHOWS: Final = ("list", "show", "lst", "ls")
_FLAGS: Final = {"statistics": "s", "details": "d", "json": "j", "pretty": "p", "force": "f",
                 "names": "", "timestamp": "", "tshort": "", "brief": "", "color": ""}  # no letter: nothing changes
_LINK: Final = {"mtu": "NUMBER", "txqueuelen": "NUMBER", "txqueuelen=qlen": "NUMBER", "numtxqueues": "NUMBER",
                "numrxqueues": "NUMBER", "address": "MAC", "up": "", "down": "", "type": "NAME", "dev": "DEVICE",
                "dev=name": "DEVICE"}
_SETTABLE: Final = ("mtu", "txqueuelen", "txqueuelen=qlen", "address", "up", "down", "dev", "dev=name")


def _tc_rules() -> list[Rule]:
    rules: list[Rule] = [("command : 'tc' flags tc", lambda _, flags, found: (frozenset(flags), *found)),
                         ("command : tc", lambda found: (frozenset(), *found)),
                         ("command : 'tc' flags '-batch~' FILE", lambda _, flags, __, path: (
                             frozenset(flags), "batch", "run", [("file", path)], "", [])),
                         ("command : 'ip' 'link~' link", lambda _, __, found: (frozenset(), *found)),
                         ("command : 'link' link", lambda _, found: (frozenset(), *found)),
                         *bpftool_rules(), *sysctl_rules(),
                         *listing("flags", "flag")]
    # tc takes -s, -st, -statistics and so on; each is a word of its own here, so that messages can list them.
    rules += [(f"flag : '-{text}~'", lambda _, text=text: _FLAGS[text]) for text in _FLAGS]
    for what in _WHATS:
        rules += [(f"tc : '{what}~' verb {what}_args kind",
                   lambda _, verb, found, kind, what=what: (what, verb, found, *kind)),
                  (f"tc : '{what}~' show {what}_shows", lambda _, __, found, what=what: (what, "show", found, "", [])),
                  (f"tc : '{what}~'", lambda _, what=what: (what, "show", [], "", [])),
                  *listing(f"{what}_args", f"{what}_arg"), *option_rules(f"{what}_arg", _TC_ARGS[what]),
                  *listing(f"{what}_shows", f"{what}_show"), *option_rules(f"{what}_show", _SHOW_ARGS[what])]
    rules += [("qdisc_arg : 'stab' stab_options", lambda _, items: ("stab", items)),
              *listing("stab_options", "stab_option"), *option_rules("stab_option", SIZE_TABLE_WORDS)]
    rules += [(f"tc : 'actions~' actions_verb {REST}", lambda _, verb, rest: ("actions", verb, [], "", rest)),
              *((f"actions_verb : '{word}~'", lambda _, word=word: _ACTIONS[word]) for word in _ACTIONS),
              ("actions_verb : 'del'", first)]
    rules += [(f"verb : '{word}~'", lambda _, word=word: _VERBS[word]) for word in _VERBS]
    rules += [("verb : 'del'", lambda word: word), *((f"show : '{word}~'", first) for word in _SHOWS)]
    rules += [("kind :", lambda: ("", [])), (f"kind : KIND {REST}", lambda kind, rest: (kind, rest))]
    return rules


def _link_rules() -> list[Rule]:
    def link(verb: str) -> Callable[..., tuple[Any, ...]]:
        return lambda _, items: ("link", verb, items, "", [])

    rules: list[Rule] = [("link : 'add~' add_args", link("add")), ("link : 'set~' set_args", link("set")),
                         ("link : 'del' del_args", link("del")), ("link : 'delete~' del_args", link("del")),
                         ("link : 'show~' del_args", link("show")), ("link : 'list~' del_args", link("show"))]
    for verb, words in (("add", tuple(_LINK)), ("set", _SETTABLE), ("del", ("dev", "dev=name"))):
        rules += listing(f"{verb}_args", f"{verb}_arg")
        rules += option_rules(f"{verb}_arg", {word: _LINK[word] for word in words})
        rules.append((f"{verb}_arg : DEVICE", lambda text: ("dev", text)))
    return rules


@cache
def command_grammar() -> TcGrammar:
    """Return the grammar that all commands share."""
    values = VALUES | {"KIND": VALUES["TEXT"]._replace(expected="a kind")}
    return TcGrammar([*_tc_rules(), *_link_rules()], values, manual_words("program"))


def parse_script(text: str, source: str = "", folder: str = "",
                 define: Mapping[str, str] | None = None) -> Iterator[Command]:
    """Yield the commands of a script, and those of the files that `tc -batch` names.

    Args:
        text: the script.
        source: its name, for messages.
        folder: folder that relative paths of batch files start from.
        define: values of variables, which the script's own assignments do not change.

    Raises:
        ScriptError: a word is unknown or a value is malformed; the message says where, and what is expected.
    """
    variables = Variables(**(define or {}))
    for line in commands(text, source):
        for words, may_fail in shell_parts(line, variables, source):
            if words[0].text == "exit":
                return
            yield from _parsed(words, may_fail, source, folder)


def _parsed(words: list[Word], may_fail: bool, source: str, folder: str) -> Iterator[Command]:
    flags, what, verb, items, kind, options = command_grammar().parse(words, words[0], source)
    args: dict[str, Any] = {}
    for key, value in items:
        if key in args:
            raise ScriptError(f"{key!r} is given twice", words[0], source)
        args[key] = value
    if what == "batch":
        yield from _batch(args["file"], words[0], "f" in flags, source, folder)
        return
    place = words[len(words) - len(options) - 1] if kind else words[0]
    yield Command(what, verb, args, kind, options, flags, words[0], place, may_fail, source)


def _batch(path: str, at: Word, forced: bool, source: str, folder: str) -> Iterator[Command]:
    """Yield the commands of a batch file, whose lines are commands without `tc`; `forced`: they may fail."""
    full = os.path.join(folder, path)
    try:
        with open(full, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(f"batch file {path}: cannot be read: {getattr(error, 'strerror', None) or error}", at,
                          source) from error
    for words in commands(text, full):
        if words[0].text == "tc":
            raise ScriptError("lines of a batch file begin after 'tc'", words[0], full)
        yield from _parsed(words, forced, full, os.path.dirname(full))


# ---- qdiscs -------------------------------------------------------------------------------------------------

QDISC_KINDS: Final = tuple(sorted(QDISCS))
CLASS_KINDS: Final = tuple(name for name in QDISC_KINDS if QDISCS[name].has_classes)


@cache
def qdisc_grammar(kind: str) -> TcGrammar:
    """Return the grammar of the options of a kind of qdisc, one of `QDISC_KINDS`."""
    return TcGrammar(QDISCS[kind].rules(), VALUES, manual_words("qdiscs", kind))


@cache
def class_grammar(kind: str) -> TcGrammar:
    """Return the grammar of the options of classes of a kind of qdisc, one of `CLASS_KINDS`."""
    return TcGrammar(QDISCS[kind].class_rules(), VALUES, manual_words("classes", kind))


_SUBJECTS: Final = {"qdisc": "qdiscs", "filter": "filters"}


def check_kind(command: Command, kinds: tuple[str, ...], args: tuple[str, ...], source: str) -> None:
    """Raise `ScriptError` if the command's kind is not one of `kinds`; it may then be a misspelt argument."""
    if command.kind in kinds:
        return
    words = [*kinds, *(word.rpartition("=")[2].rstrip("~") for word in args)]
    near = difflib.get_close_matches(command.kind, words, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    if command.what == "qdisc" and (not near or command.kind.startswith("bpf")):
        hint += "; a kind that an object defines is registered first: bpftool struct_ops register FILE"
    known = OPTIONS if command.what in ("qdisc", "class") else ()
    if command.kind in known or command.kind in WORDS.get(_SUBJECTS.get(command.what, ""), ()):
        why = WHY.get(command.kind, "not modelled")
        raise ScriptError(f"{command.kind} is not supported by ebpfvm: {why}", command.kind_at, source)
    what = f"unknown word {shown(command.kind)}" if command.kind else f"no kind of {command.what}"
    raise ScriptError(f"{what}: expected a kind of {command.what} ({', '.join(kinds)}) or one of "
                      f"{', '.join(sorted(words[len(kinds):]))}{hint}", command.kind_at, source)

