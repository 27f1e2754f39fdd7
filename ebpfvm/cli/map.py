"""`ebpfvm map show|dump|lookup`: print a run's maps as user space reads them, in the format of `bpftool map`."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.errors import UsageError

if TYPE_CHECKING:
    from ebpfvm.maps.map_dump import Element, MapDump

_HELP: Final = """`ebpfvm map show [name NAME] run ARGUMENTS...`
`ebpfvm map dump name NAME run ARGUMENTS...`
`ebpfvm map lookup name NAME key BYTE... run ARGUMENTS...`

Run `ebpfvm run ARGUMENTS...`, then print its maps as `bpftool map` does.
A map can also be named by its number, with `id N`. A key is written as bytes:
`key 0x01 0 0 0` or `key hex 01 00 00 00`. The exit status is 2 if the map has
no such key.
"""
_EXAMPLES: Final = helptext.examples(
    "ebpfvm map show run samples/rfc/wfq.o --flows cbr:rate=9mbit,n=3",
    "ebpfvm map dump name stats run samples/rfc/wfq.o --flows cbr:rate=9mbit,n=3",
    "ebpfvm map -j lookup name counts key 2 0 0 0 run samples/rfc/pifo_prio.o --flows cbr:rate=1mbit,prio=2")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "map", brief="run a simulation and print its maps, as bpftool map does",
                              description=_HELP, epilog=_EXAMPLES)
    parser.add_argument("-j", "--json", action="store_true",
                        help="print JSON, with keys and values also formatted by their BTF types")
    parser.add_argument("action", choices=("show", "list", "dump", "lookup"),
                        help="list the maps, print all elements of one, or print one element; list is show")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="the other words of the forms above")


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from ebpfvm.cli import run as run_command
    words, arguments = _split(args.rest)
    which, key = _words(args.action, words)
    result = run_command.execute(_run_parser().parse_args(["run", *arguments, "--dump-maps"]))
    found = _chosen(result.maps or (), which)
    if args.action in ("show", "list"):
        _show(found, args.json)
    elif args.action == "dump":
        _dump(found[0], args.json)
    elif not _lookup(found[0], key, args.json):
        return output.USAGE
    return run_command.balance(result)


def _run_parser() -> argparse.ArgumentParser:
    from ebpfvm.cli import run as run_command
    parser = output.Parser(prog="ebpfvm map ...")
    run_command.add(parser.add_subparsers())
    return parser


def _split(rest: list[str]) -> tuple[list[str], list[str]]:
    if "run" not in rest:
        raise UsageError("map: 'run ARGUMENTS...' is missing; add the simulation whose maps are to be printed")
    at = rest.index("run")
    return rest[:at], rest[at + 1:]


def _words(action: str, words: list[str]) -> tuple[str, bytes]:
    """Return the name or id of the requested map ("" for all) and the key."""
    which, key = "", b""
    if words[:1] and words[0] in ("name", "id") and len(words) > 1:
        which, words = words[1], words[2:]
    elif action not in ("show", "list"):
        raise UsageError(f"map {action}: 'name NAME' or 'id N' is missing; `ebpfvm map show run ...` lists the maps")
    if action == "lookup":
        if words[:1] != ["key"] or len(words) < 2:
            raise UsageError("map lookup: 'key BYTE...' is missing; for instance: key 0x01 0 0 0")
        key, words = _key(words[1:]), []
    if words:
        raise UsageError(f"map {action}: unknown word {words[0]!r}")
    return which, key


def _key(words: list[str]) -> bytes:
    base = 0
    if words[0] == "hex":
        base, words = 16, words[1:]
    try:
        return bytes(int(word, base) for word in words)
    except ValueError:
        raise UsageError(f"key {' '.join(words)}: expected bytes, as in 0x01 0 0 0 or hex 01 00 00 00") from None


def _chosen(maps: tuple[MapDump, ...], which: str) -> list[MapDump]:
    found = [item for item in maps if which in ("", item.name, str(item.id))]
    if not found and which:
        raise UsageError(f"no map {which!r}; there are: {', '.join(item.name for item in maps) or 'none'}")
    return found


def _print_json(data: Any) -> None:
    print(json.dumps(data, separators=(",", ":")))


def _show(found: list[MapDump], as_json: bool) -> None:
    if as_json:
        _print_json([{key: value for key, value in item.as_dict().items() if key not in ("elements", "error")}
                     for item in found])
        return
    for item in found:
        output.put("\n".join(item.head()))


def _dump(found: MapDump, as_json: bool) -> None:
    if as_json:
        _print_json(found.as_dict()["elements" if found.records is None else "records"])
        return
    output.put("\n".join(found.body()))


def _lookup(found: MapDump, key: bytes, as_json: bool) -> bool:
    if len(key) != found.key_size:
        raise UsageError(f"map {found.name!r} has keys of {found.key_size} bytes, not {len(key)}")
    element: Element | None = next((item for item in found.elements if item.key == key), None)
    if as_json:
        _print_json(element.as_dict() if element is not None else None)
    elif element is None:
        output.put(f"key:\n{key.hex(' ')}\n\nNot found")
    else:
        output.put("\n".join(element.lines()))
    return element is not None
