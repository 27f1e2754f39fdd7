"""A real Linux that answers questions: `python -m tests.oracle COMMAND --help`. See README.md beside this file."""

from __future__ import annotations

import argparse
from importlib import import_module

COMMANDS = {"setup": "download and build the guest", "compare": "verdicts of ebpfvm and of a kernel, by the thousand",
            "raw": "verdicts on, and runs of, bare instructions", "verdicts": "verdicts on the programs of objects",
            "run": "run programs of objects on packets", "qdisc": "play packets through a qdisc, step by step"}


def main() -> None:
    """Run one of the commands."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, what in COMMANDS.items():
        module = import_module("tests.oracle." + _module(name))
        module.add(subparsers.add_parser(name, help=what, description=module.__doc__,
                                         formatter_class=argparse.RawDescriptionHelpFormatter))
    args = parser.parse_args()
    import_module("tests.oracle." + _module(args.command)).run(args)


def _module(command: str) -> str:
    return command if command in ("setup", "compare") else f"ask_{command}"


if __name__ == "__main__":
    main()
