"""Memory: regions of bytes, and pointers that are plain ints and identify their region.

A pointer is `region.base + offset` with `region.base = (region.id << 32) + (1 << 31)`. The bias lets a negative offset
still identify its region, so that pointer arithmetic that overshoots is detected when memory is *accessed*, and the
message has the region's name. 0 is NULL. Ids start at 1 and are never reused: a pointer into something that was freed
can always be distinguished from a wild one.

Kinds of `Fault` raised here:

==================  =====================================================================
``memory``          NULL, no such region, out of bounds, not readable or writable
``use-after-free``  the region was freed
==================  =====================================================================
"""

from __future__ import annotations

import struct
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Never

from ebpfvm.errors import Fault
from ebpfvm.ints import U32_MAX, U64_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

REGION_SHIFT: Final = 32
BIAS: Final = 1 << 31
OFFSET_MASK: Final = U32_MAX
# Ids of regions that follow from a packet's serial number: those of its first buffer, and of the sk_buff object. Two
# packets whose numbers differ by 2 ** 29 never live at the same time.
BUFFER_IDS: Final = 1 << 29
OBJECT_IDS: Final = 1 << 30
SERIALS: Final = BUFFER_IDS - 1
_REMEMBERED = 256  # freed regions whose names are kept for messages

_STRUCTS = {size: struct.Struct(code) for size, code in ((1, "<B"), (2, "<H"), (4, "<I"), (8, "<Q"))}
_UNPACK: Final[dict[int, Callable[..., tuple[int]]]] = {size: s.unpack_from for size, s in _STRUCTS.items()}
_PACK: Final[dict[int, Callable[..., None]]] = {size: s.pack_into for size, s in _STRUCTS.items()}
_CUT: Final = {1: 0xFF, 2: 0xFFFF, 4: U32_MAX, 8: U64_MAX}


def base_of(number: int) -> int:
    """Return the base of the region with this id."""
    return (number << REGION_SHIFT) + BIAS


_bare = object.__new__


class AnyRegion:
    """A region without a place for its attributes, which are those of `Region`."""

    __slots__ = ()

    if TYPE_CHECKING:
        alive: bool
        base: int
        data: bytearray
        id: int
        kind: str
        name: str
        owner: object
        size: int
        writable: bool

    def load(self, off: int, size: int) -> int:
        """Return the little-endian number of `size` bytes (1, 2, 4, 8) at `off`.

        Raises:
            Fault: it is outside of the region.
        """
        if 0 <= off <= self.size - size:
            return _UNPACK[size](self.data, off)[0]
        self.refuse(off, size, "read")

    def store(self, off: int, size: int, value: int) -> None:
        """Write the low `size` bytes (1, 2, 4, 8) of `value` at `off`.

        Raises:
            Fault: it is outside of the region, or the region is read-only.
        """
        if self.writable and 0 <= off <= self.size - size:
            _PACK[size](self.data, off, value & _CUT[size])
            return
        self.refuse(off, size, "write")

    def read(self, off: int, n: int) -> bytes:
        """Return `n` bytes at `off`."""
        if 0 <= off <= self.size - n and n >= 0:
            return bytes(self.data[off:off + n])
        self.refuse(off, n, "read")

    def write(self, off: int, data: bytes) -> None:
        """Write `data` at `off`."""
        if self.writable and 0 <= off <= self.size - len(data):
            self.data[off:off + len(data)] = data
            return
        self.refuse(off, len(data), "write")

    def refuse(self, off: int, size: int, verb: str) -> Never:
        """Raise the Fault that says why an access to this region is invalid."""
        if verb == "write" and not self.writable:
            raise Fault("memory", f"write of {size} bytes to {self}, which is read-only")
        raise Fault("memory", f"{verb} of {size} bytes at offset {off} of {self}, which has {self.size} bytes")

    def __str__(self) -> str:
        return f"{self.kind} region" + (f" '{self.name}'" if self.name else "")

    def __repr__(self) -> str:
        return f"<{self} id={self.id} size={self.size}{'' if self.alive else ' freed'}>"


class Region(AnyRegion):
    """A piece of memory that pointers can refer to; subclasses override `load` and `store` for virtual memory.

    Attributes:
        id, base: set by `Memory`; 0 until then.
        kind: "stack", "packet", "map_value", "map_key", "map", "ctx", "sk_buff", "mem", "func", ...
        name: name for messages, and the holder of the references in it: "map pifo".
        data: the bytes.
        size: number of bytes that may be accessed; the length of `data` unless the memory is virtual.
        writable: whether programs may write.
        alive: False once it is freed.
        owner: the Python object that the memory represents (SkBuff, map, program), None for plain bytes.
    """

    __slots__ = ("alive", "base", "data", "id", "kind", "name", "owner", "size", "writable")

    def __init__(self, kind: str, data: bytearray, *, name: str = "", writable: bool = True,
                 owner: object = None) -> None:
        self.kind = kind
        self.data = data
        self.size = len(data)
        self.name = name
        self.writable = writable
        self.owner = owner
        self.alive = True
        self.id = 0
        self.base = 0


_base_of: Any = Region.__dict__["base"]  # the descriptor of the slot


class PacketSlot(Region):
    """A map's value with one slot for a packet: its bytes are the truth, and `held` saves looking the packet up.

    It gets its id (0 until then) and its base when somebody asks for an address.

    Attributes:
        held: the packet that was last put into the slot; only meaningful while its address is what the slot contains.
    """

    __slots__ = ("held",)
    held: Any
    owner: Any

    @property
    def base(self) -> int:
        if not self.id:
            self.owner.kernel.memory.adopt(self)
        found: int = _base_of.__get__(self)
        return found

    @base.setter
    def base(self, address: int) -> None:
        _base_of.__set__(self, address)


def packet_slot(data: bytearray, name: str, owner: Any) -> PacketSlot:
    """Return a value of the map `owner` with an empty slot for a packet."""
    region = _bare(PacketSlot)  # inlines the constructor
    region.kind, region.data, region.size, region.name = "map_value", data, len(data), name
    region.writable, region.owner, region.alive = True, owner, True
    region.id, region.held = 0, None
    return region


class Memory:
    """All regions of one kernel.

    Attributes:
        regions: id -> live region. Engines look ids up here themselves, for speed.
        retired: regions that `quiesce` will free.
        next_id: id of the next region.
        placed: the highest serial number of a packet that pointers have referred to.
        unseen: returns the region of the packet of a serial number, if nobody has asked for its address before.
        map_bytes: size of the elements of all maps, including `retired_bytes`, which `quiesce` will free.
    """

    def __init__(self) -> None:
        self.regions: dict[int, Region] = {}
        self.next_id = 1
        self.retired: list[Region] = []
        self.map_bytes = 0
        self.retired_bytes = 0
        self.unseen: Callable[[int], Region | None] = _no_packet
        self.placed = 0
        self._freed: deque[Region] = deque(maxlen=_REMEMBERED)

    def add(self, kind: str, data: bytearray | bytes, *, name: str = "", writable: bool = True,
            owner: object = None) -> Region:
        """Create a region around `data` (a bytearray is used directly, not copied)."""
        storage = data if isinstance(data, bytearray) else bytearray(data)
        region = _bare(Region)  # inlines `Region` and `adopt`, because a map creates one for each element
        region.kind, region.data, region.size, region.name = kind, storage, len(storage), name
        region.writable, region.owner, region.alive = writable, owner, True
        number = self.next_id
        self.next_id = number + 1
        region.id = number
        region.base = (number << REGION_SHIFT) + BIAS
        self.regions[number] = region
        return region

    def adopt(self, region: Region) -> Region:
        """Assign an id and a base to `region`."""
        number = self.next_id
        self.next_id = number + 1
        region.id = number
        region.base = (number << REGION_SHIFT) + BIAS
        self.regions[number] = region
        return region

    def place(self, region: Region, ids: int, serial: int) -> Region:
        """Assign the id of a packet's buffer or object, and the base that follows from it; `ids` says which."""
        region.id = number = ids | serial & SERIALS
        region.base = (number << REGION_SHIFT) + BIAS
        self.regions[number] = region
        self.placed = max(self.placed, serial & SERIALS)
        return region

    def reserve(self, n: int) -> int:
        """Reserve `n` ids for regions whose addresses must not depend on their creation time, and return the first."""
        first = self.next_id
        self.next_id += n
        return first

    def free(self, region: Region) -> None:
        """Free `region`.

        Raises:
            Fault: it is already free.
        """
        if self.regions.pop(region.id, None) is None and region.id:
            raise Fault("double-free", f"{region} is freed twice")
        region.alive = False
        self._freed.append(region)

    def retire(self, region: Region) -> None:
        """Free `region` when no program runs any more, as RCU keeps a deleted map element for its readers."""
        self.retired.append(region)

    def quiesce(self) -> None:
        """Free all retired regions; callers that start programs call this when the outermost program has exited."""
        self.map_bytes -= self.retired_bytes
        self.retired_bytes = 0
        if not self.retired:
            return
        retired, self.retired = self.retired, []
        for region in retired:  # inlines `free`, because each deletion of an element runs this
            if not region.id:
                region.alive = False  # nobody has asked for its address
                continue
            if self.regions.pop(region.id, None) is None:
                raise Fault("double-free", f"{region} is freed twice")
            region.alive = False
            self._freed.append(region)

    def region(self, ptr: int) -> Region:
        """Return the live region that `ptr` refers to; its offset is `ptr - region.base`.

        Raises:
            Fault: `ptr` is NULL, not a pointer, or freed.
        """
        region = self.regions.get(ptr >> REGION_SHIFT)
        return region if region is not None else self._found(ptr)

    def _found(self, ptr: int) -> Region:
        """Return the region of a packet that has none yet; raise Fault if it is something else."""
        number = ptr >> REGION_SHIFT
        if OBJECT_IDS < number < OBJECT_IDS + BUFFER_IDS:
            found = self.unseen(number & SERIALS)
            if found is not None:
                return found
        self._refuse(ptr)

    def _refuse(self, ptr: int) -> Never:
        number = ptr >> REGION_SHIFT
        placed = BUFFER_IDS < number < OBJECT_IDS + BUFFER_IDS and number & SERIALS <= self.placed
        if 0 < number < self.next_id or placed:
            dead = next((region for region in self._freed if region.id == number), None)
            what = str(dead) if dead is not None else "memory that was freed long ago"
            raise Fault("use-after-free", f"use of {what} after it was freed, through pointer {ptr:#x}")
        # A NULL pointer to a struct is used at the offset of a member.
        if ptr < 4096 or ptr >= (1 << 64) - 4096:
            raise Fault("memory", f"use of a NULL pointer ({ptr:#x})")
        raise Fault("memory", f"{ptr:#x} is not a pointer to anything")

    def load(self, ptr: int, size: int) -> int:
        """Return the little-endian number of `size` bytes (1, 2, 4, 8) at `ptr`; raise Fault for an invalid access."""
        region = self.regions.get(ptr >> REGION_SHIFT)
        if region is None:
            region = self._found(ptr)
        return region.load((ptr & OFFSET_MASK) - BIAS, size)

    def probe(self, ptr: int, size: int) -> int:
        """Return the number at `ptr`, or 0 if it cannot be read: a load that the kernel guards (BPF_PROBE_MEM)."""
        try:
            return self.load(ptr, size)
        except Fault:
            return 0

    def store(self, ptr: int, size: int, value: int) -> None:
        """Write the low `size` bytes (1, 2, 4, 8) of `value` at `ptr`; raise Fault for an invalid access."""
        region = self.regions.get(ptr >> REGION_SHIFT)
        if region is None:
            region = self._found(ptr)
        region.store((ptr & OFFSET_MASK) - BIAS, size, value)

    def read(self, ptr: int, n: int) -> bytes:
        """Return `n` bytes at `ptr`, or raise Fault; nothing is checked if `n` is 0, as in the kernel."""
        return self.region(ptr).read((ptr & OFFSET_MASK) - BIAS, n) if n else b""

    def write(self, ptr: int, data: bytes) -> None:
        """Write `data` at `ptr`; raise Fault for an invalid access."""
        if data:
            self.region(ptr).write((ptr & OFFSET_MASK) - BIAS, data)

    def owner(self, ptr: int) -> object | None:
        """Return the Python object that a pointer refers to (SkBuff, map, ...); None for NULL and for plain bytes.

        Raises:
            Fault: it is not a pointer, it is freed, or it points into the middle of an object.
        """
        if not ptr:
            return None
        region = self.regions.get(ptr >> REGION_SHIFT)
        if region is None:
            region = self._found(ptr)
        if ptr != region.base and region.owner is not None:
            raise Fault("memory", f"pointer to offset {ptr - region.base} of {region}, where its start is needed")
        return region.owner


def _no_packet(serial: int) -> Region | None:
    return None
