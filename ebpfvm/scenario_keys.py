"""What a scenario file may say: its tables and keys, declared once, and the JSON schema that is made from them.

The options of a run are declared by `ebpfvm.scenario.Scenario`, the kinds of traffic by `ebpfvm.sched.traffic_kinds`,
and limits by `ebpfvm.limits.Limits`; here stands where a file has each, and in which form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ebpfvm.lazy_tuples import NamedTuple
from ebpfvm.limits import Limits
from ebpfvm.scenario import Scenario
from ebpfvm.sched.flow_key import PRIORITY_RULES
from ebpfvm.sched.traffic_kinds import TRAFFIC

if TYPE_CHECKING:
    from ebpfvm.scenario import CommandOption
    from ebpfvm.sched.traffic_words import TrafficKey, TrafficKind


class FileKey(NamedTuple):
    """A key of a scenario file.

    Attributes:
        name: its name.
        form: what its value is, one of `FORMS`.
        option: the option of `Scenario` that it sets; empty if it takes more than that.
        doc: what it means; empty for what the command line says about the option.
        words: the words that it takes, if it takes few and the command line takes others.
    """

    name: str
    form: str
    option: str = ""
    doc: str = ""
    words: tuple[str, ...] = ()

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it takes; empty if these are not a few."""
        command = _command(self.option)
        return self.words or (tuple(command.more.get("choices", ())) if command is not None else ())


def _command(option: str) -> CommandOption | None:
    """Return how the command line spells an option; None if it does not."""
    return next((command for name, command in Scenario.commands() if name == option), None)


FORMS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "rate": ('a rate as in "10mbit", or a number of bits per second',
             {"type": ["string", "integer"], "minimum": 1, "pattern": r"^[0-9.][0-9.eExX+a-fA-F-]*[a-zA-Z]*$"}),
    "size": ('a size as in "1500b" or "10k", or a number of bytes',
             {"type": ["string", "integer"], "minimum": 0, "pattern": r"^[0-9.][0-9.eExX+a-fA-F-]*[a-zA-Z]*$"}),
    "time": ('a time with its unit, as in "20ms", or 0',
             {"type": ["string", "integer"], "minimum": 0, "maximum": 0,
              "pattern": r"^[0-9.][0-9.eExX+a-fA-F-]*[a-zA-Z]*$"}),
    "number": ("a whole number", {"type": "integer"}),
    "flag": ("true or false", {"type": "boolean"}),
    "word": ("text", {"type": "string"}),
    "path": ("the path of a file, relative to the folder of the scenario file", {"type": "string"}),
    "words": ("an array of texts", {"type": "array", "items": {"type": "string"}}),
    "values": ("a table of whole numbers, true or false",
               {"type": "object", "additionalProperties": {"type": ["integer", "boolean"]}}),
    "words of tc": ("a table of numbers, texts, true or false",
                    {"type": "object", "additionalProperties": {"type": ["integer", "number", "string", "boolean"]}})}
"""The forms of values: how messages and the manual describe each, and its JSON schema."""

TOP: Final = (
    FileKey("title", "word", "title", "what reports call the run (default: the name of the object, or the words of "
            "tc)"),
    FileKey("duration", "time", "duration", "when to stop (default: run until idle)"),
    FileKey("seed", "number", "seed"), FileKey("pcap", "path", "pcap"),
    FileKey("priority", "word", "priority", words=PRIORITY_RULES),
    FileKey("ingress", "flag", "ingress", "let the traffic arrive at eth0 from the network, for scripts that queue on "
            "ingress"),
    FileKey("engine", "word", "engine"), FileKey("kernel", "word", "kernel"),
    FileKey("btf", "path", "btf", "BTF of the kernel: /sys/kernel/btf/vmlinux or a vmlinux image"),
    FileKey("kconfig", "words", "config", "kernel configuration that programs read with __kconfig: files, or values "
            "as in CONFIG_HZ=250"),
    FileKey("pin", "words", "pin", "names of maps that all objects share, as if they were pinned"))
LINK: Final = (FileKey("rate", "rate", "rate"), FileKey("delay", "time", "delay"),
              FileKey("mtu", "size", "mtu", "drop packets larger than this (default: no limit)"))
QDISC: Final = (
    FileKey("object", "path", doc="eBPF object with the discipline: programs of the RFC, or a Qdisc_ops of Linux 6.16 "
            "and later"),
    FileKey("variables", "values", doc="initial values of global variables of the object"),
    FileKey("enqueue", "word", "enqueue"), FileKey("dequeue", "word", "dequeue"),
    FileKey("unverified", "flag", "unverified"),
    FileKey("script", "path", doc="script of tc and ip commands that configures eth0; its show commands are executed "
            "after the run"),
    FileKey("define", "words", "define", "values of variables of the script, as in [\"RATE=5mbit\"], whatever the "
            "script assigns"),
    FileKey("tc", "word", doc="words of `tc qdisc add dev eth0 root ...`, as in \"fq_codel limit 1000\""),
    FileKey("options", "words of tc", doc="further words of `tc` with their values, as in "
            "{ limit = 1000, ecn = true }"))
HOP: Final = (
    FileKey("rate", "rate", "rate", "rate of the link; must be given"), FileKey("delay", "time", "delay"),
    FileKey("mtu", "size", "mtu", "drop packets larger than this (default: no limit)"),
    FileKey("tc", "word", doc="words of `tc qdisc add ... root` for the qdisc before it (default: a pfifo_fast of 1000 "
            "packets)"))
SOURCES: Final = ("object", "script", "tc")
"""The keys of which `[qdisc]` has one."""
TABLES: Final = ("link", "qdisc", "traffic", "limits", "hop", "return")


def option_doc(key: FileKey) -> str:
    """Return what a key means."""
    if key.doc:
        return key.doc
    command = _command(key.option)
    assert command is not None
    return command.help.removesuffix("; - reads standard input").removesuffix("; may be repeated")


def scenario_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of scenario files."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "ebpfvm scenario",
        "description": "Traffic, a queueing discipline and a link, for `ebpfvm run` and others.",
        "type": "object", "additionalProperties": False,
        "properties": {
            **_properties(TOP),
            "link": _table("the link", _properties(LINK)),
            "qdisc": {"description": "the queueing discipline: a table, or text as `ebpfvm compare` takes it",
                      "oneOf": [{"type": "string"}, {**_table("", _properties(QDISC)),
                                                     "oneOf": [{"required": [name]} for name in SOURCES]}]},
            "traffic": {"description": "the traffic to generate: a table for each kind, or text as `--flows` takes it",
                        "type": "array", "items": {"oneOf": [
                            {"type": "string"}, *(_kind(kind) for kind in TRAFFIC.values())]}},
            "hop": {"description": "the links behind the first one, in order", "type": "array", "items": {
                **_table("a link", _properties(HOP)), "required": ["rate"]}},
            "return": {**_table("the link that acknowledgments come back through", _properties(HOP)),
                       "required": ["rate"]},
            "limits": _table("limits on what programs may use of this machine", {
                name: {"description": f"{what}, in {unit} (default: {default})", "type": "integer", "minimum": 1}
                for name, default, unit, what in Limits.table()})}}


def _table(doc: str, properties: dict[str, Any]) -> dict[str, Any]:
    about = {"description": doc} if doc else {}
    return {**about, "type": "object", "additionalProperties": False, "properties": properties}


def _properties(keys: tuple[FileKey, ...]) -> dict[str, Any]:
    return {key.name: {"description": option_doc(key), **FORMS[key.form][1],
                       **({"enum": list(key.choices)} if key.choices else {})} for key in keys}


def _kind(kind: TrafficKind) -> dict[str, Any]:
    properties = {"kind": {"const": kind.name, "description": kind.doc},
                  **{key.name: _traffic_key(key) for key in kind.keys}}
    return {**_table(kind.doc, properties), "required": ["kind", *(key.name for key in kind.keys if key.required)]}


def _traffic_key(key: TrafficKey) -> dict[str, Any]:
    said = default_of(key)
    about: dict[str, Any] = {"description": f"{key.doc} (default: {said})" if said else key.doc,
                             **FORMS[key.form][1]}
    if key.form == "number":
        about |= {"minimum": key.range[0], "maximum": key.range[1]}
    return about | ({"enum": list(key.choices)} if key.choices else {})


def default_of(key: TrafficKey) -> str:
    """Return the default of a key in words; empty if it has to be given."""
    if key.name == "stop":
        return "the duration of the scenario, or 1s after its start"
    return key.shown or key.default or ""
