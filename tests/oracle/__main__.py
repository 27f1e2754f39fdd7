"""Ask a real Linux kernel about programs. `python -m tests.oracle COMMAND --help` describes each command.

README.md in this folder describes the guest and its set-up.

examples:
  python -m tests.oracle compare --here --programs 20
  python -m tests.oracle verdicts samples/rfc/pfifo.o
"""

from __future__ import annotations

import argparse
from importlib import import_module

COMMANDS = {"setup": "download and build the guest", "compare": "compare ebpfvm's verdicts with a kernel's",
            "raw": "load and run bare instructions", "verdicts": "load the programs of objects and print the verdicts",
            "run": "run programs of objects on packets", "qdisc": "play packets through a qdisc, step by step",
            "tables": "record what the kernel offers to each kind of section"}


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with all commands."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracle", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, what in COMMANDS.items():
        module = import_module("tests.oracle." + _module(name))
        module.add(subparsers.add_parser(name, help=what, description=module.__doc__,
                                         formatter_class=argparse.RawDescriptionHelpFormatter))
    return parser


def main() -> None:
    """Run the command that the command line names."""
    args = build_parser().parse_args()
    import_module("tests.oracle." + _module(args.command)).run(args)


def _module(command: str) -> str:
    return {"setup": "setup", "compare": "compare", "tables": "record_tables"}.get(command, f"ask_{command}")


if __name__ == "__main__":
    main()
