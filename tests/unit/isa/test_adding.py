"""The worked examples of CONTRIBUTING.md for a kernel version, a program type and an instruction, built and broken."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.adding import blocks, copy_package, messages, replaced, run, section, unchanged

SECTIONS = [section(f"Adding {what}") for what in ("a kernel version", "a program type", "an instruction")]
BLOCKS = [block for text in SECTIONS for block in blocks(text, "python|text")]
NEW_RULES, NEW_OFFERS, FIELDS, TYPE, HELPERS, KFUNCS, SECTION, ROW, FUNCTIONS, CIRCULAR, INTERVAL = BLOCKS
MESSAGES = messages("".join(SECTIONS))
RULES, OFFERS = "ebpfvm/contract/rules.py", "ebpfvm/dialects/offers.py"
CONTEXTS, TYPES = "ebpfvm/dialects/contexts.py", "ebpfvm/dialects/progtypes.py"
CALLERS, KERNEL_CALLERS = "ebpfvm/dialects/helpers.py", "ebpfvm/dialects/kfuncs.py"
NAMES, TABLE = "ebpfvm/loader/sections.py", "ebpfvm/isa/table.py"
CIRCLES, INTERVALS = "ebpfvm/verifier/domain/circular_alu.py", "ebpfvm/verifier/domain/interval_alu.py"
LAST = "    _type(\"netfilter\", \"bpf_nf_ctx\", 16, c.NF_CTX, returns=_BOOL, caps=_NET),\n"
ALU = "ALU: Final[dict[tuple[str, int], Callable[[Num, Num], Num]]] = {\n"
Change = tuple[str, str, str]


def indented(block: str) -> str:
    return textwrap.indent(block, "    ")


EXAMPLES: tuple[Change, ...] = (
    (RULES, "DESCRIBED: Final = by_version(LINUX_6_1, LINUX_6_12, LINUX_6_18, LINUX_7_2)\n", NEW_RULES),
    (OFFERS, "OFFERS: Final[Mapping[tuple[int, int], Offers]] = {\n"
             "    (7, 2): LINUX_7_2, (6, 18): LINUX_6_18, (6, 12): LINUX_6_12, (6, 1): LINUX_6_1}\n", NEW_OFFERS),
    (CONTEXTS, "NF_CTX: Final", f"{FIELDS}NF_CTX: Final"),
    (TYPES, LAST, LAST + indented(TYPE)),
    (CALLERS, "BY_TYPE: Final = {\n", "BY_TYPE: Final = {\n" + indented(HELPERS)),
    (KERNEL_CALLERS, "BY_TYPE: Final = {\n", "BY_TYPE: Final = {\n" + indented(KFUNCS)),
    (NAMES, "netfilter: netfilter", SECTION + "netfilter: netfilter"),
    (TABLE, "_ALU: Final = (\n", "_ALU: Final = (\n" + indented(ROW)),
    (CIRCLES, ALU, f"{FUNCTIONS}\n\n{ALU}{indented(CIRCULAR)}"),
    (INTERVALS, ALU, ALU + indented(INTERVAL)))
EXIT = (("ebpfvm/isa/syntax.py", "\"exit\": _call, ", ""),)
MISTAKES: dict[str, tuple[Change, ...]] = {
    "the version in the rules": ((RULES, "version=(7, 9), ", ""),),
    "the rules in `DESCRIBED`": ((RULES, "LINUX_7_2, LINUX_7_9)", "LINUX_7_2)"),),
    "the row in `OFFERS`": ((OFFERS, ", (7, 9): LINUX_7_9", ""),),
    "a file of types": ((OFFERS, "replace(LINUX_7_2, ", "replace(LINUX_7_2, types=(\"_7_9\",), "),),
    "the fields": ((TYPES, "8, c.FLOW_METER, returns", "8, returns"),),
    "the size of the context": ((TYPES, "8, c.FLOW_METER", "0, c.FLOW_METER"),),
    "the helpers": ((CALLERS, HELPERS, "\n"),),
    "the kernel functions": ((KERNEL_CALLERS, KFUNCS, "\n"),),
    "the section": ((NAMES, SECTION, ""),),
    "the row in the list": ((TYPES, TYPE, "\n"),),
    "a helper that exists": ((CALLERS, "bpf_names(\"get_hash_recalc\")", "bpf_names(\"get_hash\")"),),
    "the meaning": ((TABLE, "a & (b ^ -1)", ""),),
    "a word of the meaning": ((TABLE, "a & (b ^ -1)", "a & inv(b)"),),
    "an operator of the meaning": ((TABLE, "a & (b ^ -1)", "a & ~b"),),
    "a code of its own": ((TABLE, "    (\"andn\", 0xE0, \"&~=\", \"a & (b ^ -1)\", None, 4),\n", ""),
                          (TABLE, "    (\"mov\", c.BPF_MOV,", "    (\"andn\", 0xA0, \"&~=\", \"a\", None, 4),\n"
                                  "    (\"mov\", c.BPF_MOV,")),
    "a name of its own": ((TABLE, "    (\"andn\", 0xE0, \"&~=\", \"a & (b ^ -1)\", None, 4),\n", ""),
                          (TABLE, "    (\"mov\", c.BPF_MOV,", "    (\"xor\", 0xE0, \"&~=\", \"a\", None, 4),\n"
                                  "    (\"mov\", c.BPF_MOV,")),
    "what 7.2 knows": ((CIRCLES, CIRCULAR, "\n"),),
    "what 6.18 knows": ((INTERVALS, INTERVAL, "\n"),),
    "the spelling of a new kind": EXIT,
    "the interpreter for a new kind": (("ebpfvm/engine/handlers.py", "\"exit\": _exit, ", ""),),
    "the translator for a new kind": (("ebpfvm/engine/translate/emit.py", "\"may_goto\", \"exit\", \"ja\"",
                                       "\"may_goto\", \"ja\""),),
    "the walk for a new kind": (("ebpfvm/verifier/explore.py", "\"exit\", \"ldx\"", "\"ldx\""),),
    "the manual for a new kind": (("ebpfvm/isa/manual.py", "\"exit\": \"Calls\", ", ""),),
}
FILES = sorted({name for change in (*EXAMPLES, *(item for changes in MISTAKES.values() for item in changes))
                for name in change[:1]})
METER = """r2 = *(u32 *)(r1 + 0)
r0 = 255
r0 &~= 15
if r2 > r0 goto out
*(u32 *)(r1 + 4) = 7
out:
r0 &~= 254
exit"""
TRY = f"""
from ebpfvm.dialects import dialect
from ebpfvm.isa.asm import assemble
from ebpfvm.loader.object import Program
from ebpfvm.loader.sections import classify
from ebpfvm.verifier import verify

def judged(text, kernel="7.9"):
    return verify(Program(name="meter", insns=tuple(assemble(text)), type="flow_meter"), dialect(kernel))

print(classify("flow_meter").type)
for kernel in ("7.9", "7.2"):
    print(judged({METER!r}, kernel).ok)
print(judged("r0 = *(u64 *)(r1 + 0)\\nexit").message)
print(dialect("7.9").rules.call_frames, dialect("7.2").rules.call_frames)
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the examples in it."""
    copy = copy_package(tmp_path_factory.mktemp("copy"))
    for name, right, wrong in EXAMPLES:
        replaced(copy / name, right, wrong)
    return copy


@pytest.fixture()
def broken(tree: Path) -> Iterator[Path]:
    """The copy; afterwards its files are as they were."""
    with unchanged(tree, FILES):
        yield tree


def test_the_examples_work(tree: Path) -> None:
    assert run(tree, "-c", TRY).splitlines() == [
        "flow_meter", "True", "True", "invalid bpf_context access off=0 size=8", "32 16"]


@pytest.mark.parametrize("engine", ["interp", "translate"])
def test_the_instruction_runs(tree: Path, engine: str) -> None:
    (tree / "clear.s").write_text("r0 = 255\nr1 = 128\nr0 &~= 15\nr0 &~= r1\nexit\n", encoding="utf-8")
    run(tree, "-m", "ebpfvm", "asm", "clear.s", "-o", "clear.bin")
    options = ("--raw", "--type", "socket_filter", "--engine", engine)
    found = run(tree, "-m", "ebpfvm", "prog", "run", *options, "clear.bin")
    assert found.startswith("Return value: 112, ")


def test_every_message_has_its_mistake() -> None:
    assert set(MESSAGES) == set(MISTAKES)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_errors_at_import(broken: Path, mistake: str) -> None:
    for name, right, wrong in MISTAKES[mistake]:
        replaced(broken / name, right, wrong)
    checks = "import ebpfvm.engine, ebpfvm.verifier, ebpfvm.isa.manual, ebpfvm.dialects as d; d.check()"
    says = run(broken, "-c", checks).splitlines()
    assert says[-1].startswith(f"ebpfvm.errors.InternalError: {MESSAGES[mistake]}")
