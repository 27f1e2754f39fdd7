"""The syntax of filters, after the kind's name.

Sources: tc-u32(8), tc-flower(8), tc-basic(8), tc-ematch(8), tc-bpf(8) and so on of iproute2.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.sched.tc.actions import action_rules
from ebpfvm.sched.tc.ematch import META, SIZES, Cmp, EmU32, Group, Joined, Meta, MetaValue, Not
from ebpfvm.sched.tc.grammar import Command, check_kind
from ebpfvm.sched.tc.lexer import ScriptError, split_parentheses
from ebpfvm.sched.tc.lr import TcGrammar, append, first, listing, option, option_rules
from ebpfvm.sched.tc.u32_tables import Key
from ebpfvm.sched.tc.word_kinds import VALUES

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.tc.lr import Rule


def _common_rules() -> list[Rule]:
    """Return the rules that all classifiers share: a class and actions."""
    return [("class : 'classid~' CLASSID", option("classid", "CLASSID")),
            ("class : 'flowid' CLASSID", lambda _, value: ("classid", value)), *action_rules()]


# ---- u32 ----------------------------------------------------------------------------------------------------

def key_of(size: int, value: int, mask: int, at: tuple[int, bool]) -> Key:
    """Return a comparison of 1, 2 or 4 bytes as one of the word that contains them.

    >>> key_of(1, 6, 0xff, (9, False))
    Key(value=393216, mask=16711680, off=8, nexthdr=False)
    """
    off, nexthdr = at
    shift = 8 * (4 - size - (off & 3)) if size < 4 else 0
    if shift < 0 or (size == 4 and off & 3) or (size == 2 and off & 1):
        raise UsageError(f"offset {off} does not suit a match of {size} bytes: u32 compares aligned words")
    full = (1 << 8 * size) - 1
    if value > full or mask > full:
        raise UsageError(f"{max(value, mask):#x} does not fit in {size} bytes")
    return Key((value & mask) << shift, mask << shift, off & ~3 if size < 4 else off, nexthdr)


def _prefix_keys(off: int, bits: int) -> Callable[[str, tuple[int, int, int]], list[Key]]:
    def keys(_: str, prefix: tuple[int, int, int]) -> list[Key]:
        value, mask, have = prefix
        if have != bits:
            raise UsageError(f"an IPv{4 if bits == 32 else 6} address is expected here")
        words = [(value >> shift & U32_MAX, mask >> shift & U32_MAX) for shift in range(bits - 32, -1, -32)]
        # Of IPv6, words that do not count are left out.
        return [Key(val, msk, off + 4 * n) for n, (val, msk) in enumerate(words) if msk or bits == 32]
    return keys


_IP_FIELDS: Final = {"tos": (1, 1), "dsfield": (1, 1), "precedence": (1, 1), "ihl": (1, 0), "protocol": (1, 9),
                     "icmp_type": (1, 20), "icmp_code": (1, 21), "sport": (2, 20), "dport": (2, 22)}
_IP_FLAGS: Final = {"nofrag": (0, 0x3FFF), "firstfrag": (0x2000, 0x3FFF), "df": (0x4000, 0x4000),
                    "mf": (0x2000, 0x2000)}
_IP6_FIELDS: Final = {"protocol": (1, 6), "icmp_type": (1, 40), "icmp_code": (1, 41), "sport": (2, 40),
                      "dport": (2, 42), "flowlabel": (4, 0)}
_PORT_FIELDS: Final = {"src": (2, 0), "dst": (2, 2)}
_ICMP_FIELDS: Final = {"type": (1, 0), "code": (1, 1)}


def _field(size: int, off: int, nexthdr: bool = False) -> Callable[[str, int, int], list[Key]]:
    return lambda _, value, mask: [key_of(size, value, mask, (off, nexthdr))]


def _u32_match_rules() -> list[Rule]:
    rules: list[Rule] = [("where :", lambda: (0, False)), ("where : 'at' U32OFFSET", lambda _, at: at),
                         ("ip6 : 'priority' U8 HEX8",
                          lambda _, value, mask: [Key((value & mask) << 20, mask << 20, 0)])]
    for word, size in SIZES.items():
        rules.append((f"match : '{word}' NUMBER HEX32 where",
                      lambda _, value, mask, at, size=size: [key_of(size, value, mask, at)]))
    for header, fields, off, bits in (("ip", _IP_FIELDS, 12, 32), ("ip6", _IP6_FIELDS, 8, 128)):
        step = bits // 8
        rules += [(f"match : '{header}' {header}", lambda _, keys: keys),
                  (f"{header} : 'src' PREFIX", _prefix_keys(off, bits)),
                  (f"{header} : 'dst' PREFIX", _prefix_keys(off + step, bits))]
        rules += [(f"{header} : '{word}' NUMBER HEX32", _field(size, at)) for word, (size, at) in fields.items()]
    rules += [(f"ip : '{word}'", lambda word: [key_of(2, *_IP_FLAGS[word], (6, False))]) for word in _IP_FLAGS]
    for header, fields in (("tcp", _PORT_FIELDS), ("udp", _PORT_FIELDS), ("icmp", _ICMP_FIELDS)):
        rules.append((f"match : '{header}' {header}", lambda _, keys: keys))
        rules += [(f"{header} : '{word}' NUMBER HEX32", _field(size, at, True)) for word, (size, at) in fields.items()]
    return [*rules, ("match : 'ether' 'src' MAC", lambda _, __, mac: _mac_keys(mac.value, mac.mask, -8)),
            ("match : 'ether' 'dst' MAC", lambda _, __, mac: _mac_keys(mac.value, mac.mask, -14)),
            ("match : 'mark' NUMBER HEX32", lambda _, value, mask: (value & mask, mask))]


def _mac_keys(value: int, mask: int, off: int) -> list[Key]:
    return [key_of(2, value >> shift & 0xFFFF, mask >> shift & 0xFFFF, (off + n, False))
            for n, shift in ((0, 32), (2, 16), (4, 0))]


_SKIP: Final = {"skip_hw": "", "skip_sw": ""}


def _u32_rules() -> list[Rule]:
    return [*_mixed_rules(), ("option : 'match~' match", option("match", "match")),
            *option_rules("option", {"divisor~": "NUMBER", "order~": "U32NODE", "link~": "U32HANDLE",
                                     "ht~": "U32HANDLE", "indev": "DEVICE", **_SKIP}),
            ("option : 'sample~' match", option("sample", "match")),
            ("option : 'hashkey~' 'mask' HEX32 'at' OFFSET", lambda _, __, mask, ___, at: ("hashkey", (mask, at))),
            ("option : 'offset~' parts", lambda _, parts: ("offset", dict(parts))),
            ("parts : part", lambda part: [part]), ("parts : parts part", append),
            *option_rules("part", {"plus": "U8", "at": "OFFSET", "mask": "HEX16", "shift": "U8", "eat": ""}),
            *_u32_match_rules()]


# ---- the others ---------------------------------------------------------------------------------------------

_FLOWER: Final = {
    "indev": "DEVICE", "vlan_id": "VLANID", "vlan_prio": "PRIO3", "vlan_ethtype": "ETHERTYPE", "cvlan_id": "VLANID",
    "cvlan_prio": "PRIO3", "cvlan_ethtype": "ETHERTYPE", "dst_mac": "MAC", "src_mac": "MAC", "eth_type": "ETHERTYPE",
    "ip_proto": "IPPROTO", "ip_tos": "MASKED8", "ip_ttl": "MASKED8", "ip_flags": "IPFLAGS", "dst_ip": "PREFIX",
    "src_ip": "PREFIX", "dst_port": "PORTS", "src_port": "PORTS", "tcp_flags": "MASKED12", "type": "MASKED8",
    "code": "MASKED8", "skip_hw": "", "skip_sw": "",
}


def _ematch_rules() -> list[Rule]:
    rules: list[Rule] = [
        ("expr : match", first), ("expr : match 'and' expr", Joined), ("expr : match 'or' expr", Joined),
        ("expr : match 'AND' expr", lambda a, _, b: Joined(a, "and", b)),
        ("expr : match 'OR' expr", lambda a, _, b: Joined(a, "or", b)),
        ("match : 'not' match", lambda _, match: Not(match)), ("match : 'NOT' match", lambda _, match: Not(match)),
        ("match : '(' expr ')'", lambda _, expr, __: Group(expr)),
        ("match : 'cmp' '(' align 'at' OFFSET cmp_options operator NUMBER ')'",
         lambda _, __, align, ___, at, items, operator, value, ____: Cmp(align, at, operator, value, **dict(items))),
        *((f"align : '{word}'", first) for word in SIZES),
        *((f"operator : '{word}'", first) for word in ("eq", "lt", "gt")),
        *listing("cmp_options", "cmp_option"),
        *option_rules("cmp_option", {"layer": "LAYER", "mask": "NUMBER", "trans": ""}),
        ("match : 'u32' '(' align NUMBER NUMBER 'at' U32OFFSET ')'",
         lambda _, __, align, value, mask, ___, at, ____: _em_u32(SIZES[align], value, mask, at)),
        ("match : 'meta' '(' meta operator meta ')'",
         lambda _, __, left, operator, right, ___: Meta(left, operator, right)),
        ("meta : INTEGER", lambda value: MetaValue("", value)),
        ("meta : meta_name meta_options", lambda name, items: MetaValue(name, 0, **dict(items))),
        *listing("meta_options", "meta_option"), *option_rules("meta_option", {"shift": "U8", "mask": "NUMBER"})]
    return [*rules, *((f"meta_name : '{word}'", first) for word in META)]


def _em_u32(size: int, value: int, mask: int, at: tuple[int, bool]) -> EmU32:
    key = key_of(size, value, mask, at)
    return EmU32(key.value, key.mask, key.off, key.nexthdr)


_BPF_OPTIONS: Final = {"obj": "FILE", "obj=object": "FILE", "obj=object-file": "FILE", "section": "TEXT",
                       "section=sec": "TEXT", "direct-action": "", "direct-action=da": "", **_SKIP}


def _mixed_rules() -> list[Rule]:
    """Return rules for options, class and actions in any order."""
    return [*listing("options", "option"), ("option : class", first), ("option : act", first), *_common_rules()]


def _bpf_rules() -> list[Rule]:
    """Return rules with own options before actions, because a `bpf` action has the same words."""
    return [("options : head", first), ("options : acted", first), *listing("head", "own"), ("own : class", first),
            ("acted : head act", append), ("acted : acted act", append), ("acted : acted class", append),
            *option_rules("own", _BPF_OPTIONS), *_common_rules()]


def _filter_rules(kind: str) -> list[Rule]:
    if kind == "u32":
        return _u32_rules()
    if kind == "bpf":
        return _bpf_rules()
    options = {"flower": _FLOWER, "matchall": _SKIP, "basic": {}, "fw": {"indev": "DEVICE"}}[kind]
    rules = [*_mixed_rules(), *option_rules("option", options)]
    if kind == "basic":
        rules += [("option : 'match' expr", option("match", "expr")), *_ematch_rules()]
    return rules


FILTER_KINDS: Final = ("basic", "bpf", "flower", "fw", "matchall", "u32")
FILTER_ARGS: Final = ("dev", "root", "ingress", "egress", "parent", "block", "chain", "protocol", "prio", "handle")


@cache
def filter_grammar(kind: str) -> TcGrammar:
    """Return the grammar of the options of a kind of filter, one of `FILTER_KINDS`."""
    return TcGrammar(_filter_rules(kind), VALUES)


def filter_options(command: Command, source: str = "") -> list[tuple[str, Any]]:
    """Return the options of a filter command, in order, because some may be repeated.

    Raises:
        ScriptError: as for `ebpfvm.sched.tc.grammar.parse_script`, also for an unknown kind.
    """
    check_kind(command, FILTER_KINDS, FILTER_ARGS, source)
    words = split_parentheses(command.options) if command.kind == "basic" else command.options
    try:
        found: list[tuple[str, Any]] = filter_grammar(command.kind).parse(words, command.kind_at, source)
    except ScriptError:
        raise
    except UsageError as error:
        raise ScriptError(str(error), command.kind_at, source) from error
    return found


def filter_handle(command: Command, source: str = "") -> tuple[int, int]:
    """Return the handle that a command names, and its mask (fw only; otherwise all ones); 0 without a handle.

    Raises:
        ScriptError: the handle is malformed.
    """
    text = command.args.get("handle")
    if text is None:
        return 0, U32_MAX
    try:
        if command.kind == "u32" or (not command.kind and ":" in text):
            return VALUES["U32HANDLE"].convert(text), U32_MAX
        value, slash, mask = text.partition("/")
        convert = VALUES["NUMBER"].convert
        return convert(value), convert(mask) if slash and command.kind == "fw" else U32_MAX
    except (ValueError, UsageError) as error:
        expected = VALUES["U32HANDLE"].expected if command.kind == "u32" else "a number, of fw with /MASK"
        raise ScriptError(f"handle {text!r}: expected {expected}", command.at, source) from error
