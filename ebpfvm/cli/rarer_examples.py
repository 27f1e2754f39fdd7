"""Broken and mended programs for rarer properties, which need BTF, other maps, a license, rights, or kernel functions.

`property_examples` describes the maps 0 to 3. Map 4 is an array whose values begin with a spin lock, map 5 an array of
one value with the text "abc" that nobody may write, and map 6 an array whose keys are too long to be one.
"""

from __future__ import annotations

from typing import Final

from ebpfvm.lazy_tuples import NamedTuple

USUAL_MAPS: Final = 6


class Setting(NamedTuple):
    """What a program is loaded with, besides its type.

    Attributes:
        btf: whether it has BTF for its functions.
        globals: numbers of its global functions, which have BTF.
        license: its license.
        hook: where it is attached; for struct_ops, the member of Qdisc_ops.
        missing: the capability that the process lacks.
        maps: number of maps, if it is not the usual one.
        sleepable: whether it is loaded as a program that may sleep.
        lines: the instructions that its line records name, () for a program without line records.
        kernel: the version of Linux that judges it, if it is not the usual one.
    """

    btf: bool = False
    globals: tuple[int, ...] = ()
    license: str = "GPL"
    hook: str = ""
    missing: str = ""
    maps: int = USUAL_MAPS
    sleepable: bool = False
    lines: tuple[int, ...] = ()
    kernel: str = ""

    def words(self) -> str:
        """Return what is special about the setting, in words; "" for nothing."""
        said = (f"license {self.license}" * (self.license != "GPL"), "with BTF" * self.btf,
                f"for {self.hook}" * bool(self.hook), f"without CAP_{self.missing.upper()}" * bool(self.missing),
                "with map 6" * (self.maps > USUAL_MAPS), "sleepable" * self.sleepable,
                f"function {', '.join(map(str, self.globals))} is global" * bool(self.globals),
                f"line records at {', '.join(map(str, self.lines))}" * bool(self.lines),
                f"kernel {self.kernel}" * bool(self.kernel))
        return ", ".join(word for word in said if word)


USUAL: Final = Setting()


class RareExample(NamedTuple):
    """Two programs of one type, and their settings; the second is that of the first if there is none."""

    type: str
    broken: str
    mended: str
    setting: Setting = USUAL
    mended_setting: Setting | None = None
    mended_type: str = ""

    def words(self) -> str:
        """Return type and setting of the broken program."""
        return ", ".join(filter(None, [f"type {self.type}", self.setting.words()]))

    def mended_words(self) -> str:
        """Return how type and setting of the mended program differ, in parentheses; "" if they do not."""
        setting = self.mended_setting
        said = [f"type {self.mended_type}" * bool(self.mended_type)]
        if setting is not None and setting != self.setting:
            said.append(setting.words() or "without that" * bool(self.setting.words()) or "otherwise the same")
        text = ", ".join(filter(None, said))
        return f" ({text})" if text else ""


_OUT: Final = "out:\nr0 = 0\nexit"
_END: Final = "r0 = 0\nexit"
_BTF: Final = Setting(btf=True)
_LOCKED: Final = """\
*(u32 *)(r10 - 4) = 0
r2 = r10
r2 += -4
r1 = map[id:4]
call bpf_map_lookup_elem
if r0 == 0 goto out
r6 = r0
"""
_LOCK: Final = _LOCKED + "r1 = r6\ncall bpf_spin_lock\n"
_UNLOCK: Final = "r1 = r6\ncall bpf_spin_unlock\n"
_FIXED: Final = _LOCKED.replace("id:4", "id:5").replace("r6 = r0\n", "")
_COMPARE: Final = """\
*(u64 *)(r10 - 16) = 0
r3 = FROM
r1 = r10
r1 += -16
r2 = 8
call bpf_strncmp
"""
_CGROUP: Final = "r1 = 1\ncall bpf_cgroup_from_id\n"
_DYNPTR: Final = """\
r1 = map[id:3]
r2 = 16
r3 = 0
r4 = r10
r4 += -16
call bpf_ringbuf_reserve_dynptr
"""
_DISCARD: Final = "r1 = r10\nr1 += -16\nr2 = 0\ncall bpf_ringbuf_discard_dynptr\n"
_CALLBACK: Final = "r1 = 4\nr2 = subprog[+6]\nr3 = 0\nr4 = 0\ncall bpf_loop\nr0 = 0\nexit\n"
_ITERATOR: Final = "r1 = r10\nr1 += -8\nr2 = 0\nr3 = 4\ncall bpf_iter_num_new\n"
_NEXT: Final = "again:\nr1 = r10\nr1 += -8\ncall bpf_iter_num_next\nif r0 != 0 goto again\n"
_DESTROY: Final = "r1 = r10\nr1 += -8\ncall bpf_iter_num_destroy\n"
_SUM: Final = """\
r1 = r6
r2 = 8
FROM
r4 = 8
r5 = 0
call bpf_csum_diff
r1 = r6
r2 = 0
call bpf_ringbuf_discard
"""
_SOCKET: Final = "r6 = *(u64 *)(r1 + 168)\nif r6 == 0 goto out\n"


def _record(number: int) -> str:
    """Return what reserves a record of eight bytes in R6 or R7 and fills it."""
    return ("r1 = map[id:3]\nr2 = 8\nr3 = 0\ncall bpf_ringbuf_reserve\n"
            f"if r0 == 0 goto {'out' if number == 6 else 'drop'}\nr{number} = r0\n*(u64 *)(r{number} + 0) = 1\n")


def _chain(depth: int) -> str:
    """Return a program of `depth` functions, each of which calls the next."""
    inner = "".join(f"f{number}:\ncall f{number + 1}\nexit\n" for number in range(1, depth - 1))
    return f"call f1\nexit\n{inner}f{depth - 1}:\n{_END}"


def _many(count: int) -> str:
    """Return a program that calls `count` functions."""
    calls = "".join(f"call f{number}\n" for number in range(count))
    return calls + _END + "".join(f"\nf{number}:\n{_END}" for number in range(count))


RARER: Final[dict[str, RareExample]] = {
    "abnormal-return": RareExample("sched_cls", f"call f\n{_END}\nf:\nr6 = r1\nr0 = *(u8 *)skb[0]\n{_END}",
                                   "r6 = r1\nr0 = *(u8 *)skb[0]\nexit"),
    "ambiguous-reference": RareExample(
        "sched_cls", _record(6) + _record(7) + _SUM.replace("FROM", "r3 = r7") + "r1 = r7\nr2 = 0\n"
        "call bpf_ringbuf_discard\n" + _OUT.replace("out:", "goto out\ndrop:\nr1 = r6\nr2 = 0\ncall "
                                                   "bpf_ringbuf_discard\nout:"),
        _record(6) + "*(u64 *)(r10 - 8) = 1\n" + _SUM.replace("FROM", "r3 = r10\nr3 += -8") + _OUT,
        Setting(kernel="6.18")),
    "arena-required": RareExample("sched_cls", "r1 = 0\nr1 = addr_space_cast(r1, 0, 1)\n" + _END, "r1 = 0\n" + _END),
    "btf-func-info": RareExample("sched_cls", _CALLBACK + _END, _CALLBACK + _END, USUAL, _BTF),
    "btf-line-info": RareExample("sched_cls", _END, _END, Setting(btf=True, lines=(0, 1, 1)),
                                 Setting(btf=True, lines=(0, 1))),
    "btf-type-argument": RareExample("sched_cls", "r2 = -1\ncall bpf_rdonly_cast\n" + _END,
                                     "r2 = 0\ncall bpf_rdonly_cast\n" + _END, _BTF),
    "call-depth": RareExample("sched_cls", _chain(17), _chain(4)),
    "callback-function": RareExample("sched_cls", _CALLBACK.replace("+6", "-2").rstrip(), _CALLBACK + _END, _BTF),
    "compiler-trap": RareExample("sched_cls", "call __bpf_trap\n" + _END, _END),
    "constant-string": RareExample(
        "sched_cls", _FIXED.replace("id:5", "id:0") + _COMPARE.replace("FROM", "r0") + _OUT,
        _COMPARE.replace("FROM", "map[id:5][0]+0") + _END),
    "context-constant": RareExample("sched_cls", "*(u32 *)(r1 + 8) = 5\n" + _END,
                                    "r2 = 5\n*(u32 *)(r1 + 8) = r2\n" + _END, Setting(kernel="6.1")),
    "dynptr-argument": RareExample(
        "sched_cls", "r1 = r10\nr1 += -16\nr2 = 0\nr3 = 8\ncall bpf_dynptr_data\n" + _END,
        _DYNPTR + "r1 = r10\nr1 += -16\nr2 = 0\nr3 = 8\ncall bpf_dynptr_data\n" + _DISCARD + _END),
    "dynptr-slot": RareExample("sched_cls", _DYNPTR + "*(u64 *)(r10 - 8) = 0\n" + _DISCARD + _END,
                               _DYNPTR + "*(u64 *)(r10 - 24) = 0\n" + _DISCARD + _END),
    "field-argument": RareExample(
        "sched_cls", _LOCKED + "r1 = r6\nr1 += 4\ncall bpf_spin_lock\n" + _UNLOCK + _OUT, _LOCK + _UNLOCK + _OUT),
    "global-function-argument": RareExample(
        "sched_cls", f"r2 = 0\ncall f\n{_END}\nf:\n{_END}", f"r1 = 0\nr2 = 0\ncall f\n{_END}\nf:\n{_END}",
        Setting(globals=(1,))),
    "gpl-only": RareExample("sched_cls", "call bpf_rcu_read_lock\ncall bpf_rcu_read_unlock\n" + _END,
                            "call bpf_rcu_read_lock\ncall bpf_rcu_read_unlock\n" + _END,
                            Setting(license="Proprietary"), USUAL),
    "invalid-insn": RareExample("sched_cls", ".8byte 0xff\n" + _END, _END),
    "irq-flag": RareExample(
        "sched_cls", "r1 = r10\nr1 += -8\ncall bpf_local_irq_restore\n" + _END,
        "r1 = r10\nr1 += -8\ncall bpf_local_irq_save\nr1 = r10\nr1 += -8\ncall bpf_local_irq_restore\n" + _END),
    "iterator-state": RareExample("sched_cls", _NEXT + _END, _ITERATOR + _NEXT + _DESTROY + _END),
    "kfunc-not-allowed": RareExample("sched_cls", "r2 = 0\ncall bpf_qdisc_skb_drop\n" + _END, _END),
    "kfunc-reference": RareExample("sched_cls", "call kfunc[id:1]\n" + _END, "call bpf_rcu_read_lock\n"
                                   "call bpf_rcu_read_unlock\n" + _END),
    "lock-held": RareExample("sched_cls", _LOCK + "call bpf_ktime_get_ns\n" + _UNLOCK + _OUT,
                             "call bpf_ktime_get_ns\n" + _LOCK + _UNLOCK + _OUT),
    "lock-pairing": RareExample("sched_cls", _LOCKED + _UNLOCK + _OUT, _LOCK + _UNLOCK + _OUT),
    "map-access-rights": RareExample("sched_cls", _FIXED + "*(u32 *)(r0 + 0) = 5\n" + _OUT,
                                     _FIXED + "r0 = *(u32 *)(r0 + 0)\n" + _OUT),
    "map-definition": RareExample("sched_cls", "r1 = map[id:6]\n" + _END, "r1 = map[id:0]\n" + _END, Setting(maps=7),
                                  USUAL),
    "map-not-for-program": RareExample("socket_filter", "r1 = map[id:4]\n" + _END, "r1 = map[id:0]\n" + _END),
    "map-reference": RareExample("sched_cls", "r1 = map[id:99]\n" + _END, "r1 = map[id:0]\n" + _END),
    "map-value-address": RareExample("sched_cls", "r1 = map[id:1][0]+0\n" + _END, "r1 = map[id:5][0]+0\n" + _END),
    "missing-capability": RareExample("sched_cls", _END, _END, Setting(missing="net_admin"), USUAL),
    "mixed-pointers": RareExample(
        "sched_cls", "*(u64 *)(r10 - 8) = 0\nr6 = *(u32 *)(r1 + 8)\nif r6 == 0 goto +2\nr1 = r10\nr1 += -8\n"
        "r0 = *(u32 *)(r1 + 0)\nexit",
        "*(u64 *)(r10 - 8) = 0\nr6 = *(u32 *)(r1 + 8)\nif r6 == 0 goto other\nr0 = *(u32 *)(r10 - 8)\nexit\nother:\n"
        "r0 = *(u32 *)(r1 + 0)\nexit"),
    "not-in-callback": RareExample(
        "sched_cls", "*(u64 *)(r10 - 8) = r1\nr1 = 4\nr2 = subprog[+7]\nr3 = r10\nr3 += -8\nr4 = 0\ncall bpf_loop\n"
        "r0 = 0\nexit\nr6 = *(u64 *)(r2 + 0)\nr0 = *(u8 *)skb[4]\n" + _END,
        "r6 = r1\nr0 = *(u8 *)skb[4]\n" + _END, _BTF),
    "null-argument": RareExample(
        "sched_cls", _CGROUP + "r1 = r0\ncall bpf_cgroup_release\n" + _END,
        _CGROUP + "if r0 == 0 goto out\nr1 = r0\ncall bpf_cgroup_release\n" + _OUT),
    "open-region": RareExample("sched_cls", "call bpf_rcu_read_lock\n" + _END,
                               "call bpf_rcu_read_lock\ncall bpf_rcu_read_unlock\n" + _END),
    "packet-argument": RareExample(
        "xdp", "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr4 = r2\nr4 += 64\nif r4 > r3 goto out\nr3 = 64\nr4 = 0\n"
        "call bpf_fib_lookup\n" + _OUT,
        "r2 = r10\nr2 += -64\nr3 = 64\nr4 = 0\ncall bpf_fib_lookup\n" + _OUT),
    "preempt-pairing": RareExample("sched_cls", "call bpf_preempt_enable\n" + _END,
                                   "call bpf_preempt_disable\ncall bpf_preempt_enable\n" + _END),
    "rcu-pairing": RareExample("sched_cls", "call bpf_rcu_read_unlock\n" + _END,
                               "call bpf_rcu_read_lock\ncall bpf_rcu_read_unlock\n" + _END),
    "sleepable-type": RareExample("syscall", _END, _END, USUAL, Setting(sleepable=True)),
    "sleeping-call": RareExample(
        "kprobe", "r1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\ncall bpf_copy_from_user\n" + _END,
        "r1 = r10\nr1 += -8\nr2 = 8\nr3 = 0\ncall bpf_probe_read_user\n" + _END),
    "special-field": RareExample("sched_cls", _LOCKED + "r0 = *(u32 *)(r6 + 0)\n" + _OUT,
                                 _LOCKED + "r0 = *(u32 *)(r6 + 4)\n" + _OUT),
    "stack-variable-offset": RareExample(
        "sched_cls", "r2 = *(u32 *)(r1 + 8)\nr2 &= 8\n*(u64 *)(r10 - 8) = 0\n*(u64 *)(r10 - 16) = 0\nr1 = r10\n"
        "r1 += -16\nr1 += r2\nr2 = 1\nlock *(u64 *)(r1 + 0) += r2\n" + _END,
        "*(u64 *)(r10 - 16) = 0\nr1 = r10\nr1 += -16\nr2 = 1\nlock *(u64 *)(r1 + 0) += r2\n" + _END),
    "struct-access": RareExample("sched_cls", _SOCKET + "r0 = *(u8 *)(r6 + 0)\n" + _OUT,
                                 _SOCKET + "r0 = *(u32 *)(r6 + 4)\n" + _OUT),
    "struct-write": RareExample(
        "sched_cls", _SOCKET + "r1 = r6\ncall bpf_skc_to_tcp_sock\nif r0 == 0 goto out\n*(u32 *)(r0 + 0) = 1\n" + _OUT,
        _SOCKET + "r1 = r6\ncall bpf_skc_to_tcp_sock\nif r0 == 0 goto out\nr0 = *(u32 *)(r0 + 0)\n" + _OUT),
    "too-complex": RareExample(
        "sched_cls", "r6 = r1\nr7 = 0\nagain:\nr1 = *(u32 *)(r6 + 8)\nif r7 >= r1 goto out\nr7 += 1\n"
        "call bpf_get_prandom_u32\ngoto again\n" + _OUT,
        "r6 = r1\nr7 = 0\nagain:\nr1 = *(u32 *)(r6 + 8)\nif r7 >= r1 goto out\nr7 += 1\nif r7 < 8 goto again\n" + _OUT),
    "too-many-functions": RareExample("sched_cls", _many(300), _many(3)),
    "uninit-stack": RareExample(
        "sched_cls", _ITERATOR + "r6 = *(u64 *)(r10 - 8)\n" + _DESTROY + _END,
        _ITERATOR + _NEXT + _DESTROY + _END),
    "unresolved-kfunc": RareExample("sched_cls", "call kfunc[id:0]\n" + _END, _END),
    "unsupported": RareExample("lsm", _END, _END, mended_type="sched_cls"),
    "unsupported-member": RareExample("struct_ops", _END, _END, Setting(hook="peek"), Setting(hook="reset")),
    "verifier-bug": RareExample(
        "sched_cls", "r6 = 0\nagain:\ncall bpf_get_prandom_u32\nif r0 != 5 goto on\nr1 = 0\ncall bpf_throw\non:\n"
        "r6 += 1\nif r6 < 9 goto again\n" + _END,
        "r6 = 0\nagain:\ncall bpf_get_prandom_u32\nif r0 == 5 goto thrown\nr6 += 1\nif r6 < 9 goto again\n"
        "thrown:\n" + _END),
}
