"""Find the samples, headers and captures that come with ebpfvm, copy them, and compile programs as they are compiled.

A wheel holds them as `ebpfvm/samples`; in a checkout they are in `samples/` beside the package.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ebpfvm.errors import UsageError
from ebpfvm.lazy_tuples import NamedTuple

_SOURCE: Final = ".bpf.c"
_SHARED: Final = ("Makefile", "README.md", "include")  # what every sample needs to be read and rebuilt
_COMPILERS: Final = ("clang-19", "clang-20", "clang-21", "clang-18", "clang")  # the first one made the objects


class Sample(NamedTuple):
    """One sample: `name` as in `rfc/pfifo`, and the first sentence of the comment that says what it is about."""

    name: str
    about: str


def folder() -> Path:
    """Return the folder of the samples.

    Raises:
        UsageError: this copy of ebpfvm was installed without them.
    """
    package = Path(__file__).resolve().parent
    for place in (package / "samples", package.parent / "samples"):
        if (place / "Makefile").is_file():
            return place
    raise UsageError("the samples are missing from this installation of ebpfvm; install it again from its wheel")


def found() -> Iterator[Sample]:
    """Yield every sample that has a source, by folder and name."""
    root = folder()
    for path in sorted(root.rglob(f"*{_SOURCE}")):
        yield Sample(path.relative_to(root).as_posix().removesuffix(_SOURCE), _about(path))


def _about(source: Path) -> str:
    """Return the first sentence of the first comment of several lines, without the word "Teaches:" before it."""
    comment = re.search(r"/\*(.*?)\*/", source.read_text(encoding="utf-8"), re.DOTALL)
    if comment is None:
        return ""
    text = " ".join(line.strip(" *") for line in comment[1].splitlines() if line.strip(" *"))
    text = text.removeprefix("Teaches: ")
    return re.split(r"(?<=[.:;?!])\s", text, maxsplit=1)[0].rstrip(".:;")


def copy(names: Sequence[str], target: Path) -> list[Path]:
    """Copy samples or whole folders of them to `target`, with the headers and the Makefile, and return what is new.

    Args:
        names: samples and folders, as in `rfc/pfifo` and `captures`; none means everything.
        target: folder that gets the same structure as the samples have; it is made if it is missing.

    Raises:
        UsageError: a name is unknown, or a file at the target has other contents. Then nothing is copied.
        OSError: the target cannot be written.
    """
    root = folder()
    wanted = sorted({path for name in (names or (".",)) for path in _files(root, name)})
    changed = [path for path in wanted if _differs(root / path, target / path)]
    if changed:
        raise UsageError(f"{target / changed[0]} exists with other contents; nothing was copied: remove it, or name "
                         "another folder with --to")
    new = [path for path in wanted if not (target / path).exists()]
    for path in new:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, target / path)
        shutil.copymode(root / path, target / path)
    return [target / path for path in new]


def _differs(ours: Path, theirs: Path) -> bool:
    return theirs.exists() and not (theirs.is_file() and theirs.read_bytes() == ours.read_bytes())


def _files(root: Path, name: str) -> Iterator[Path]:
    """Yield the files of one sample or folder and those that it shares with others, relative to `root`."""
    place = root / name
    own: Iterable[Path]
    if name and place.is_dir() and root in (place, *place.resolve().parents):
        own = place.rglob("*")
    elif (source := root / f"{name}{_SOURCE}").is_file():
        own = (source, source.with_name(f"{source.name.removesuffix(_SOURCE)}.o"), *source.parent.glob("*.h"))
    else:
        raise UsageError(f"there is no sample and no folder of samples called {name!r}; `ebpfvm samples list` lists "
                         "them")
    shared = (path for part in _SHARED for path in ((root / part), *(root / part).rglob("*")))
    for path in (*own, *shared):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(root)


def build(source: Path, out: Path, compiler: str | None = None, folders: Iterable[Path] = ()) -> None:
    """Write the object of a C file, compiled as the samples are: for the bpf target, with ebpfvm's headers in reach.

    Args:
        source: the C file.
        out: the object to write.
        compiler: command of clang; by default $CLANG, or else the first clang that is found.
        folders: more folders to search for headers.

    Raises:
        UsageError: there is no such file, no clang, or clang rejects the program; it has printed why.
    """
    if not source.is_file():
        raise UsageError(f"{source}: no such file")
    places = [f"-I{place}" for place in (folder() / "include", *folders)]
    command = [compiler or _compiler(), *_flags(), *places, "-c", str(source), "-o", str(out)]
    try:
        done = subprocess.run(command, check=False)
    except OSError as error:
        raise UsageError(f"{command[0]}: {error.strerror}; name a clang with --clang") from None
    if done.returncode:
        raise UsageError(f"{command[0]} did not compile {source}")


def _compiler() -> str:
    names = (os.environ["CLANG"],) if os.environ.get("CLANG") else _COMPILERS
    for name in names:
        if shutil.which(name):
            return name
    raise UsageError(f"{names[0]} was not found; install clang (Debian: apt-get install clang), or name one with "
                     "--clang")


def _flags() -> list[str]:
    """Return the flags of the Makefile, but for its include folder, which is relative, and for errors from warnings."""
    makefile = (folder() / "Makefile").read_text(encoding="utf-8")
    line = re.search(r"^CFLAGS = (.*)$", makefile, re.MULTILINE)
    if line is None:
        raise UsageError(f"{folder() / 'Makefile'}: no line begins with 'CFLAGS ='")
    return [flag for flag in line[1].split() if flag not in ("-Iinclude", "-Werror")]
