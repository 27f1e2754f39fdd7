"""A dump costs what it shows, and not what an object claims."""

from __future__ import annotations

from ebpfvm.dialects import rfc6
from ebpfvm.kernel import Kernel
from ebpfvm.loader.object import MapSpec
from ebpfvm.maps import make_map
from ebpfvm.maps.map_dump import SHOWN, dump_map


def test_a_dump_of_a_huge_array_ends_and_makes_no_elements() -> None:
    kernel = Kernel(rfc6())
    huge = make_map(kernel, MapSpec("array", 4, 4, (1 << 32) - 1, name="huge"))
    huge.sys_update(bytes(4), b"\1\2\3\4")
    regions = len(kernel.memory.regions)
    dump = dump_map(huge)
    assert len(dump.elements) == SHOWN
    assert (dump.elements[0].value, dump.elements[1].value) == (b"\1\2\3\4", bytes(4))
    assert dump.error == f"only the first {SHOWN} elements are shown"
    assert len(kernel.memory.regions) == regions


def test_a_dump_of_a_small_array_is_whole() -> None:
    small = make_map(Kernel(rfc6()), MapSpec("array", 4, 4, 3, name="small"))
    assert (len(dump_map(small).elements), dump_map(small).error) == (3, "")
