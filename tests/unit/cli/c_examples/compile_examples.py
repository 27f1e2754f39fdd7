"""Compile the C programs of `ebpfvm explain`: `python -m tests.unit.cli.c_examples.compile_examples` (clang-19)."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from ebpfvm.cli.c_examples import C_EXAMPLES

HERE = Path(__file__).parent
INCLUDE = HERE.parents[3] / "samples" / "include"
FLAGS = ("-target", "bpf", "-mcpu=v3", "-O2", "-g", "-Wall", "-Werror", "-fdebug-compilation-dir=.", f"-I{INCLUDE}")


def build() -> None:
    """Write ID.broken.o and ID.mended.o for each example, without the compiler's own debug information."""
    clang = os.environ.get("CLANG", "clang-19")
    with tempfile.TemporaryDirectory() as folder:
        for id, pair in C_EXAMPLES.items():
            for name, text in pair._asdict().items():
                Path(folder, "prog.bpf.c").write_text(text, encoding="utf-8")
                made = HERE / f"{id}.{name}.o"
                subprocess.run([clang, *FLAGS, "-c", "prog.bpf.c", "-o", made], cwd=folder, check=True)
                subprocess.run([clang.replace("clang", "llvm-strip"), "-g", made], check=True)


if __name__ == "__main__":
    build()
