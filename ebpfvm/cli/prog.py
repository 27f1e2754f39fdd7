"""`ebpfvm prog run`: run one program on one packet, as `bpftool prog run` does."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.cli import helptext, output
from ebpfvm.cli.selection import add_kernel_options, needs_type, one_program, read_input, split_name, split_type
from ebpfvm.errors import UsageError
from ebpfvm.escape import escape
from ebpfvm.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ebpfvm.loader.object import MapSpec, Object, Program

SCHEMA = "ebpfvm.prog-run/1"

_WORDS: Final = ("data_in", "data_out", "data_size_out", "ctx_in", "ctx_out", "ctx_size_out", "repeat")
_DUMP_LIMIT: Final = 1 << 20  # bytes printed of a map, because an object may declare 2^32 entries
_HELP = """`ebpfvm prog run OBJECT[:PROGRAM] [data_in FILE] [data_out FILE] [ctx_in FILE] [ctx_out FILE] [repeat N]`

Verify a program and run it on one packet, as BPF_PROG_TEST_RUN of bpf(2) does.
The words are those of bpftool. FILE holds raw bytes; - reads standard input, or
writes a hexadecimal dump to standard output. Without data_in, the packet is a
UDP datagram. TIME is written as in tc(8): 10ms. Supported program types are sched_cls,
sched_act, socket_filter, cgroup_skb, lwt_*, xdp, flow_dissector, sk_lookup,
syscall, raw_tracepoint, and the enqueue and dequeue programs of a queueing
discipline of the RFC. Linux has no test run for struct_ops programs; use
`ebpfvm run` for a mainline qdisc.
"""
_EXAMPLES = helptext.examples(
    "ebpfvm prog run samples/tc/dscp.o --ctx mark=1 repeat 10",
    "ebpfvm prog run samples/rfc/pfifo.o:pfifo_enqueue --json",
    "echo 'r0 = *(u32 *)(r1 + 0); exit' | ebpfvm asm - | ebpfvm prog run - --raw --type tc data_out -")


def add(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = helptext.declare(subparsers, "prog", brief="run one program on one packet, as bpftool prog run does",
                              description=_HELP, epilog=_EXAMPLES)
    parser.add_argument("action", choices=("run",), help="run the program; there is no other action")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="...",
                        help="program, words and options; `ebpfvm prog run --help` lists them")


def _parser() -> argparse.ArgumentParser:
    parser = output.Parser(prog="ebpfvm prog run", description=_HELP, epilog=_EXAMPLES,
                           formatter_class=output.HelpFormatter)
    parser.add_argument("object", metavar="OBJECT[:PROGRAM]",
                        help="eBPF object and a program in it (default: its only one)")
    parser.add_argument("words", metavar="WORD VALUE", nargs="*", help=" ".join(f"[{word} X]" for word in _WORDS))
    for word in _WORDS:
        parser.add_argument("--" + word.replace("_", "-"), metavar="X", dest="opt_" + word, help=argparse.SUPPRESS)
    parser.add_argument("--ctx", metavar="FIELD=VALUE", action="append", default=[],
                        help="set a field of the context, as in mark=1 or cb=1,2,3,4,5; may be repeated")
    parser.add_argument("--raw", action="store_true",
                        help="read OBJECT as bare instructions, bytes or hexadecimal text, instead of an ELF file")
    parser.add_argument("--type", metavar="TYPE", help=helptext.TYPE + "; required with --raw")
    parser.add_argument("--map", metavar="TYPE:KEY:VALUE:ENTRIES[:NAME]", action="append", default=[], dest="maps",
                        help="with --raw, create a map with keys of KEY bytes and values of VALUE bytes; the first one "
                             "gets index 0; may be repeated")
    parser.add_argument("--set", metavar="MAP:KEY=VALUE", action="append", default=[], dest="items",
                        help="set an entry of a map, given by index or name, before the run; KEY and VALUE are "
                             "hexadecimal; may be repeated")
    parser.add_argument("--engine", choices=("interp", "translate"), help=helptext.ENGINE)
    parser.add_argument("--kernel", metavar="VERSION", help=helptext.KERNEL)
    parser.add_argument("--clock", metavar="TIME", help="time since boot at which the run starts (default: 1s)")
    parser.add_argument("--wait", metavar="TIME",
                        help="let TIME pass after the run while timers fire (default: until each armed timer has fired "
                             "once)")
    add_kernel_options(parser)
    parser.add_argument("--unverified", action="store_true", help=helptext.UNVERIFIED)
    parser.add_argument("--strict", action="store_true", help="fail where Linux would fail, instead of warning")
    parser.add_argument("--json", action="store_true", help=helptext.JSON)
    parser.add_argument("--trace", action="store_true",
                        help="print each instruction and what it changed on standard error (in the interpreter)")
    output.add_limit(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    parser = _parser()
    options = parser.parse_intermixed_args(args.rest)
    args.json = options.json  # so that errors are JSON as well
    _read_words(options)
    source, program = _program(options)
    program = _prepared(program, options)
    result, seconds = _run(source, program, options)
    for warning in result.warnings:
        output.say(f"warning: {warning}")
    if options.strict and result.warnings:
        raise UsageError("--strict: " + result.warnings[0])
    _write(options, program, result, seconds)
    return output.GOOD


def _read_words(options: argparse.Namespace) -> None:
    """Store bpftool's `word value` pairs as attributes of `options`, along with the options of the same names."""
    for word in _WORDS:
        setattr(options, word, getattr(options, "opt_" + word))
    words = options.words
    for word, value in zip(words[::2], [*words[1::2], None][:(len(words) + 1) // 2], strict=True):
        if word not in _WORDS:
            raise UsageError(f"unknown word {word!r}; expected one of {', '.join(_WORDS)}")
        if value is None:
            raise UsageError(f"{word}: the value is missing; write {word} VALUE")
        setattr(options, word, value)
    for word in ("repeat", "data_size_out", "ctx_size_out"):
        value = getattr(options, word)
        if value is not None and not (value.isdecimal() and int(value) < 1 << 31):
            raise UsageError(f"{word}: expected a number, found {value!r}")
        setattr(options, word, int(value) if value is not None else None)


def _program(options: argparse.Namespace) -> tuple[Object | None, Program]:
    """Return the object, None with --raw, and the program that the command names."""
    from ebpfvm.loader.object import Program
    if not options.raw:
        if options.maps:
            raise UsageError("--map: only valid with --raw, because an object defines its own maps; remove --map")
        return one_program(options)
    type_, attach = split_type(options.type)
    if not type_:
        raise UsageError("--raw: the program type is missing; add --type TYPE, as in --type tc, xdp or socket_filter")
    from ebpfvm.cli.dis import raw_program
    code = b"".join(insn.encode() for insn in raw_program(options.object))
    return None, Program.from_bytes(code, type_, [parse_map(text) for text in options.maps], attach=attach)


def _prepared(program: Program, options: argparse.Namespace) -> Program:
    """Return the program prepared for the requested kernel, so that the same one is verified and run."""
    from ebpfvm.api import dialect_of
    from ebpfvm.loading import prepare
    needs_type(program)
    if program.type == "struct_ops":
        path, _ = split_name(options.object)
        raise UsageError(f"{program.name}: Linux has no test run for struct_ops programs (EOPNOTSUPP), and neither has "
                         f"ebpfvm; `ebpfvm run {path} --flows cbr:rate=1mbit,packets=1 --trace` sends a packet through "
                         "the qdisc that they are")
    dialect = dialect_of(program, options.kernel, options.btf)
    dialect.prog_type(program.type)
    prepared = prepare(program, dialect)
    for note in prepared.notes:
        output.say(f"note: {note}")
    return prepared


def parse_map(text: str) -> MapSpec:
    """Return the map that `TYPE:KEY:VALUE:ENTRIES[:NAME]` describes, with sizes in bytes, as in "array:4:48:4".

    Raises:
        UsageError: the text has another form.
    """
    from ebpfvm.loader.object import MapSpec
    parts = text.split(":")
    try:
        key, value, entries = (int(part, 0) for part in parts[1:4])
    except ValueError:
        raise UsageError(f"--map {text}: expected TYPE:KEY:VALUE:ENTRIES[:NAME], as in array:4:48:4") from None
    if len(parts) > 5 or not parts[0] or not all(0 <= number < 1 << 32 for number in (key, value, entries)):
        raise UsageError(f"--map {text}: expected TYPE:KEY:VALUE:ENTRIES[:NAME], as in array:4:48:4")
    kind = int(parts[0]) if parts[0].isdecimal() else parts[0]
    return MapSpec(type=kind, key_size=key, value_size=value, max_entries=entries, name=[*parts, ""][4])


def _run(source: Object | None, program: Program, options: argparse.Namespace) -> tuple[Any, float]:
    from time import perf_counter

    from ebpfvm.api import dialect_of
    from ebpfvm.errors import Rejected
    from ebpfvm.testrun import test_run
    from ebpfvm.verifier import verify
    dialect, limits = dialect_of(program), Limits.parse(options.limit)
    for spec in program.maps:
        dialect.map_type(spec.type)
    if not options.unverified:
        verdict = verify(program, dialect, limits=limits)
        if not verdict.ok:
            raise Rejected(verdict)
    data = read_input(options.data_in) if options.data_in is not None else _made_up()
    ctx: Any = read_input(options.ctx_in) if options.ctx_in is not None else {}
    if options.ctx:
        if ctx:
            raise UsageError("ctx_in and --ctx cannot be used together; remove one of them")
        ctx = dict(_assignment(text) for text in options.ctx)
    if options.trace and options.engine == "translate":
        raise UsageError("--trace: only the interpreter can be observed; remove --engine translate")
    engine = "interp" if options.unverified or options.trace else options.engine or _fastest()
    begin = perf_counter()
    with _traced(options.trace, limits) as hooks:
        result = test_run(program, data, ctx, _items(program, options.items), engine=engine,
                          repeat=options.repeat or 1, source=source, limits=limits,
                          unverified=options.unverified, **hooks, **_times(options))
    return result, perf_counter() - begin


@contextlib.contextmanager
def _traced(wanted: bool, limits: Limits) -> Iterator[dict[str, Any]]:
    """Print what is executed inside, also if it ends in a fault; yield the options of `test_run` that observe it."""
    if not wanted:
        yield {}
        return
    from ebpfvm.debugger.panes import executed
    from ebpfvm.debugger.recording import StepRecorder
    recorder = StepRecorder(limits)
    try:
        yield {"hooks": recorder}
    finally:
        for line in executed(recorder.recording):
            output.say(line)


def _times(options: argparse.Namespace) -> dict[str, Any]:
    """Return the clock and the waiting time in ns, if they are given."""
    from ebpfvm.sched.units import parse_time
    given = {"clock": options.clock, "wait": options.wait}
    return {name: parse_time(text) for name, text in given.items() if text is not None}


def _fastest() -> str:
    from ebpfvm import engine
    return "translate" if hasattr(engine, "Translator") else "interp"


def _made_up() -> bytes:
    """Return the packet for runs without data_in: UDP over IPv4 over Ethernet."""
    from ebpfvm.sched.packet import build
    return build()


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    try:
        numbers = [int(part, 0) for part in value.split(",")]
    except ValueError:
        equals = ""
    if not equals or not name or (len(numbers) > 1 and name != "cb"):
        raise UsageError(f"--ctx {text}: expected FIELD=NUMBER, as in mark=1 or cb=1,2,3,4,5")
    return name, numbers if name == "cb" else numbers[0]


def _items(program: Program, texts: list[str]) -> dict[int | str, Mapping[bytes, bytes]]:
    found: dict[int | str, dict[bytes, bytes]] = {}
    names = {spec.name: index for index, spec in enumerate(program.maps) if spec.name}
    for text in texts:
        where, _, item = text.partition(":")
        key, equals, value = item.partition("=")
        index = names.get(where, int(where) if where.isdecimal() else -1)
        if not equals or index < 0:
            raise UsageError(f"--set {text}: expected MAP:KEY=VALUE in hexadecimal, as in 0:01000000=ff; maps: "
                             + (", ".join(names) or "none with a name"))
        try:
            found.setdefault(index, {})[bytes.fromhex(key)] = bytes.fromhex(value)
        except ValueError:
            raise UsageError(f"--set {text}: expected key and value in hexadecimal, as in 0:01000000=ff") from None
    return dict(found)


def _write(options: argparse.Namespace, program: Program, result: Any, seconds: float) -> None:
    from ebpfvm.testrun import pack_ctx
    data = result.data[:options.data_size_out] if options.data_size_out is not None else result.data
    given = read_input(options.ctx_in) if options.ctx_in not in (None, "-") else b""
    ctx = pack_ctx(program, result.ctx, given)[:options.ctx_size_out]
    average = round(seconds * 1e9 / (options.repeat or 1))
    if options.json:
        output.put_json({"schema": SCHEMA, "ok": True, "retval": result.retval, "duration": average,
                         "data": result.data, "ctx": dict(result.ctx), "trace": list(result.trace),
                         "warnings": list(result.warnings), "maps": _maps(program, result)})
    for where, what, name in ((options.data_out, data, "data"), (options.ctx_out, ctx, "context")):
        if where is not None:
            _put_bytes(where, what, name, options.json)
    for line in result.trace:
        output.say(f"printk: {escape(line)}")
    if not options.json:
        print(f"Return value: {result.retval}, duration (average): {average}ns")


def _maps(program: Program, result: Any) -> list[dict[str, Any]]:
    found = []
    for index, content in result.maps.items():
        items: list[list[bytes]] = []
        left = _DUMP_LIMIT
        for key, value in content.items():
            left -= len(key) + len(value)
            if left < 0:
                output.say(f"warning: map {index}: too large to print whole; {len(items)} entries shown")
                break
            items.append([key, value])
        records = content.records()
        found.append({"name": program.maps[index].name, "items": items}
                     | ({"records": [{"cpu": cpu, "data": data} for cpu, data in records]} if records else {}))
    return found


def _put_bytes(path: str, data: bytes, name: str, quiet: bool) -> None:
    if path == "-":
        if not quiet:
            print(f"{name}:")
            for at in range(0, len(data), 16):
                print(f"{at:07x} {data[at:at + 16].hex(' ', 1)}")
        return
    try:
        Path(path).write_bytes(data)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error
