"""Scenario files: what a run needs in one TOML file, so that it can be kept, shared, varied and repeated.

`read_scenario` reads a file, `ScenarioFile.set` changes what it says, as `--set` does, and `ScenarioFile.scenario`
returns the `Scenario` that `ebpfvm.simulate` runs. `load_scenario` does all of it. Commands that
take a scenario share these functions. Each error names the file, the line and the key.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from ebpfvm.errors import LoadError, UsageError
from ebpfvm.limits import Limits
from ebpfvm.scenario import Scenario
from ebpfvm.scenario_keys import FORMS, HOP, LINK, QDISC, SOURCES, TABLES, TOP, FileKey
from ebpfvm.toml_text import as_toml, key_steps, shown_key, toml_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ebpfvm.sched.course import HopSpec
    from ebpfvm.sched.traffic_words import Traffic
    from ebpfvm.toml_places import Place

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "rate": (str, int), "size": (str, int), "time": (str, int), "number": (int,), "flag": (bool,), "word": (str,),
    "path": (str,), "words": (list,), "values": (dict,), "words of tc": (dict,)}

_PARTS: Final[dict[str, tuple[type, ...]]] = {"words": (str,), "values": (int,), "words of tc": (str, int, float)}


def load_scenario(path: str | os.PathLike[str], settings: Iterable[str] = ()) -> Scenario:
    """Return the scenario that a file describes.

    Args:
        path: path of a TOML file; docs/reference/scenarios.md lists its tables and keys.
        settings: `KEY=VALUE` words that replace what the file says, as in `link.rate=1mbit` or `traffic[0].n=4`.

    Raises:
        UsageError: the file is no TOML, says something that does not exist or is wrong, or cannot be read; the message
            names file, line and key.
        LoadError: the object cannot be read.
    """
    return read_scenario(path).set(*settings).scenario()


def read_scenario(path: str | os.PathLike[str]) -> ScenarioFile:
    """Return what a scenario file says; only its syntax has been checked.

    Raises:
        UsageError: it cannot be read, or is no TOML.
    """
    name = os.fspath(path)
    try:
        with open(name, encoding="utf-8", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse_scenario(text, name)


def parse_scenario(text: str, name: str) -> ScenarioFile:
    """Return what the text of a scenario file says; `name` is its path, for messages and for relative paths.

    Raises:
        UsageError: it is no TOML.
    """
    from tomllib import TOMLDecodeError, loads

    from ebpfvm.toml_places import toml_places
    try:
        tables = loads(text)
    except TOMLDecodeError as error:
        message, _, place = str(error).partition(" (at ")
        line = place.removeprefix("line ").partition(",")[0]
        raise UsageError(f"{name}:{line if line.isdigit() else text.count(chr(10)) + 1}: {message}") from None
    except RecursionError:
        raise UsageError(f"{name}: is nested too deeply") from None
    return ScenarioFile(name, tables, {place: str(line) for place, line in toml_places(text).items()})


class ScenarioFile:
    """What a scenario file says, and where.

    Args:
        path: its path; relative paths in it begin in its folder.
        tables: its tables and keys.
        places: for each place in `tables`, the line, or the words of a setting that put it there.
    """

    def __init__(self, path: str, tables: dict[str, Any], places: Mapping[Place, str]) -> None:
        self.path = path
        self.tables = tables
        self._places = places

    # ---- settings -----------------------------------------------------------------------------------------------

    def set(self, *settings: str) -> ScenarioFile:
        """Return the same with other values; this one stays as it is.

        Args:
            settings: `KEY=VALUE` words. KEY is a path such as `duration`, `link.rate`, `traffic[0].n` or
                `qdisc.variables.limit`; `qdisc.NAME` with any other NAME is a variable of the object, or a word of tc.
                VALUE is a number, true, false, or an array or table as in TOML; everything else is text.

        Raises:
            UsageError: a word is none, or its key leads nowhere.
        """
        from copy import deepcopy
        changed = ScenarioFile(self.path, deepcopy(self.tables), dict(self._places))
        for word in settings:
            key, equals, text = word.partition("=")
            if not equals or not key:
                raise UsageError(f"--set {word}: expected KEY=VALUE, as in link.rate=1mbit")
            changed._put(key_steps(key, word), toml_value(text), f"--set {word}")
        return changed

    def with_options(self, options: Mapping[str, Any], limits: Mapping[str, int]) -> ScenarioFile:
        """Return the same with options of the command line, which come before what the file says.

        Args:
            options: options of `Scenario`. Flows come in addition to the traffic of the file; options that a file
                cannot say are left out.
            limits: values of limits.
        """
        changed = self.set()
        for option, value in options.items():
            place, said = _places_of_options().get(option), f"--{option.replace('_', '-')}"
            if option == "tc":
                changed._put(("qdisc",), {"script": value}, said)
            elif option == "flows":
                for flow in value:
                    traffic = changed.tables.setdefault("traffic", [])
                    traffic.append(flow)
                    changed._put(("traffic", len(traffic) - 1), flow, said)
            elif place is not None:
                changed._put(place, value, said)
        for name, value in limits.items():
            changed._put(("limits", name), value, "--limit")
        return changed

    def _put(self, steps: Place, value: Any, said: str) -> None:
        """Let a place have a value, which `said` puts there."""
        steps = self._at_home(steps, said)
        holder: Any = self.tables
        for index, step in enumerate(steps[:-1]):
            if isinstance(holder, dict) and isinstance(step, str):
                holder = holder.setdefault(step, {})
            else:
                holder = _element(holder, step, said)
            if isinstance(holder, str) and steps[0] == "traffic" and index == 1:
                raise UsageError(f"{said}: {shown_key(steps[:2])} is one text; write it as a table to change a key")
        last = steps[-1]
        if isinstance(holder, list):
            _element(holder, last, said)
        elif not isinstance(holder, dict) or isinstance(last, int):
            raise UsageError(f"{said}: {shown_key(steps[:-1])} has no {shown_key((last,))}")
        holder[last] = value
        places = cast("dict[Place, str]", self._places)
        for place in [place for place in places if place[:len(steps)] == steps]:
            del places[place]
        places[steps] = said

    def _at_home(self, steps: Place, said: str) -> Place:
        """Return where a setting goes: that of `qdisc.NAME` to the variables of the object, or to the words of tc."""
        if steps[0] != "qdisc" or len(steps) == 1:
            return steps
        qdisc = self._qdisc()
        self.tables["qdisc"] = qdisc
        if len(steps) > 2 or steps[1] in [key.name for key in QDISC]:
            return steps
        home = "variables" if "object" in qdisc else "options" if "tc" in qdisc else ""
        if not home:
            raise UsageError(f"{said}: the scenario names no object and no words of tc that could have "
                             f"{shown_key(steps[1:])}")
        return ("qdisc", home, steps[1])

    @property
    def discipline(self) -> str:
        """Its discipline in one text (see `ebpfvm.qdisc_words`); empty if it has none."""
        options: dict[str, Any] = {key: self._inside(("qdisc", key), value) if key in ("object", "script") else value
                                   for key, value in self._qdisc().items()}
        if "object" in options:
            return ",".join([options["object"], *(f"{name}={int(value)}"
                                                  for name, value in options.get("variables", {}).items())])
        return str(options.get("script") or _with_options(options.get("tc", ""), options.get("options", {})))

    # ---- what it says ---------------------------------------------------------------------------------------------

    def scenario(self) -> Scenario:
        """Return the scenario.

        Raises:
            UsageError, LoadError: as for `load_scenario`.
        """
        options = self.options()
        if "source" not in options and "tc" not in options:
            raise UsageError(f"{self.path}: qdisc is missing: nothing to simulate; add a table [qdisc] with object, "
                             "script or tc")
        try:
            return Scenario(**options)
        except UsageError as error:  # two options contradict each other
            raise UsageError(f"{self.path}: {error}") from None

    def options(self) -> dict[str, Any]:
        """Return the options of `Scenario` that the file sets.

        Raises:
            UsageError, LoadError: as for `load_scenario`.
        """
        self._known((), self.tables, [*(key.name for key in TOP), *TABLES])
        options = self._options((), self.tables, TOP)
        link = self._table("link")
        self._known(("link",), link, [key.name for key in LINK])
        options |= self._options(("link",), link, LINK)
        options = self._qdisc_options(options.get("config")) | options
        if "traffic" in self.tables:
            options["flows"] = self._flows(options.get("duration"))
        if "hop" in self.tables:
            options["hops"] = self._hops()
        if "return" in self.tables:
            options["back"] = self._hop(("return",), self._table("return"))
        if "limits" in self.tables:
            options["limits"] = self._limits()
        return options

    def _options(self, place: Place, table: Mapping[str, Any], keys: tuple[FileKey, ...]) -> dict[str, Any]:
        """Return the options that the keys of a table set."""
        options = {}
        for key in keys:
            if key.option and key.name in table:
                options[key.option] = self._checked((*place, key.name), key, table[key.name])
        return options

    def _checked(self, place: Place, key: FileKey, value: Any) -> Any:
        """Return the value of a key as its option has it."""
        value = self._formed(place, key.form, value)
        if key.choices and value not in key.choices:
            self._wrong(place, f"{value!r} is none of {', '.join(key.choices)}{_near(value, key.choices)}")
        try:
            if key.option == "config":
                from ebpfvm.loader.kconfig import read_values
                return read_values(value)
            name = shown_key(place)
            if key.form == "path":
                return self._inside(place, value)
            found = Scenario.check(key.option, name, value)
        except (UsageError, LoadError) as error:
            self._wrong(place, str(error).removeprefix(f"{shown_key(place)}: "))
        return found

    def _formed(self, place: Place, form: str, value: Any) -> Any:
        """Return a value if it has the form that is expected."""
        fits = isinstance(value, _TYPES[form]) and isinstance(value, bool) == (form == "flag")
        if form == "time" and isinstance(value, int) and value:
            fits = False  # of what? tc says microseconds, and Python nanoseconds
        if not fits:
            self._wrong(place, f"expected {FORMS[form][0]}, found {as_toml(value)}")
        if form in _PARTS:
            for step, part in enumerate(value) if form == "words" else value.items():
                if not isinstance(part, _PARTS[form]):
                    self._wrong((*place, step), f"expected {FORMS[form][0]}, found {as_toml(part)} in it")
        return value

    def _inside(self, place: Place, path: str) -> str:
        """Return a path that is relative to the folder of the file, or to the current one for that of a setting."""
        if self._place(place).startswith("--"):
            return path
        whole = os.path.join(os.path.dirname(self.path), path)
        short = os.path.normpath(whole)  # another file if a folder is a link
        return short if os.path.exists(short) and os.path.samefile(short, whole) else whole

    # ---- qdisc, traffic, limits -------------------------------------------------------------------------------------

    def _qdisc(self) -> dict[str, Any]:
        """Return the table of the discipline; it may be written as one text."""
        found = self.tables.get("qdisc", {})
        if isinstance(found, str):
            from ebpfvm.qdisc_words import split_qdisc
            try:
                words = split_qdisc(found)
            except UsageError as error:
                self._wrong(("qdisc",), str(error))
            return {name: value for name, value in words._asdict().items() if value}
        return self._table("qdisc")

    def _qdisc_options(self, config: Mapping[str, int | str] | None) -> dict[str, Any]:
        table = self._qdisc()
        self._known(("qdisc",), table, [key.name for key in QDISC])
        if not table:
            return {}
        named = [name for name in SOURCES if name in table]
        if len(named) != 1:
            self._wrong(("qdisc",), f"expected one of {', '.join(SOURCES)}, found {' and '.join(named) or 'none'}")
        needs = {"variables": "object", "options": "tc", "enqueue": "object", "dequeue": "object", "define": "script"}
        for name, source in needs.items():
            if name in table and source not in named:
                self._wrong(("qdisc", name), f"belongs to {source}, and the discipline is a {named[0]}")
        return {**self._options(("qdisc",), table, QDISC), **self._chosen(table, config)}

    def _chosen(self, table: Mapping[str, Any], config: Mapping[str, int | str] | None) -> dict[str, Any]:
        """Return the options that say which discipline it is."""
        from ebpfvm.qdisc_words import QdiscWords
        values = {key.name: self._formed(("qdisc", key.name), key.form, table[key.name])
                  for key in QDISC if key.name in table}
        if "tc" in values:
            return QdiscWords(tc=_with_options(values["tc"], values.get("options", {}))).options()
        if "script" in values:
            return {"tc": self._inside(("qdisc", "script"), values["script"])}
        try:
            return QdiscWords(self._inside(("qdisc", "object"), values["object"]),
                              values.get("variables", {})).options(config)
        except UsageError as error:
            wrong = next((name for name in values.get("variables", {}) if repr(name) in str(error)), "")
            self._wrong(("qdisc", "variables", wrong) if wrong else ("qdisc", "object"), str(error))

    def _hops(self) -> list[HopSpec]:
        entries = self.tables["hop"]
        if not isinstance(entries, list):
            self._wrong(("hop",), f"expected tables [[hop]], found {as_toml(entries)}")
        return [self._hop(("hop", index), entry) for index, entry in enumerate(entries)]

    def _hop(self, place: Place, table: Any) -> HopSpec:
        from ebpfvm.sched.course import HopSpec
        if not isinstance(table, dict) or "rate" not in table:
            self._wrong(place, "expected a table with the rate of a link")
        self._known(place, table, [key.name for key in HOP])
        values = self._options(place, table, HOP)
        return HopSpec(**values, tc=self._formed((*place, "tc"), "word", table.get("tc", "")))

    def _flows(self, duration: int | None) -> list[Traffic]:
        entries = self.tables["traffic"]
        if not isinstance(entries, list):
            self._wrong(("traffic",), f"expected tables [[traffic]] or an array, found {as_toml(entries)}")
        return [self._flow(("traffic", index), entry, duration) for index, entry in enumerate(entries)]

    def _flow(self, place: Place, entry: Any, duration: int | None) -> Traffic:
        from ebpfvm.sched.traffic_kinds import TRAFFIC, split_flows
        from ebpfvm.sched.traffic_words import TrafficError
        if isinstance(entry, str):
            try:
                name, words = split_flows(entry)
            except UsageError as error:
                self._wrong(place, str(error))
        else:
            name, words = self._traffic_words(place, entry)
        if duration is not None and "stop" not in words:
            words["stop"] = f"{duration}ns"
        try:
            return TRAFFIC[name].read(words)
        except TrafficError as error:
            named = (*place, error.key) if error.key and not isinstance(entry, str) else place
            self._wrong(named, error.message)

    def _traffic_words(self, place: Place, entry: Any) -> tuple[str, dict[str, str]]:
        """Return the kind and the words that a table of traffic has."""
        from ebpfvm.sched.traffic_kinds import TRAFFIC
        if not isinstance(entry, dict) or "kind" not in entry:
            self._wrong(place, f"expected a table with kind = {' or '.join(map(as_toml, TRAFFIC))}")
        name = entry["kind"]
        if not isinstance(name, str) or name not in TRAFFIC:
            self._wrong((*place, "kind"), f"{as_toml(name)} is none of {', '.join(TRAFFIC)}{_near(name, TRAFFIC)}")
        keys = {key.name: key for key in TRAFFIC[name].keys}
        self._known(place, entry, ["kind", *keys])
        return name, {key: str(self._formed((*place, key), keys[key].form, value))
                      for key, value in entry.items() if key != "kind"}

    def _limits(self) -> Limits:
        table = self._table("limits")
        self._known(("limits",), table, [name for name, *_ in Limits.table()])
        for name, value in table.items():
            try:
                Limits(**{name: value})
            except UsageError as error:
                self._wrong(("limits", name), str(error).removeprefix(f"limit {name}: "))
        return Limits(**table)

    # ---- errors ---------------------------------------------------------------------------------------------------

    def _table(self, name: str) -> dict[str, Any]:
        found = self.tables.get(name, {})
        if not isinstance(found, dict):
            self._wrong((name,), f"expected a table [{name}], found {as_toml(found)}")
        return found

    def _known(self, place: Place, table: Mapping[str, Any], names: list[str]) -> None:
        for name in table:
            if name not in names:
                self._wrong((*place, name), f"no such key{_near(name, names) or '; there are: ' + ', '.join(names)}")

    def _place(self, place: Place) -> str:
        """Return the line or the setting that says what stands at a place."""
        while place and place not in self._places:
            place = place[:-1]
        return self._places.get(place, "")

    def _wrong(self, place: Place, message: str) -> NoReturn:
        said = self._place(place)
        if said.startswith("--"):
            raise UsageError(f"{said}: {message}")
        raise UsageError(f"{self.path}{':' if said else ''}{said}: {shown_key(place)}: {message}")


def _places_of_options() -> dict[str, Place]:
    """Return where a file has each option."""
    return {key.option: (*table, key.name) for table, keys in (((), TOP), (("link",), LINK), (("qdisc",), QDISC))
            for key in keys if key.option}


def _with_options(tc: str, options: Mapping[str, Any]) -> str:
    """Return words of tc with options; an option that is among them already gets the other value."""
    words = tc.split()
    for name, value in options.items():
        given = words.index(name) if name in words[1:] else None
        if isinstance(value, bool):
            if value and given is None:
                words.append(name)
            elif not value and given is not None:
                del words[given]
        elif given is None:
            words += [name, str(value)]
        else:
            words[given + 1:given + 2] = [str(value)]
    return " ".join(words)


def _element(holder: Any, step: str | int, said: str) -> Any:
    if not isinstance(holder, list) or not isinstance(step, int) or step >= len(holder):
        have = f"there are {len(holder)}, from [0]" if isinstance(holder, list) else "it has no parts"
        raise UsageError(f"{said}: no {shown_key((step,))}; {have}")
    return holder[step]


def _near(name: object, names: Iterable[str]) -> str:
    """Return a question for the nearest of the names; empty if none is near."""
    from difflib import get_close_matches
    near = get_close_matches(str(name), list(names), 1)
    return f"; did you mean {near[0]!r}?" if near else ""
