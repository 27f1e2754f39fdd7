"""Read a kernel's own types from a file: /sys/kernel/btf/vmlinux, `vmlinux.btf`, or the `.BTF` section of a `vmlinux`.

A `vmlinux` has hundreds of megabytes, so only that section is read. Types are checked on first use, because a kernel
has more than a hundred thousand of them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

from ebpfvm.btf.parse import parse
from ebpfvm.errors import LoadError
from ebpfvm.loader import elf_header

if TYPE_CHECKING:
    from ebpfvm.btf.types import Btf

MAX_BTF = 256 << 20


def read_kernel_btf(path: str | os.PathLike[str]) -> Btf:
    """Return the types of a kernel.

    Raises:
        LoadError: the file cannot be read, or does not hold a kernel's types; the message says where.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = _section(file) if file.read(len(elf_header.MAGIC)) == elf_header.MAGIC else _whole(file)
        return parse(data, check=False, path=name)
    except LoadError as error:
        error.path = error.path or name
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise LoadError(f"cannot be read: {reason}", path=name) from error


def _whole(file: BinaryIO) -> bytes:
    file.seek(0)
    data = file.read(MAX_BTF + 1)
    if len(data) > MAX_BTF:
        raise LoadError(f"larger than {MAX_BTF >> 20} MiB; no kernel's BTF is")
    return data


def _section(file: BinaryIO) -> bytes:
    """Return the `.BTF` section of an ELF file."""
    header = elf_header.read_header(_exactly(file, 0, elf_header.HEADER_SIZE, "the ELF header"))
    if tuple(header.ident[4:6]) != (elf_header.ELFCLASS64, elf_header.ELFDATA2LSB):
        raise LoadError("not a 64-bit little-endian ELF file", offset=elf_header.AT_CLASS)
    size, count, names = header.shentsize, header.shnum, header.shstrndx
    if size != elf_header.SECTION_HEADER_SIZE or not count or names >= count:
        raise LoadError(f"{count} section headers of {size} bytes, with names in section {names}, make no sense",
                        offset=elf_header.AT_SHENTSIZE)
    rows = elf_header.read_section_headers(_exactly(file, header.shoff, size * count, "the section headers"))
    strings = _exactly(file, rows[names].offset, rows[names].size, "the names of sections")
    for row in rows:
        if strings[row.name:row.name + 5] == b".BTF\0":
            return _exactly(file, row.offset, row.size, "the section .BTF")
    raise LoadError("there is no section .BTF; a kernel has one if CONFIG_DEBUG_INFO_BTF is set")


def _exactly(file: BinaryIO, offset: int, size: int, what: str) -> bytes:
    if size > MAX_BTF:
        raise LoadError(f"{what} cannot have {size} bytes", offset=offset)
    length = file.seek(0, os.SEEK_END)
    if offset + size > length:
        raise LoadError(f"{what}, {size} bytes at {offset:#x}, extends beyond the file's {length} bytes: cut short",
                        offset=offset)
    file.seek(offset)
    return file.read(size)
