"""Scenario files: what they mean, what errors say, and how settings change them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import ebpfvm
from ebpfvm.api import load_scenario
from ebpfvm.cli.main import main
from ebpfvm.errors import LoadError, UsageError
from ebpfvm.limits import Limits
from ebpfvm.loader.object import Object
from ebpfvm.scenario import Scenario
from ebpfvm.scenario_files import parse_scenario, read_scenario
from ebpfvm.scenario_keys import FORMS, LINK, QDISC, TOP, scenario_schema
from ebpfvm.sched.senders.tcp_flows import TcpSpec
from ebpfvm.sched.tc.script import ScriptFile
from ebpfvm.sched.traffic import FlowSpec
from ebpfvm.sched.traffic_kinds import TRAFFIC

ROOT = Path(__file__).parents[3]
PFIFO = ROOT / "samples" / "rfc" / "pfifo.o"
SAMPLES = sorted((ROOT / "samples" / "scenarios").glob("*.toml"))
MS = 1_000_000

WHOLE = f"""
title = "the office"
duration = "2s"
seed = 7
priority = "dscp"
engine = "interp"
kernel = "7.2"
kconfig = ["CONFIG_HZ=250"]
pin = ["pifo"]
[link]
rate = 4_000_000
delay = "5ms"
mtu = 1500
[qdisc]
object = "{PFIFO}"
variables = {{ limit = 0x10 }}
enqueue = "pfifo_enqueue"
unverified = true
[[traffic]]
kind = "tcp"
n = 3
cc = "reno"
start = "1s"
[[traffic]]
kind = "cbr"
rate = "1mbit"
stop = "1500ms"
[limits]
events = 5000
"""


def scenario(text: str, *settings: str) -> Scenario:
    return parse_scenario(text, "office.toml").set(*settings).scenario()


# ---- what a file means ------------------------------------------------------------------------------------------

def test_a_file_sets_every_option() -> None:
    found = scenario(WHOLE)
    assert (found.duration, found.seed, found.priority, found.engine, found.kernel) == (2000 * MS, 7, "dscp", "interp",
                                                                                        "7.2")
    assert (found.rate, found.delay, found.mtu) == (4_000_000, 5 * MS, 1500)
    assert (found.config, found.pin, found.enqueue, found.unverified) == ({"CONFIG_HZ": 250}, ("pifo",),
                                                                          "pfifo_enqueue", True)
    assert found.limits == Limits(events=5000) and found.title == "the office"
    assert found.flows == (TcpSpec("reno", count=3, start=1000 * MS, stop=2000 * MS),
                           FlowSpec("cbr", 1_000_000, stop=1500 * MS))
    assert isinstance(found.source, Object) and found.source.path == str(PFIFO)


def test_a_run_of_a_file_is_that_of_its_options(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(f'qdisc = "{PFIFO},limit=5"\ntraffic = ["cbr:rate=20mbit,packets=50", "poisson:rate=1mbit,n=2"]\n')
    direct = ebpfvm.simulate(PFIFO, flows=["cbr:rate=20mbit,packets=50", "poisson:rate=1mbit,n=2"])
    assert ebpfvm.simulate(load_scenario(path, ["qdisc.limit=100"])).as_dict() == direct.as_dict()
    assert ebpfvm.simulate(load_scenario(path)).dropped > direct.dropped


def test_paths_begin_in_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "own.o").symlink_to(PFIFO)
    (tmp_path / "own.tc").write_text("tc qdisc add dev eth0 root pfifo limit 3\n")
    path = tmp_path / "sub" / "a.toml"
    path.write_text('qdisc.object = "own.o"\n')
    monkeypatch.chdir(tmp_path)
    found = load_scenario("sub/a.toml")
    assert isinstance(found.source, Object) and found.source.path == "sub/own.o"
    assert load_scenario("sub/a.toml", ["qdisc=own.tc"]).tc == "own.tc"  # that of a setting, in the current folder
    path.write_text('qdisc.script = "../own.tc"\npcap = "/some/where.pcap"\n')
    assert (load_scenario(path).tc, load_scenario(path).pcap) == (str(tmp_path / "own.tc"), "/some/where.pcap")


@pytest.mark.parametrize(("qdisc", "words"), [
    ('tc = "fq_codel"', "fq_codel"), ('tc = "fq_codel limit 5"\noptions = { limit = 7 }', "fq_codel limit 7"),
    ('tc = "fq_codel"\noptions = { limit = 7, target = "5ms", ecn = true, ce = false }',
     "fq_codel limit 7 target 5ms ecn"), ('tc = "fq_codel ecn limit 5"\noptions = { ecn = false }', "fq_codel limit 5"),
    ('tc = "pfifo"\noptions = { limit = 1.5 }', "pfifo limit 1.5")])
def test_words_of_tc_have_options(qdisc: str, words: str) -> None:
    found = scenario(f"[qdisc]\n{qdisc}\n")
    assert (found.tc, found.title) == (ScriptFile(f"tc qdisc add dev eth0 root {words}\n", ""), words)


def test_traffic_without_an_end_lasts_as_long_as_the_scenario() -> None:
    text = 'qdisc = "pfifo"\ntraffic = ["tcp:", "cbr:rate=1mbit,stop=2s"]\n'
    assert [spec.stop for spec in scenario(text).flows] == [1000 * MS, 2000 * MS]
    assert [spec.stop for spec in scenario(text, "duration=9s").flows] == [9000 * MS, 2000 * MS]


# ---- settings ---------------------------------------------------------------------------------------------------

def test_settings_replace_what_the_file_says() -> None:
    found = scenario(WHOLE, "duration=9s", "link.rate=1mbit", "traffic[0].n=5", "traffic[1].kind=poisson",
                     "limits.events=9", "traffic[0].ecn=on", "seed=-3", "qdisc.unverified=false")
    assert (found.duration, found.rate, found.seed, found.unverified) == (9000 * MS, 1_000_000, -3, False)
    assert found.flows == (TcpSpec("reno", count=5, start=1000 * MS, stop=9000 * MS, ecn=2),
                           FlowSpec("poisson", 1_000_000, stop=1500 * MS))
    assert found.limits.events == 9


def test_a_file_stays_as_it_is() -> None:
    file = parse_scenario(WHOLE, "office.toml")
    assert file.set("seed=8").scenario().seed == 8
    assert file.scenario().seed == 7


def test_a_name_in_qdisc_is_a_variable_or_a_word_of_tc() -> None:
    file = parse_scenario('qdisc = "fq_codel limit 10"\n', "a.toml")
    assert file.set("qdisc.limit=20", "qdisc.ecn=true").discipline == "fq_codel limit 20 ecn"
    assert file.set(f"qdisc={PFIFO}", "qdisc.limit=20").discipline == f"{PFIFO},limit=20"
    assert file.set("qdisc=x.tc").discipline == "x.tc"
    assert parse_scenario("", "a.toml").discipline == ""
    with pytest.raises(UsageError, match=r"--set qdisc\.limit=3: the scenario names no object and no words of tc"):
        file.set("qdisc=x.tc", "qdisc.limit=3")


@pytest.mark.parametrize(("setting", "message"), [
    ("limit", "--set limit: expected KEY=VALUE"), ("=3", "--set =3: expected KEY=VALUE"),
    ("link..rate=3", "'link..rate' is no key"), (".rate=3", "'.rate' is no key"), ("link.=3", "'link.' is no key"),
    ("a b=3", "'a b' is no key"), ("traffic[2].n=3", r"--set traffic[2].n=3: no [2]; there are 2, from [0]"),
    ("traffic[0]n=3", "is no key"), ("traffic.n=3", "no n; there are 2"), ("traffic[5]=tcp:", "no [5]; there are 2"),
    ("seed.x=3", "seed has no x"), ("link[0]=3", "link has no [0]"), ("link[0].x=3", "no [0]; it has no parts"),
    ("link.rate=fast", "--set link.rate=fast: rate 'fast': expected a number and a unit"),
    ("link.rats=3", "--set link.rats=3: no such key; did you mean 'rate'?"),
    ("limit=3", "--set limit=3: no such key; did you mean 'limits'?"),
    ("duration=3", '--set duration=3: expected a time with its unit, as in "20ms", or 0, found 3'),
    ("traffic[0].rate=3", "no such key; there are: kind, cc"), ("traffic[1].rate=0", "at least 1 bit"),
    ("qdisc.limit=x", "expected a table of whole numbers"), ("qdisc=x.o,limit=y", "limit=y: expected NAME=NUMBER"),
    ("qdisc.variables.limt=3", "--set qdisc.variables.limt=3"), ("qdisc.limt=3", "no global variable 'limt'")])
def test_wrong_settings_are_named(setting: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        scenario(WHOLE, setting)
    assert message in str(caught.value)
    assert str(caught.value).startswith("--set")


def test_a_key_of_traffic_that_is_one_text_cannot_be_set() -> None:
    with pytest.raises(UsageError, match=r"traffic\[0\] is one text; write it as a table"):
        scenario('qdisc = "pfifo"\ntraffic = ["tcp:"]\n', "traffic[0].n=3")


# ---- errors -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("text", "message"), [
    ('duration = "1s"\nsede = 3', "office.toml:2: sede: no such key; did you mean 'seed'?"),
    ("\n[links]\nrate = 1", "office.toml:2: links: no such key; did you mean 'link'?"),
    ("[link]\n\nrate = true", 'office.toml:3: link.rate: expected a rate as in "10mbit", or a number of bits per second'
     ", found true"),
    ('[link]\nrate = "fast"', "office.toml:2: link.rate: rate 'fast': expected a number and a unit, as in 10mbit"),
    ("[link]\nrate = 0", "office.toml:2: link.rate: expected a whole number of at least 1, found 0"),
    ("[link]\nmtu = 20", "office.toml:2: link.mtu: expected a whole number of at least 68, found 20"),
    ("link = 3", "office.toml:1: link: expected a table [link], found 3"),
    ("duration = 20", 'office.toml:1: duration: expected a time with its unit, as in "20ms", or 0, found 20'),
    ('engine = "jit"', "office.toml:1: engine: 'jit' is none of interp, translate, fused, auto"),
    ('priority = "tosh"', "office.toml:1: priority: 'tosh' is none of tos, precedence, dscp, none; did you mean"),
    ("pin = [\n'a',\n1]", "office.toml:3: pin[1]: expected an array of texts, found 1 in it"),
    ('kconfig = ["NO"]', "office.toml:1: kconfig: NO: "),
    ("seed = 1.5", "office.toml:1: seed: expected a whole number, found 1.5"),
    ("[qdisc]\nunverified = 1", "office.toml:1: qdisc: expected one of object, script, tc, found none"),
    ('[qdisc]\ntc = "pfifo"\nscript = "x"', "office.toml:1: qdisc: expected one of object, script, tc, found script"),
    ('[qdisc]\ntc = "pfifo"\nenqueue = "x"', "office.toml:3: qdisc.enqueue: belongs to object, and the discipline"),
    ('[qdisc]\nobjet = "x"', "office.toml:2: qdisc.objet: no such key; did you mean 'object'?"),
    ("qdisc = 3", "office.toml:1: qdisc: expected a table [qdisc], found 3"),
    ("[traffic]\nn = 1", "office.toml:1: traffic: expected tables [[traffic]] or an array, found a table"),
    ("[[traffic]]\n[[traffic]]\nn = 1", 'office.toml:1: traffic[0]: expected a table with kind = "cbr" or "poisson"'),
    ('[[traffic]]\nkind = "tpc"', "office.toml:2: traffic[0].kind: \"tpc\" is none of cbr, poisson, "),
    ('[[traffic]]\nkind = "cbr"', "office.toml:1: traffic[0]: rate= is missing"),
    ('[[traffic]]\nkind = "cbr"\nrate = "1mbit"\n\n[[traffic]]\nkind = "cbr"\nsize = 9\nrate = "fast"',
     "office.toml:8: traffic[1].rate: rate 'fast': expected"),
    ('[[traffic]]\nkind = "cbr"\nrate = "1mbit"\nsize = 9',
     "office.toml:4: traffic[0].size: a udp frame has 42 to 65535 bytes, found 9"),
    ('[[traffic]]\nkind = "tcp"\nn = "many"', "office.toml:3: traffic[0].n: expected a whole number, found \"many\""),
    ('[[traffic]]\nkind = "tcp"\nn = 0', "office.toml:3: traffic[0].n: expected a number from 1 to"),
    ('[[traffic]]\nkind = "tcp"\ncount = 3', "office.toml:3: traffic[0].count: no such key"),
    ('[[traffic]]\nkind = "tcp"\nrtt = 20', "office.toml:3: traffic[0].rtt: expected a time with its unit"),
    ('[[traffic]]\nkind = "tcp"\ncc = "vegas"', "office.toml:3: traffic[0].cc: 'vegas' is none of reno, cubic"),
    ('traffic = [\n "tcp:",\n "tcp:x=1"]', "office.toml:3: traffic[1]: flows 'tcp:x=1': 'x=1' is none of"),
    ('traffic = ["cbr:rate=x"]', "office.toml:1: traffic[0]: rate 'x': expected"),
    ("[limits]\nevent = 3", "office.toml:2: limits.event: no such key; did you mean 'events'?"),
    ("[limits]\nevents = 0", "office.toml:2: limits.events: expected a number from 1"),
    ('[limits]\nevents = "5k"', "office.toml:2: limits.events: expected a number from 1"),
    ('seed = 1\nseed = 2', "office.toml:2: Cannot overwrite a value"), ("a = [1,", "office.toml:1: "),
    ("a = " + 5000 * "[", "office.toml: is nested too deeply"),
    ("", "office.toml: qdisc is missing: nothing to simulate"),
    ("ingress = true\nqdisc.object = \"" + str(PFIFO) + '"', "office.toml: ingress: needs a tc script")])
def test_errors_name_file_line_and_key(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        scenario(text)
    assert str(caught.value).startswith(message)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"missing\.toml: cannot be read: No such file"):
        load_scenario("missing.toml")
    (tmp_path / "a.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(UsageError, match=r"a\.toml: cannot be read"):
        load_scenario(tmp_path / "a.toml")
    with pytest.raises(LoadError, match=r"nosuch\.o"):
        scenario('qdisc = "nosuch.o"')


# ---- the commands -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_samples_run_and_repeat_exactly(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(path), "--duration", "300ms", "--json"]) == 0
    first = capsys.readouterr().out
    assert main(["run", str(path), "--set", "duration=300ms", "--json"]) == 0
    assert capsys.readouterr().out == first
    assert json.loads(first)["out_packets"] > 20


def test_options_of_the_command_line_come_first(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(ROOT / "samples" / "scenarios" / "office.toml")
    assert main(["run", path, "--duration", "100ms", "--rate", "10mbit", "--delay", "1ms", "--seed", "5", "--flows",
                 "cbr:rate=1mbit,packets=3,dport=7", "--limit", "events=1m", "--engine", "interp", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rate"], found["delay"], found["seed"], found["duration"]) == (10_000_000, MS, 5, 100 * MS)
    assert any(flow["flow"].endswith(":7") for flow in found["flows"])
    assert main(["run", path, "--limit", "events=10"]) == 5
    assert main(["run", path, "--rate", "slow"]) == 2
    assert "--rate: rate 'slow'" in capsys.readouterr().err


def test_a_script_replaces_the_discipline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "a.tc"
    script.write_text("tc qdisc add dev eth0 root pfifo limit 5\n")
    path = str(ROOT / "samples" / "scenarios" / "office.toml")
    assert main(["run", path, "--duration", "50ms", "--tc", str(script)]) == 0
    assert "qdisc pfifo" in capsys.readouterr().out
    assert main(["run", path, "--out", path]) == 2
    assert "would overwrite" in capsys.readouterr().err


def test_a_run_of_a_scenario_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in SAMPLES:
        assert main(["run", str(path), "--duration", "50ms", "--results", str(tmp_path / f"{path.stem}.db")]) == 0
        assert (tmp_path / f"{path.stem}.db").stat().st_size > 0
    capsys.readouterr()


def test_a_scenario_is_compared(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(ROOT / "samples" / "scenarios" / "office.toml")
    assert main(["compare", path, "pfifo limit 5", "fq_codel", "--set", "duration=200ms", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["qdisc"] for row in rows] == 4 * ["pfifo limit 5"] + 4 * ["fq_codel"]
    assert main(["compare", path, "--duration", "200ms", "--json"]) == 0
    own = json.loads(capsys.readouterr().out)["rows"]
    assert {row["qdisc"] for row in own} == {f"{PFIFO},limit=100"}
    assert [row["traffic"] for row in own] == [row["traffic"] for row in rows[:4]]


@pytest.mark.parametrize(("words", "message"), [
    (["compare", "pfifo", "--set", "limit=3", "--flows", "tcp:"], "changes a scenario file"),
    (["compare", "{}"], "names no queueing discipline"), (["run", "{}"], "qdisc is missing"),
    (["run", "{}", "--set", "qdisc=pfifo"], "no traffic to send; add [[traffic]]")])
def test_what_a_command_lacks_is_named(words: list[str], message: str, tmp_path: Path,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "empty.toml"
    path.touch()
    assert main([word.format(path) for word in words]) == 2
    assert message in capsys.readouterr().err


# ---- schema and manual ------------------------------------------------------------------------------------------

def test_the_schema_in_the_package_is_that_of_the_declarations(capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails: ebpfvm doc scenario-schema > ebpfvm/scenario.schema.json."""
    assert main(["doc", "scenario-schema"]) == 0
    assert (ROOT / "ebpfvm" / "scenario.schema.json").read_text(encoding="utf-8") == capsys.readouterr().out


def fits(tables: dict[str, Any]) -> bool:
    """Return whether the schema allows the tables of a file."""
    return Draft202012Validator(scenario_schema()).is_valid(tables)


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(scenario_schema())


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_samples_keep_the_schema(path: Path) -> None:
    assert fits(read_scenario(path).tables)


@pytest.mark.parametrize("setting", [
    "sede=1", "seed=x", "duration=3", "link.rate=0", "engine=jit", "traffic[0].kind=tpc", "traffic[0].n=0",
    "traffic[0].rate=3", "limits.events=0", "qdisc={}", "traffic[2]={kind='cbr'}", "pin=[1]", "link.mtu=true"])
def test_what_is_refused_does_not_keep_the_schema_either(setting: str) -> None:
    file = read_scenario(ROOT / "samples" / "scenarios" / "office.toml").set(setting)
    with pytest.raises(UsageError):
        file.scenario()
    assert not fits(file.tables)


def test_each_key_has_a_form_and_a_meaning() -> None:
    assert {key.form for key in (*TOP, *LINK, *QDISC)} == FORMS.keys()
    for kind in TRAFFIC.values():
        assert all(key.doc and (key.form in FORMS) and (key.form != "word" or key.choices) for key in kind.keys)


def test_the_page_lists_the_keys_that_there_are() -> None:
    """If this fails: replace what is below the mark with the output of `ebpfvm doc scenarios`."""
    from ebpfvm.cli.doc_scenarios import BEGIN, scenario_tables
    page = (ROOT / "docs" / "reference" / "scenarios.md").read_text(encoding="utf-8")
    assert BEGIN + page.partition(BEGIN)[2] == scenario_tables()


def test_the_help_of_run_lists_the_keys_of_traffic(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    for kind in TRAFFIC.values():
        assert kind.name in text
        assert all(f" {key.name}=" in text or f"{key.name}," in text for key in kind.keys), kind.name
