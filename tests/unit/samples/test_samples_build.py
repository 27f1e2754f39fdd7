"""The committed sample objects are what clang makes of the sources beside them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[3] / "samples"
SOURCES = sorted(SAMPLES.glob("**/*.bpf.c"))
CLANG = "clang-19"


def object_of(source: Path) -> Path:
    return source.with_name(source.name.removesuffix(".bpf.c") + ".o")


def producer(blob: bytes) -> bytes:
    """The compiler that DWARF says made an object, with the exact Debian revision."""
    found = re.search(rb"[^\0]*clang version [^\0]*", blob)
    assert found, "no producer in the debug information"
    return found[0]


def run(*command: str | Path, cwd: Path) -> str:
    # The caller's CFLAGS or OUT must not leak into make.
    env = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples folder copied elsewhere, without objects, and built there."""
    for tool in (CLANG, "make"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian: apt-get install {tool})")
    copy = tmp_path_factory.mktemp("elsewhere") / "deep" / "samples"
    shutil.copytree(SAMPLES, copy, ignore=shutil.ignore_patterns("*.o", "*.pcap"))
    run("make", f"CLANG={CLANG}", cwd=copy)
    return copy


def test_there_are_samples() -> None:
    names = {str(source.relative_to(SAMPLES)) for source in SOURCES}
    assert {"rfc/pfifo.bpf.c", "rfc/pifo_prio.bpf.c", "rfc/shaper.bpf.c"} <= names
    assert len([name for name in names if name.startswith("broken/")]) >= 10


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.parent.name + "/" + source.name)
def test_rebuild_gives_the_committed_bytes(source: Path, rebuilt: Path) -> None:
    committed = object_of(source).read_bytes()
    again = object_of(rebuilt / source.relative_to(SAMPLES)).read_bytes()
    if producer(committed) != producer(again):
        pytest.skip(f"{CLANG} is {producer(again).decode()}, the object was built by {producer(committed).decode()}")
    assert again == committed, f"{object_of(source)} is out of date: run make in samples/"


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.parent.name + "/" + source.name)
def test_objects_do_not_tell_where_they_were_built(source: Path) -> None:
    assert str(SAMPLES.parent).encode() not in object_of(source).read_bytes()


@pytest.mark.parametrize("source", sorted((SAMPLES / "broken").glob("*.bpf.c")), ids=lambda source: source.name)
def test_a_broken_sample_says_what_to_expect(source: Path) -> None:
    text = source.read_text()
    assert re.findall(r"^// expect: \S.*$", text, re.M)
    assert len(re.findall(r"^// because: \S.*\.$", text, re.M)) == 1
    assert text.count("// <-- refused here\n") == 1
