"""Verdicts for other programs: SARIF 2.1.0, annotations of GitHub, and the states of every instruction as JSON."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from ebpfvm._version import __version__
from ebpfvm.cli.selection import call_names
from ebpfvm.lints import LINTS
from ebpfvm.verifier.machine.properties import PROPERTIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ebpfvm.limits import Limits
    from ebpfvm.lints import Lint
    from ebpfvm.loader.object import LineInfo, Program
    from ebpfvm.loading import Prepared
    from ebpfvm.verifier.report.verdict import Verdict
    from ebpfvm.verifier.report.walk_tree import TreeRecorder

    Judged = Sequence[tuple[Program, Verdict]]

MOST_STEPS: Final = 100_000
"""Steps of a walk whose states are printed."""
_UNREADABLE: Final = "cannot-be-judged"  # a rule of SARIF for programs without a verdict
_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def file_of(path: str, line: LineInfo | None) -> str:
    """Return the C file of a line: as recorded if that exists, otherwise beside the object, otherwise as recorded.

    One below the current folder is named from there, as those who annotate the files of a checkout expect.
    """
    if line is None:
        return path
    beside = os.path.join(os.path.dirname(path), os.path.basename(line.file))
    found = os.path.normpath(next((name for name in (line.file, beside) if os.path.exists(name)), line.file))
    here = os.getcwd() + os.sep
    return found.removeprefix(here)


# -- SARIF ------------------------------------------------------------------------------------------------------------

def sarif(path: str, judged: Judged, lints: Sequence[Lint]) -> dict[str, Any]:
    """Return rejections and lints as a log of SARIF 2.1.0, with the steps that led to each rejection."""
    results = [_rejection(path, program, verdict) for program, verdict in judged if not verdict.ok]
    results += [{"ruleId": lint.id, "level": "warning", "message": {"text": f"{lint.program}: {lint.message}"},
                 "locations": [_location(path, lint.line)]} for lint in lints]
    rules = [_rule(name) for name in dict.fromkeys(result["ruleId"] for result in results)]
    driver = {"name": "ebpfvm", "semanticVersion": __version__, "rules": rules}
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [{
        "tool": {"driver": driver}, "columnKind": "unicodeCodePoints",
        "artifacts": [{"location": {"uri": _uri(path)}}], "results": results}]}


def _rejection(path: str, program: Program, verdict: Verdict) -> dict[str, Any]:
    causes = verdict.why.reason.causes if verdict.why is not None else ()
    text = "\n".join(filter(None, [f"{program.name}: {verdict.message}", verdict.explanation]))
    result: dict[str, Any] = {"ruleId": verdict.property or _UNREADABLE, "level": "error", "message": {"text": text},
                              "locations": [_location(path, verdict.line)]}
    if causes:
        result["codeFlows"] = [{"threadFlows": [{"locations": [
            {"location": _location(path, cause.line) | {"message": {"text": cause.text}}} for cause in causes]}]}]
    if verdict.pc is not None:
        result["properties"] = {"instruction": verdict.pc, "errno": verdict.errno}
    return result


def _location(path: str, line: LineInfo | None) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(file_of(path, line))}}
    if line is not None and line.line:
        place["region"] = {"startLine": line.line} | ({"startColumn": line.column} if line.column else {})
    return {"physicalLocation": place}


def _uri(path: str) -> str:
    from urllib.parse import quote
    if os.path.isabs(path):
        return "file://" + quote(path)
    return quote(path.replace(os.sep, "/"))


def _rule(name: str) -> dict[str, Any]:
    text = PROPERTIES[name].rule if name in PROPERTIES else LINTS[name].why if name in LINTS else (
        "The program cannot be read, or not be judged.")
    rule: dict[str, Any] = {"id": name, "shortDescription": {"text": text}}
    if name in PROPERTIES:
        rule["help"] = {"text": f"{PROPERTIES[name].help} A broken and a mended program: ebpfvm explain {name}"}
    return rule


# -- annotations of GitHub --------------------------------------------------------------------------------------------

def github(path: str, judged: Judged, lints: Sequence[Lint]) -> Iterator[str]:
    """Yield a workflow command of GitHub for each rejection (`::error`) and each lint (`::warning`)."""
    for program, verdict in judged:
        if not verdict.ok:
            text = "\n".join(filter(None, [verdict.message, verdict.explanation]))
            yield _annotation("error", path, verdict.line, f"{program.name}: {verdict.property or 'rejected'}", text)
    for lint in lints:
        yield _annotation("warning", path, lint.line, f"{lint.program}: {lint.id}", lint.message)


def _annotation(word: str, path: str, line: LineInfo | None, title: str, text: str) -> str:
    places = {"file": file_of(path, line)}
    if line is not None and line.line:
        places |= {"line": str(line.line)} | ({"col": str(line.column)} if line.column else {})
    parts = ",".join(f"{name}={_value(value)}" for name, value in (places | {"title": title}).items())
    return f"::{word} {parts}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# -- states -----------------------------------------------------------------------------------------------------------

def walked(program: Prepared, limits: Limits, states: bool = True) -> TreeRecorder:
    """Return the tree of the paths of a program that has a verdict."""
    from ebpfvm.verifier.check import walk_tree
    assert program.dialect is not None
    return walk_tree(program, program.dialect, limits=limits, states=states, most=MOST_STEPS)


def state_rows(program: Prepared, tree: TreeRecorder) -> dict[str, Any]:
    """Return the instructions, each with the states before it, and the paths of a walk."""
    from ebpfvm.isa.disasm import kernel_text
    assert program.dialect is not None
    names = call_names(program, program.dialect)
    rows: list[dict[str, Any]] = []
    by_pc: dict[int, list[dict[str, Any]]] = {}
    for pc in range(len(program.insns)):
        if pc and program.insns[pc - 1].is_ld_imm64:
            continue
        line = program.line_at(pc)
        rows.append({"pc": pc, "text": kernel_text(program.insns, pc, call_name=names),
                     "file": line.file if line is not None else None,
                     "line": line.line if line is not None else None, "states": by_pc.setdefault(pc, [])})
    for path in tree.paths:
        for step, (pc, text) in enumerate(zip(path.slots, path.states, strict=False)):
            by_pc[pc].append({"path": path.number, "step": step, "state": text})
    paths = [{"path": path.number, "parent": path.parent, "branch": path.branch, "first": path.first,
              "steps": path.slots, "end": path.end, "stop": path.stop} for path in tree.paths]
    return {"instructions": rows, "paths": paths, "complete": tree.whole}
