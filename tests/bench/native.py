"""Small C and C++ programs of the benchmark, compiled when they are first needed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.bench.figures import Missing

FOLDER = Path(__file__).parent


def cache() -> Path:
    """Return the folder that keeps compiled contenders."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ebpfvm-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def compiled(source: str, compiler: str, flags: list[str], install: str) -> Path:
    """Return the program compiled from `source` (a file of this folder).

    Raises:
        Missing: there is no compiler, or it fails; the text begins with `install`.
    """
    found = shutil.which(compiler)
    if found is None:
        raise Missing(f"{install} ({compiler} is not found)")
    path = FOLDER / source
    texts = [each.read_bytes() for each in (path, *sorted(FOLDER.glob("*.h")))]
    mark = hashlib.sha256(b"".join(texts) + repr([found, *flags]).encode()).hexdigest()[:16]
    target = cache() / f"{path.stem}-{mark}"
    if not target.exists():
        part = target.with_suffix(f".{os.getpid()}")
        done = subprocess.run([found, "-O2", "-o", str(part), source, *flags], cwd=FOLDER, capture_output=True,
                              text=True, check=False)
        if done.returncode:
            lines = done.stderr.splitlines() or [f"{compiler} fails"]
            first = next((line for line in lines if "error" in line or "cannot find" in line), lines[0]).strip()
            raise Missing(f"{install} ({first})")
        part.replace(target)
    return target
