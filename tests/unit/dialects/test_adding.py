"""The worked examples of CONTRIBUTING.md for a helper, a kfunc and a map type, built in a copy and broken there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import PACKAGE_FOLDERS, ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FUNCTIONS = PAGE.partition("## Adding a helper or a kfunc\n")[2].partition("\n## ")[0]
MAP_TYPES = PAGE.partition("## Adding a map type\n")[2].partition("\n## ")[0]
HELPER, KFUNC, TRY_KFUNC, MAP_TYPE = (textwrap.dedent(block) for block in re.findall(
    r"^ *```python\n(.*?)^ *```$", FUNCTIONS + MAP_TYPES, re.DOTALL | re.MULTILINE))
MESSAGES = dict(re.findall(r"^\| ([^|]+) \| `([^|]+)` \|$", FUNCTIONS + MAP_TYPES, re.MULTILINE))
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
    copy = tmp_path_factory.mktemp("copy")
    ignore = shutil.ignore_patterns("__pycache__", "maps", "sched")
    shutil.copytree(PACKAGE_FOLDERS["ebpfvm"], copy / "ebpfvm", symlinks=True, ignore=ignore)
    for name in ("maps", "sched"):
        shutil.copytree(PACKAGE_FOLDERS[f"ebpfvm.{name}"], copy / "ebpfvm" / name,
                        ignore=shutil.ignore_patterns("__pycache__"))
    for name, code in FILES.items():
        (copy / name).write_text(code, encoding="utf-8")
    for name, changes in LISTS.items():
        for change in changes:
            replaced(copy / name, *change)
    return copy


def replaced(path: Path, right: str, wrong: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(right) == 1, (path.name, right)
    path.write_text(text.replace(right, wrong), encoding="utf-8")


def run(tree: Path, *words: str) -> str:
    ran = subprocess.run([sys.executable, *words], cwd=tree, capture_output=True, text=True, check=False,
                         env={**os.environ, "PYTHONPATH": str(tree)})
    return ran.stdout + ran.stderr


@pytest.fixture()
def broken(tree: Path) -> Iterator[Path]:
    """The copy; afterwards its files are as they were."""
    names = [*FILES, *LISTS, "ebpfvm/contract/roles.py"]
    kept = {name: (tree / name).read_text(encoding="utf-8") for name in names}
    yield tree
    for name, text in kept.items():
        (tree / name).write_text(text, encoding="utf-8")


def shell(tree: Path, section: str) -> list[str]:
    """Do what the section's transcript says; what its last command prints."""
    block = next(item for item in re.findall(r"^```text\n(.*?)^```$", section, re.DOTALL | re.MULTILINE))
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
