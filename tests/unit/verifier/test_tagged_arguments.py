"""Tags on the arguments of global functions: what Linux 7.2.13 said of each program of `tagged_arguments.o`.

The record has errno, last line of the message, and instructions processed.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ebpfvm.dialects import linux
from ebpfvm.loader import load
from ebpfvm.verifier import verify

FOUND = load(str(Path(__file__).parent / "tagged_arguments.o"))
RECORD = {
    "e_ok": (0, "", 18),
    "e_null": (0, "", 18),
    "e_null0": (0, "", 5),
    "e_ok0": (13, "Caller passes invalid args into func#1 ('t_ok')", 6),
    "e_nocheck": (13, "R1 invalid mem access 'trusted_ptr_or_null_'", 14),
    "e_sch": (0, "", 18),
    "e_schskb": (13, "Caller passes invalid args into func#1 ('t_sch')", 4),
    "e_own": (2, "Caller passes invalid args into func#1 ('t_own')", 4),
    "e_drop": (22, "release kfunc bpf_kfree_skb expects referenced PTR_TO_BTF_ID passed to R1", 10),
    "e_comb": (22, "Caller passes invalid args into func#1 ('t_comb')", 4),
    "e_walk": (13, "Caller passes invalid args into func#1 ('t_ok')", 7),
    "e_off": (13, "Caller passes invalid args into func#1 ('t_ok')", 6),
    "e_sk": (13, "Caller passes invalid args into func#1 ('t_ok')", 6),
    "e_scal": (13, "Caller passes invalid args into func#1 ('t_ok')", 5),
    "e_uok": (0, "", 15),
    "e_uoks": (0, "", 16),
    "e_uoksc": (0, "", 15),
    "e_uhash": (22, "R1 must be referenced or trusted", 14),
    "e_uown": (2, "Caller passes invalid args into func#1 ('u_own')", 4),
    "e_uint": (0, "", 15),
    "e_uint2": (0, "", 18),
    "e_uint0": (0, "", 15)}


def test_every_program_is_recorded() -> None:
    assert set(RECORD) == set(FOUND.programs)


@pytest.mark.parametrize("name", RECORD)
def test_verdict(name: str) -> None:
    verdict = verify(FOUND.programs[name], linux((7, 2)))
    lines = re.sub(r"#\d{4,}", "#", verdict.message).splitlines()
    assert (verdict.errno, lines[-1] if lines else "", verdict.processed) == RECORD[name]
