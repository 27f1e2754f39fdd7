"""Guest: the part of libbpf that the oracle needs, through ctypes."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

POINTER = ctypes.c_void_p
_library = ctypes.CDLL("libbpf.so.1", use_errno=True)
_PROTOTYPES = {
    "bpf_object__open_file": (POINTER, [ctypes.c_char_p, POINTER]),
    "bpf_object__load": (ctypes.c_int, [POINTER]),
    "bpf_object__close": (None, [POINTER]),
    "bpf_object__next_program": (POINTER, [POINTER, POINTER]),
    "bpf_object__next_map": (POINTER, [POINTER, POINTER]),
    "bpf_program__name": (ctypes.c_char_p, [POINTER]),
    "bpf_program__section_name": (ctypes.c_char_p, [POINTER]),
    "bpf_program__type": (ctypes.c_int, [POINTER]),
    "bpf_program__fd": (ctypes.c_int, [POINTER]),
    "bpf_program__set_autoload": (ctypes.c_int, [POINTER, ctypes.c_bool]),
    "bpf_program__autoload": (ctypes.c_bool, [POINTER]),
    "bpf_program__insn_cnt": (ctypes.c_size_t, [POINTER]),
    "bpf_program__set_log_buf": (ctypes.c_int, [POINTER, POINTER, ctypes.c_size_t]),
    "bpf_program__set_log_level": (ctypes.c_int, [POINTER, ctypes.c_uint]),
    "bpf_map__name": (ctypes.c_char_p, [POINTER]),
    "bpf_map__fd": (ctypes.c_int, [POINTER]),
    "bpf_map__type": (ctypes.c_int, [POINTER]),
    "bpf_map__key_size": (ctypes.c_uint, [POINTER]),
    "bpf_map__value_size": (ctypes.c_uint, [POINTER]),
    "bpf_map__initial_value": (POINTER, [POINTER, ctypes.POINTER(ctypes.c_size_t)]),
    "bpf_map__attach_struct_ops": (POINTER, [POINTER]),
    "bpf_link__destroy": (ctypes.c_int, [POINTER]),
    "libbpf_set_print": (POINTER, [POINTER]),
    "btf__load_vmlinux_btf": (POINTER, []),
    "btf__find_by_name_kind": (ctypes.c_int, [POINTER, ctypes.c_char_p, ctypes.c_uint]),
}
for _name, (_result, _arguments) in _PROTOTYPES.items():
    _function = getattr(_library, _name)
    _function.restype, _function.argtypes = _result, _arguments
    globals()[_name] = _function

messages: list[str] = []
_vsnprintf = ctypes.CDLL(None).vsnprintf
_vsnprintf.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, POINTER]
STRUCT_OPS_MAP = 26


@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, POINTER)
def _keep(level: int, pattern: bytes, arguments: int) -> int:
    if level <= 1:  # warnings and information, not debugging
        box = ctypes.create_string_buffer(4096)
        _vsnprintf(box, 4096, pattern, arguments)
        messages.append(box.value.decode(errors="replace"))
    return 0


_library.libbpf_set_print(ctypes.cast(_keep, POINTER))


class Options(ctypes.Structure):
    """struct bpf_object_open_opts."""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("object_name", ctypes.c_char_p),
        ("relaxed_maps", ctypes.c_bool),
        ("pin_root_path", ctypes.c_char_p),
        ("_", ctypes.c_uint32),
        ("kconfig", ctypes.c_char_p),
    ]


def errno() -> int:
    return ctypes.get_errno()


def open_object(path: str, name: str) -> int | None:
    """The object, or None with errno() and `messages` set. `name` makes names of maps independent of the path."""
    options = Options(sz=ctypes.sizeof(Options), object_name=name.encode())
    messages.clear()
    return _library.bpf_object__open_file(path.encode(), ctypes.byref(options))


def programs(obj: int) -> Iterator[int]:
    here = None
    while here := _library.bpf_object__next_program(obj, here):
        yield here


def maps(obj: int) -> Iterator[int]:
    here = None
    while here := _library.bpf_object__next_map(obj, here):
        yield here


def name(program: int) -> str:
    return _library.bpf_program__name(program).decode()


def map_name(found: int) -> str:
    return _library.bpf_map__name(found).decode()


def clear_members(obj: int, unwanted: set[str]) -> None:
    """Take programs out of struct_ops variables, of which libbpf keeps a copy that holds the programs' addresses."""
    out = {program for program in programs(obj) if name(program) in unwanted}
    for found in maps(obj):
        if _library.bpf_map__type(found) != STRUCT_OPS_MAP:
            continue
        size = ctypes.c_size_t()
        start = _library.bpf_map__initial_value(found, ctypes.byref(size))
        words = (ctypes.c_uint64 * (size.value // 8)).from_address(start)
        for at, word in enumerate(words):
            if word in out:
                words[at] = 0
