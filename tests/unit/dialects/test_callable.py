"""Who may call what: Linux 6.18 and 7.2 were asked of every helper and kernel function from every kind of section."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from ebpfvm.dialects import linux
from ebpfvm.loader.sections import classify

RECORD = json.loads(gzip.decompress((Path(__file__).parents[2] / "data" / "callable.json.gz").read_bytes()))




@pytest.mark.parametrize("version", [(6, 18), (7, 2)], ids=["6.18", "7.2"])
@pytest.mark.parametrize("section", sorted(RECORD["6.18"]))
def test_callable(section: str, version: tuple[int, int]) -> None:
    dialect, found = linux(version), classify(section)
    kind, said = dialect.prog_type(found.type), RECORD[f"{version[0]}.{version[1]}"][section]
    ours = {number for number in range(1, 212) if dialect.helper(number, kind, found.attach) is not None}
    assert ours == set(said["helpers"])
    asked = {item[1:] for item in said["kfuncs"].split()}
    allowed = {item[1:] for item in said["kfuncs"].split() if item[0] == "+"}
    assert kind.kfuncs & asked == allowed
