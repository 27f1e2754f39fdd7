"""A number that the kernel's headers name has its name in one module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ebpfvm import errnos, net
from tests.house.tree import modules, parsed, shown

# They talk to the machine that runs Python, whose errno values are Python's.
_HOSTS = {"ebpfvm.cli.output", "ebpfvm.testing.kload", "ebpfvm.testing.oracle"}


def _assigned(path: Path) -> Iterator[tuple[str, int]]:
    """(name, line) for each name that a module binds by an assignment."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from ((name.id, name.lineno) for name in ast.walk(target)
                            if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store))


def test_errno_names_are_bound_in_errnos_only() -> None:
    names = {f"{start}{name}" for name in errnos.NAMES.values() for start in ("", "_")}
    strays = [f"{shown(path)}:{line}: {name}" for module, path in modules().items() if module != "ebpfvm.errnos"
              for name, line in _assigned(path) if name in names]
    assert strays == []


def test_only_those_who_talk_to_the_host_use_its_errno_values() -> None:
    strays = [shown(path) for module, path in modules().items() if module not in _HOSTS
              for node in ast.walk(parsed(path))
              if (isinstance(node, ast.Import) and any(alias.name == "errno" for alias in node.names))
              or (isinstance(node, ast.ImportFrom) and node.module == "errno")
              or (isinstance(node, ast.Attribute) and node.attr == "strerror"
                  and isinstance(node.value, ast.Name) and node.value.id == "os")]
    assert strays == []


def test_refusals_name_their_errno() -> None:
    """An exception whose class has an `errno` gets a name, not a number."""
    takers = re.compile(r"Refuse|Refusal|_Refused|Unsupported|OSError|kernel_error|Verdict")
    strays = []
    for path in modules().values():
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and takers.search(ast.unparse(node.func)):
                strays += [f"{shown(path)}:{node.lineno}: {ast.unparse(arg)}" for arg in node.args[:2]
                           if isinstance(arg, ast.Constant) and type(arg.value) is int]
    assert strays == []


def test_every_errno_has_a_text_and_a_use() -> None:
    used = {node.id for module, path in modules().items() if module != "ebpfvm.errnos"
            for node in ast.walk(parsed(path)) if isinstance(node, ast.Name)}
    assert {number: errnos.describe(number) for number in errnos.NAMES
            if errnos.describe(number).startswith("Unknown")} == {errnos.ENOTSUPP: "Unknown error 524"}
    assert sorted(set(errnos.NAMES.values()) - used) == []


_LIMITS = {2**31 - 1: "S32_MAX", 2**32 - 1: "U32_MAX", 2**63 - 1: "S64_MAX", 2**64 - 1: "U64_MAX"}


def _limits(node: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) for each place that writes out a limit or a sign extension that `ebpfvm.ints` has."""
    for part in ast.walk(node):
        match part:
            case ast.Constant(value=int(value)) if value in _LIMITS:
                yield part.lineno, _LIMITS[value]
            case ast.BinOp(ast.BinOp(ast.Constant(1), ast.LShift(), ast.Constant(31 | 32 | 63 | 64 as bits)), ast.Sub(),
                           ast.Constant(1)):
                yield part.lineno, _LIMITS[(1 << bits) - 1]
            case ast.UnaryOp(ast.USub(), ast.BinOp(ast.Constant(1), ast.LShift(), ast.Constant(31 | 63 as bits))):
                yield part.lineno, f"S{bits + 1}_MIN"
            case ast.BinOp(ast.BinOp(_, ast.BitXor(), left), ast.Sub(), right) if not isinstance(
                    right, ast.Name) and ast.dump(left) == ast.dump(right):
                yield part.lineno, "signed"  # hot paths prepare mask and sign


def test_limits_of_integers_are_written_in_ints_only() -> None:
    """The verifier's domain has its own, because tests run it at other widths."""
    strays = [f"{shown(path)}:{line}: use {name} of ebpfvm.ints" for module, path in modules().items()
              if module != "ebpfvm.ints" and not module.startswith("ebpfvm.verifier.domain")
              for line, name in _limits(parsed(path))]
    assert strays == []


_ETHER_TYPES = {value for name, value in vars(net).items() if name.startswith("ETH_P_") and value > net.ETH_P_802_3_MIN}


def test_names_of_headers_are_bound_in_net_only() -> None:
    names = {f"{start}{name}" for name in vars(net) if name.isupper() for start in ("", "_")}
    strays = [f"{shown(path)}:{line}: {name}" for module, path in modules().items() if module != "ebpfvm.net"
              for name, line in _assigned(path) if name in names]
    assert strays == []


def test_ethernet_types_are_written_in_net_only() -> None:
    """A number counts if it is written as a type is, with 4 hexadecimal digits; the bytes of a frame count too."""
    raw = {value.to_bytes(2, "big") for value in _ETHER_TYPES}
    strays = []
    for module, path in modules().items():
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(parsed(path)):
            if module == "ebpfvm.net" or not isinstance(node, ast.Constant):
                continue
            text = lines[node.lineno - 1].encode()[node.col_offset:node.end_col_offset].decode()
            number = type(node.value) is int and node.value in _ETHER_TYPES and re.fullmatch("0x[0-9a-fA-F]{4}", text)
            if number or (isinstance(node.value, bytes) and node.value in raw):
                strays.append(f"{shown(path)}:{node.lineno}: {text}")
    assert strays == []


def test_the_header_of_elf_files_is_read_by_one_module() -> None:
    """No other module has the magic number, or the layout of the header."""
    strays = [f"{shown(path)}:{node.lineno}" for module, path in modules().items() for node in ast.walk(parsed(path))
              if module != "ebpfvm.loader.elf_header" and isinstance(node, ast.Constant)
              and (node.value == b"\x7fELF" or re.fullmatch("[<>=]?16s[HIQ]+", str(node.value)))]
    assert strays == []


def test_the_internals_of_ply_are_used_by_one_module() -> None:
    """Its manual describes `lex.lex`, `yacc.yacc` and the loggers; what else its modules have may change."""
    described = {"lex", "yacc", "NullLogger"}
    strays = [f"{shown(path)}:{node.lineno}: {ast.unparse(node)}" for module, path in modules().items()
              for node in ast.walk(parsed(path)) if module != "ebpfvm.sched.tc.lalr" and isinstance(node, ast.Attribute)
              and isinstance(node.value, ast.Name) and node.value.id in ("lex", "yacc") and node.attr not in described]
    assert strays == []
