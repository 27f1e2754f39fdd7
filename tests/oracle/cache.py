"""Where the downloaded packages and the built guest image are kept."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

KIT = Path(__file__).resolve().parent


class NotSetUp(SystemExit):
    """The cache does not hold what is asked for; the message says what to run."""


def folder() -> Path:
    """The cache folder: $ORACLE_CACHE, or ~/.cache/ebpfvm-oracle."""
    return Path(os.environ.get("ORACLE_CACHE") or Path.home() / ".cache" / "ebpfvm-oracle")


def add_kernel(parser: argparse.ArgumentParser) -> None:
    """Declare --kernel."""
    parser.add_argument("--kernel", metavar="VERSION",
                        help="ask the guest in the cache folder of that name, as in ~/.cache/ebpfvm-oracle-6.12 "
                             "(default: the one in $ORACLE_CACHE)")


def choose(version: str | None) -> None:
    """Use the cache folder of a version from now on; keep the present one for None."""
    if version is not None:
        os.environ["ORACLE_CACHE"] = str(Path.home() / ".cache" / f"ebpfvm-oracle-{version}")


def part(name: str) -> Path:
    """A file that `python -m tests.oracle setup` made: kernel, image, vmlinux.btf, vmlinux.h or about.json."""
    path = folder() / name
    if not path.exists():
        raise NotSetUp(f"{path} is missing: run `python -m tests.oracle setup` first")
    return path


def about() -> dict[str, str]:
    """What the guest is made of: kernel release and package versions."""
    return json.loads(part("about.json").read_text())
