"""The syntax of the u32 classifier (tc-u32(8)): what `match` compares, as words under masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import U32_MAX
from ebpfvm.sched.tc.ematch import SIZES
from ebpfvm.sched.tc.filter_kind import SKIP, mixed_rules
from ebpfvm.sched.tc.lr import append, option, option_rules
from ebpfvm.sched.tc.u32_tables import Key

if TYPE_CHECKING:
    from collections.abc import Callable

    from ebpfvm.sched.tc.lr import Rule


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
        # Words of an IPv6 address that the mask excludes are left out.
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


def u32_rules() -> list[Rule]:
    """Return the rules for the options."""
    return [*mixed_rules(), ("option : 'match~' match", option("match", "match")),
            *option_rules("option", {"divisor~": "NUMBER", "order~": "U32NODE", "link~": "U32HANDLE",
                                     "ht~": "U32HANDLE", "indev": "DEVICE", **SKIP}),
            ("option : 'sample~' match", option("sample", "match")),
            ("option : 'hashkey~' 'mask' HEX32 'at' OFFSET", lambda _, __, mask, ___, at: ("hashkey", (mask, at))),
            ("option : 'offset~' parts", lambda _, parts: ("offset", dict(parts))),
            ("parts : part", lambda part: [part]), ("parts : parts part", append),
            *option_rules("part", {"plus": "U8", "at": "OFFSET", "mask": "HEX16", "shift": "U8", "eat": ""}),
            *_u32_match_rules()]
