"""`ebpfvm samples`: what a user of the wheel gets to read, copy, change and compile."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ebpfvm import sample_files
from ebpfvm.cli.main import main
from tests.house.tree import ROOT

SAMPLES = ROOT / "samples"


def test_list_names_every_source_with_what_it_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samples", "list", "--json"]) == 0
    listed = {entry["name"]: entry["about"] for entry in json.loads(capsys.readouterr().out)["samples"]}
    assert set(listed) == {str(path.relative_to(SAMPLES)).removesuffix(".bpf.c")
                           for path in SAMPLES.rglob("*.bpf.c")}
    assert [name for name, about in listed.items() if not about] == []
    assert listed["broken/double_release"] == "a release ends the program's claim"
    assert main(["samples", "list"]) == 0
    assert "broken/double_release            a release ends" in capsys.readouterr().out


def test_path_leads_to_the_objects(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samples", "path"]) == 0
    assert Path(capsys.readouterr().out.strip()) == SAMPLES


def test_a_copied_sample_has_what_it_needs_to_be_compiled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mine"
    assert main(["samples", "copy", "rfc/pfifo", "--to", str(target)]) == 0
    files = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    headers = {f"include/{path.name}" for path in (SAMPLES / "include").iterdir()}
    beside = {f"rfc/{path.name}" for path in (SAMPLES / "rfc").glob("*.h")}
    assert files == {"Makefile", "README.md", "rfc/pfifo.bpf.c", "rfc/pfifo.o", "rfc/pifo.h"} | headers | beside
    assert f"{len(files)} files copied to {target}" in capsys.readouterr().out


def test_copying_everything_leaves_out_caches_only(tmp_path: Path) -> None:
    assert main(["samples", "copy", "--to", str(tmp_path)]) == 0
    ours = {path.relative_to(SAMPLES) for path in SAMPLES.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts}
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()} == ours
    assert (tmp_path / "uses/1-experiment/run.sh").stat().st_mode & 0o111


def test_a_changed_file_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "rfc" / "pfifo.bpf.c"
    mine.parent.mkdir()
    mine.write_text("/* mine */")
    assert main(["samples", "copy", "rfc", "--to", str(tmp_path)]) == 2
    assert f"{mine} exists with other contents; nothing was copied" in capsys.readouterr().err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    mine.unlink()
    assert main(["samples", "copy", "rfc", "--to", str(tmp_path)]) == 0
    assert main(["samples", "copy", "rfc", "--to", str(tmp_path)]) == 0
    assert "0 files copied" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["rfc/nothing", "..", "../ebpfvm", "/", ""])
def test_an_unknown_name_is_an_error(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samples", "copy", name, "--to", str(tmp_path / "new")]) == 2
    assert "there is no sample and no folder of samples called" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_headers_of_other_folders_are_found_with_an_option(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "mine.bpf.c"
    shutil.copy(SAMPLES / "rfc" / "pfifo.bpf.c", source)
    assert main(["samples", "build", str(source)]) == 2
    assert "'pifo.h' file not found" in capfd.readouterr().err
    assert main(["samples", "build", str(source), "-I", str(SAMPLES / "rfc")]) == 0
    assert (tmp_path / "mine.o").is_file()



def test_a_copied_sample_compiles_to_the_same_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if shutil.which("clang-19") is None:
        pytest.skip("needs clang-19")
    assert main(["samples", "copy", "mainline/fifo", "--to", str(tmp_path)]) == 0
    source, out = tmp_path / "mainline" / "fifo.bpf.c", tmp_path / "out"
    out.mkdir()
    assert main(["samples", "build", str(source), "--clang", "clang-19", "--to", str(out)]) == 0
    assert capsys.readouterr().out.endswith(f"{out}/fifo.o\n")
    texts = []
    for path in (out / "fifo.o", SAMPLES / "mainline" / "fifo.o"):
        assert main(["dis", str(path)]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0].replace(str(out), "") == texts[1].replace(str(SAMPLES / "mainline"), "")


def test_errors_of_build_say_what_to_do(tmp_path: Path, capfd: pytest.CaptureFixture[str],
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a.bpf.c"
    assert main(["samples", "build", str(source)]) == 2
    assert f"{source}: no such file" in capfd.readouterr().err
    source.write_text("int x;")
    monkeypatch.delenv("CLANG", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["samples", "build", str(source)]) == 2
    assert "clang-19 was not found; install clang" in capfd.readouterr().err
    assert main(["samples", "build", str(source), "--clang", "no-such-clang"]) == 2
    assert "no-such-clang: No such file or directory; name a clang with --clang" in capfd.readouterr().err


def test_what_clang_rejects_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str],
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = tmp_path / "refuses"
    compiler.write_text("#!/bin/sh\nexit 1\n")
    compiler.chmod(0o755)
    source = tmp_path / "a.bpf.c"
    source.write_text("int x")
    monkeypatch.setenv("CLANG", str(compiler))
    assert main(["samples", "build", str(source)]) == 2
    assert f"{compiler} did not compile {source}" in capfd.readouterr().err


def test_an_installation_without_samples_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sample_files, "__file__", str(tmp_path / "ebpfvm" / "sample_files.py"))
    assert main(["samples", "list"]) == 2
    assert "the samples are missing from this installation" in capsys.readouterr().err
