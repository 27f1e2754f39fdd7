"""What an object says of its own programs in BTF declaration tags, as Linux's tests do.

A tag is `comment:KEY`, `comment:KEY=VALUE`, or, so that equal tags stay apart, `comment:NUMBER:KEY=VALUE` or
`comment:KEY=NUMBER=VALUE`. Tags with numbers are read in the order of the numbers, others in the order of the source.
`ebpfvm/testing/include/bpf_expect.h` has a macro for each; docs/howto/expectations.md explains them.
"""

from __future__ import annotations

import ast
import operator
import re
from typing import TYPE_CHECKING, Any, Final

from ebpfvm.errors import UsageError
from ebpfvm.ints import S32_MAX, S32_MIN
from ebpfvm.lazy_dataclasses import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX: Final = "comment:"
POINTER_VALUE: Final = 0xBADCAFE
"""A return value that stands for any: an address."""
FLAGS: Final = {"BPF_F_STRICT_ALIGNMENT": 1, "BPF_F_ANY_ALIGNMENT": 2, "BPF_F_TEST_RND_HI32": 4,
                "BPF_F_TEST_STATE_FREQ": 8, "BPF_F_SLEEPABLE": 0x10, "BPF_F_XDP_HAS_FRAGS": 0x20,
                "BPF_F_XDP_DEV_BOUND_ONLY": 0x40, "BPF_F_TEST_REG_INVARIANTS": 0x80}
_NAMES: Final = FLAGS | {
    "INT_MIN": S32_MIN, "INT_MAX": S32_MAX, "POINTER_VALUE": POINTER_VALUE, "TEST_DATA_LEN": 64,
    "XDP_ABORTED": 0, "XDP_DROP": 1, "XDP_PASS": 2, "XDP_TX": 3, "XDP_REDIRECT": 4, "TC_ACT_UNSPEC": -1,
    "TC_ACT_OK": 0, "TC_ACT_RECLASSIFY": 1, "TC_ACT_SHOT": 2, "TC_ACT_PIPE": 3, "TC_ACT_STOLEN": 4,
    "TC_ACT_QUEUED": 5, "TC_ACT_REPEAT": 6, "TC_ACT_REDIRECT": 7, "TC_ACT_TRAP": 8, "TCX_NEXT": -1, "TCX_PASS": 0,
    "TCX_DROP": 2, "TCX_REDIRECT": 7, "SK_DROP": 0, "SK_PASS": 1, "NF_DROP": 0, "NF_ACCEPT": 1}
_CAPS: Final = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}
_NUMBERED: Final = re.compile(r"(\d+):(.*)", re.DOTALL)
_COUNTED: Final = re.compile(r"(\d+)=(.*)", re.DOTALL)
_SUFFIX: Final = re.compile(r"\b(0[xX][0-9a-fA-F]+|\d+)[uUlL]+\b")
_OPERATIONS: Final[dict[type[ast.AST], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_, ast.BitXor: operator.xor, ast.LShift: operator.lshift, ast.RShift: operator.rshift,
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert}
# Key -> the list of `Wanted` that its texts go to.
_TEXT_KEYS: Final = {"test_expect_msg": "messages", "test_expect_not_msg": "messages", "test_expect_regex": "messages",
                 "test_expect_xlated": "xlated", "test_jited": "jited", "test_expect_stderr": "stderr",
                 "test_expect_stdout": "stdout"}
_UNPRIV: Final = "_unpriv"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A text to be found: literal, with regular expressions between `{{` and `}}`.

    Attributes:
        text: as in the tag.
        absent: whether it must not be found between the texts before and after it.
        regex: whether all of it is a regular expression.
    """

    text: str
    absent: bool = False
    regex: bool = False


@dataclass(slots=True)
class Wanted:
    """What is expected of a load with or without privileges.

    Attributes:
        failure: whether the program is to be rejected; None if no tag says so, which means accepted.
        messages, xlated, jited, stderr, stdout: texts, in order.
        retval: result of a test run, None for no run.
    """

    failure: bool | None = None
    messages: list[Pattern] = field(default_factory=list)
    xlated: list[Pattern] = field(default_factory=list)
    jited: list[Pattern] = field(default_factory=list)
    stderr: list[Pattern] = field(default_factory=list)
    stdout: list[Pattern] = field(default_factory=list)
    retval: int | None = None

    def completed(self, other: Wanted) -> Wanted:
        """Return the same, with what no tag says taken from `other`, as unprivileged loads take it."""
        return Wanted(other.failure if self.failure is None else self.failure, self.messages or other.messages,
                      self.xlated or other.xlated, self.jited or other.jited, self.stderr or other.stderr,
                      self.stdout or other.stdout, other.retval if self.retval is None else self.retval)


@dataclass(slots=True)
class Expectation:
    """What the tags of one program say.

    Attributes:
        tagged: whether there are any.
        description: name of the test, "" for the program's.
        privileged, unprivileged: what is expected; None if that load is no test.
        auxiliary: the modes in which the program is loaded beside the others, as "priv" and "unpriv"; it is no test.
        log_level: level of the log, 0 for the default.
        flags, cleared: load flags to set and to clear.
        archs: architectures that the test is for; all if empty.
        load_modes: "jited", "no_jited"; both if empty.
        caps: names of the capabilities that an unprivileged load keeps.
        btf_path: file with the kernel's types for CO-RE, "" for the default.
        linear_size: bytes of the packet that are linear in the test run, None for all.
        problems: tags that cannot be read, or that are not known.
    """

    tagged: bool = False
    description: str = ""
    privileged: Wanted | None = None
    unprivileged: Wanted | None = None
    auxiliary: set[str] = field(default_factory=set)
    log_level: int = 0
    flags: int = 0
    cleared: int = 0
    archs: set[str] = field(default_factory=set)
    load_modes: set[str] = field(default_factory=set)
    caps: set[str] = field(default_factory=set)
    btf_path: str = ""
    linear_size: int | None = None
    problems: list[str] = field(default_factory=list)


def expectation(tags: Iterable[str]) -> Expectation:
    """Return what the declaration tags of a program, in BTF order, say of it; only comments are read."""
    said = Expectation()
    for key, value in _in_order(tags):
        said.tagged = True
        base = key.removesuffix(_UNPRIV)
        try:
            if base in _TEXT_KEYS:
                texts: list[Pattern] = getattr(_wanted(said, key), _TEXT_KEYS[base])
                texts.append(Pattern(value, base == "test_expect_not_msg", base == "test_expect_regex"))
            else:
                _read(said, key, value)
        except UsageError as error:
            said.problems.append(f"tag {key}{f'={value}' if value else ''}: {error}")
    return _completed(said)


def _in_order(tags: Iterable[str]) -> list[tuple[str, str]]:
    """Return keys and values; those with numbers in the order of the numbers, after those without."""
    found: list[tuple[int, str, str]] = []
    for tag in tags:
        if not tag.startswith(PREFIX):
            continue
        text = tag.removeprefix(PREFIX)
        before = _NUMBERED.fullmatch(text)
        key, _, value = (before[2] if before else text).partition("=")
        inside = _COUNTED.fullmatch(value) if not before and key.removesuffix(_UNPRIV) in _TEXT_KEYS else None
        found.append((int(before[1]), key, value) if before else
                     (int(inside[1]), key, inside[2]) if inside else (-1, key, value))
    return [(key, value) for _, key, value in sorted(found, key=lambda item: item[0])]


def _wanted(said: Expectation, key: str) -> Wanted:
    """Return what a key adds to, and make the load a test."""
    name = "unprivileged" if key.endswith(_UNPRIV) else "privileged"
    if getattr(said, name) is None:
        setattr(said, name, Wanted())
    found: Wanted = getattr(said, name)
    return found


def _read(said: Expectation, key: str, value: str) -> None:
    base = key.removesuffix(_UNPRIV)
    if base in ("test_expect_failure", "test_expect_success"):
        _wanted(said, key).failure = base == "test_expect_failure"
    elif base == "test_retval":
        _wanted(said, key).retval = number(value)
    elif base == "test_auxiliary":
        said.auxiliary.add("unpriv" if key.endswith(_UNPRIV) else "priv")
    elif key == "test_description":
        said.description = value
    elif key == "test_log_level":
        said.log_level = number(value)
    elif key == "test_prog_flags":
        if value.startswith("!"):
            said.cleared |= number(value[1:])
        else:
            said.flags |= number(value)
    elif key == "test_arch":
        said.archs.add(value.strip().upper())
    elif key == "load_mode":
        said.load_modes.add(value)
    elif key == "test_caps_unpriv":
        said.caps |= {_capability(word.strip()) for word in value.split("|")}
    elif key == "test_btf_path":
        said.btf_path = value
    elif key == "test_linear_size":
        said.linear_size = number(value)
    elif key.startswith("test_"):
        raise UsageError("it is not known")


def _completed(said: Expectation) -> Expectation:
    if said.privileged is None and said.unprivileged is None and not said.auxiliary:
        said.privileged = Wanted()
    if said.unprivileged is not None:
        said.unprivileged = said.unprivileged.completed(said.privileged or Wanted())
    return said


def _capability(word: str) -> str:
    names = {number: name for name, number in _CAPS.items()}
    if word in _CAPS:
        return word
    return names.get(number(word), word) if word.isdigit() else word


def number(text: str) -> int:
    """Return the value of a number, a known name, or an expression of C made of such.

    Raises:
        UsageError: it is none of these.
    """
    plain = _SUFFIX.sub(r"\1", text.strip())
    plain = re.sub(r"\b0+(?=[1-7])", "0o", plain)  # octal numbers of C
    try:
        return _value(ast.parse(plain, mode="eval").body)
    except (SyntaxError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{text!r} is not a number, and not a name or expression that is known") from error


def _value(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return _NAMES[node.id]
    if isinstance(node, ast.UnaryOp):
        return int(_OPERATIONS[type(node.op)](_value(node.operand)))
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left), _value(node.right)
        if isinstance(node.op, ast.LShift) and right > 63:
            raise ValueError("too far")
        return int(_OPERATIONS[type(node.op)](left, right))
    raise KeyError(type(node).__name__)
