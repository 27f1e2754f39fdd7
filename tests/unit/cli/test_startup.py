"""What a command does not need, it does not import: that is most of the time that a small program takes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SMALL = "samples/broken/leak.o"
VERIFY = f"from ebpfvm.cli.main import main; main(['verify', {SMALL!r}, '--json'])"
# Of ebpfvm: the simulator and tc, the engines, the generators. Of others: what a look at a path or a name pulls in.
HEAVY = ("ebpfvm.sched", "ebpfvm.engine", "ebpfvm.testing", "ebpfvm.experiments", "ebpfvm.loaded", "ebpfvm.cli.run",
         "ebpfvm.cli.prog", "ply", "hashlib", "pathlib", "difflib")


def imported(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has imported after `code` and had not before."""
    code = f"import sys; before = set(sys.modules)\n{code}\nprint('modules', *sorted(set(sys.modules) - before))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True,
                         env={**os.environ, "PYTHONPATH": str(ROOT)}).stdout
    return set(out.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(("code", "needed"), [
    ("import ebpfvm.api", "ebpfvm.judging"), ("from ebpfvm import verify", "ebpfvm.api"),
    (VERIFY, "ebpfvm.verifier.check")])
def test_verification_imports_no_simulator_and_no_engine(code: str, needed: str) -> None:
    found = imported(code)
    assert needed in found
    assert sorted(name for name in found for heavy in HEAVY if f"{name}.".startswith(f"{heavy}.")) == []


def test_the_interface_imports_no_declaration_before_a_program_is_judged() -> None:
    found = imported("import ebpfvm.api")
    assert {"ebpfvm.dialects", "ebpfvm.funcs", "ebpfvm.maps.base", "elftools"} & found == set()


def test_an_object_is_read_without_pyelftools() -> None:
    found = imported(VERIFY)
    assert "ebpfvm.loader.elf" in found
    assert [name for name in found if name.partition(".")[0] == "elftools"] == []


def test_a_program_imports_what_it_uses() -> None:
    found = imported(VERIFY.replace(SMALL, "samples/rfc/pfifo.o"))
    assert {"ebpfvm.funcs.map_helpers", "ebpfvm.maps.array"} <= found
    assert {"ebpfvm.funcs.redirect", "ebpfvm.maps.xskmap", "ebpfvm.lints.qdisc_lints", "ebpfvm.kernel.emulated",
            "shutil", "threading"} & found == set()
    assert [name for name in found if name.startswith("ebpfvm.verifier.explanation.")] == []


def test_the_rest_of_the_interface_is_imported_when_it_is_used() -> None:
    found = imported("from ebpfvm.api import NamespaceOptions, Scene, open_namespace, script_programs")
    assert "ebpfvm.sched.simulation" in found
    from ebpfvm import api
    with pytest.raises(AttributeError, match=r"'ebpfvm\.api' has no attribute 'magic'"):
        api.magic  # noqa: B018


def test_a_command_has_the_same_parser_alone_as_among_all() -> None:
    from ebpfvm.cli.main import COMMANDS, build_parser
    for name in COMMANDS:
        alone, all_of_them = (parser._subparsers._group_actions[0].choices[name]  # type: ignore[union-attr, index]
                              for parser in (build_parser([name]), build_parser()))
        assert alone.format_help() == all_of_them.format_help()
