"""The worked examples of CONTRIBUTING.md for a helper, a kfunc and a map type, built in a copy and broken there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.adding import blocks, copy_package, messages, replaced, run, section, unchanged

FUNCTIONS = section("Adding a helper or a kfunc")
MAP_TYPES = section("Adding a map type")
HELPER, KFUNC, TRY_KFUNC, MAP_TYPE = blocks(FUNCTIONS + MAP_TYPES)
MESSAGES = messages(FUNCTIONS + MAP_TYPES)
FILES = {"ebpfvm/funcs/microseconds.py": HELPER, "ebpfvm/funcs/packet_pages.py": KFUNC,
         "ebpfvm/maps/recent_hash.py": MAP_TYPE}
CALLERS, KFUNC_CALLERS = "BASE: Final = BASE_6_1 | bpf_names(\"\"\"\n", "_SKB: Final = bpf_names(\"dynptr_from_skb"
LISTS = {"ebpfvm/dialects/helpers.py": (("cgrp_storage_get cgrp_storage_delete\n\"\"\"",
                                         "cgrp_storage_get cgrp_storage_delete ktime_get_us\n\"\"\""),
                                        (CALLERS, CALLERS + "ktime_get_us ")),
         "ebpfvm/dialects/kfuncs.py": ((KFUNC_CALLERS, KFUNC_CALLERS + " skb_pages"),),
         "ebpfvm/dialects/maptypes.py": (("cgrp_storage arena\n", "cgrp_storage arena recent_hash\n"),)}
H, K, M = FILES
Change = tuple[str, str, str]
# What is forgotten -> file, and what stands there instead of what.
MISTAKES: dict[str, tuple[Change, ...]] = {
    "the helper's number": (("ebpfvm/dialects/helpers.py", "delete ktime_get_us\n", "delete\n"),
                            ("ebpfvm/dialects/helpers.py", "ktime_get_us ", "")),
    "who may call the helper": (("ebpfvm/dialects/helpers.py", "\nktime_get_us ", "\n"),),
    "the helper's file": ((H, HELPER, ""),),
    "an annotation": ((H, "to: Out64", "to: int"),),
    "the annotation of the result": ((H, "-> Integer", "-> int"),),
    "when a callback runs": ((H, "to: Out64", "to: Func"), (H, "Integer, Out64", "Func, Integer")),
    "a map for `map_op=\"lookup\"`": ((H, "@helper()", "@helper(map_op=\"lookup\")"),),
    "a role that exists": ((H, "@helper()", "@helper(role=\"clock\")"),),
    "an option that exists": ((H, "@helper()", "@helper(sleeps=True)"),),
    "who may call the kfunc": (("ebpfvm/dialects/kfuncs.py", " skb_pages", ""),),
    "the kfunc's file": ((K, KFUNC, ""),),
    "a parameter of the body": ((K, "skb)\")", "skb, u32 flags)\")"),),
    "a pointer for \"acquire\"": ((K, "skb)\")", "skb)\", \"acquire\")"),),
    "the role of a list's parameter": ((K, "struct __sk_buff", "struct bpf_list_head"),),
    "a flag that exists": ((K, "skb)\")", "skb)\", \"releases\")"),),
    "a rule for a new role": (("ebpfvm/contract/roles.py", "\"trap\",", "\"trap\", \"count_pages\","),
                              (K, "skb)\")", "skb)\", role=\"count_pages\")")),
    "the number": (("ebpfvm/dialects/maptypes.py", " recent_hash", ""),),
    "the file": ((M, MAP_TYPE, ""),),
    "`RecentHash.type = RECENT_HASH`": ((M, "RecentHash.type = RECENT_HASH\n", ""),),
    "`check=`": ((M, "check=htab_alloc_check, ", ""),),
    "`for_each=`": ((M, "for_each=True, ", ""),),
    "a method for a helper": ((M, "base.ORDINARY", "base.ORDINARY | {\"bpf_map_pop_elem\"}"),),
    "`pending()` for `records=True`": ((M, "for_each=True", "for_each=True, records=True"),),
    "a helper that exists": ((M, "base.ORDINARY", "base.ORDINARY | {\"bpf_map_pop\"}"),),
    "bpf_map_lookup_elem for `gives=`": ((M, "base.ORDINARY", "base.ORDINARY - {\"bpf_map_lookup_elem\"}"),
                                         (M, "for_each=True", "for_each=True, gives=\"socket\"")),
    "a word that exists": ((M, "for_each=True", "for_each=True, sleepable=\"always\""),),
    "a special field that exists": ((M, "mt.KPTRS", "frozenset({\"pointer\"})"),),
    "a name of its own": ((M, "\"recent_hash\"", "\"hash\""),),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the examples in it."""
    copy = copy_package(tmp_path_factory.mktemp("copy"))
    for name, code in FILES.items():
        (copy / name).write_text(code, encoding="utf-8")
    for name, changes in LISTS.items():
        for change in changes:
            replaced(copy / name, *change)
    return copy


@pytest.fixture()
def broken(tree: Path) -> Iterator[Path]:
    """The copy; afterwards its files are as they were."""
    with unchanged(tree, [*FILES, *LISTS, "ebpfvm/contract/roles.py"]):
        yield tree


def shell(tree: Path, text: str) -> list[str]:
    """Do what the section's transcript says; what its last command prints."""
    block = next(item for item in re.findall(r"^```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))
    name, _, rest = block.removeprefix("$ cat ").partition("\n")
    source, *commands = re.split(r"^\$ ebpfvm ", rest, flags=re.MULTILINE)
    (tree / name).write_text(source, encoding="utf-8")
    return [run(tree, "-m", "ebpfvm", *command.partition("\n")[0].split()) for command in commands]


def test_the_helper_works(tree: Path) -> None:
    assert shell(tree, FUNCTIONS)[-1].startswith("Return value: 5000, ")


def test_the_kfunc_works(tree: Path) -> None:
    assert run(tree, "-c", TRY_KFUNC) == "2\n"


def test_the_map_type_works(tree: Path) -> None:
    assert shell(tree, MAP_TYPES)[-1].startswith("Return value: 11, ")
    second = MAP_TYPES.replace(" first.bin\nReturn", " --set keys:02000000=0000000000000000 first.bin\nReturn")
    assert shell(tree, second)[-1].startswith("Return value: 0, ")


def test_every_message_has_its_mistake() -> None:
    assert set(MESSAGES) == set(MISTAKES)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_errors_at_import(broken: Path, mistake: str) -> None:
    for name, right, wrong in MISTAKES[mistake]:
        if right in FILES.values():
            (broken / name).unlink()
        else:
            replaced(broken / name, right, wrong)
    says = run(broken, "-c", "import ebpfvm.verifier, ebpfvm.dialects").splitlines()[-1]
    assert says.startswith(f"ebpfvm.errors.InternalError: {MESSAGES[mistake]}")
