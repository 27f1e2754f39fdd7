"""bpf_throw and exception callbacks."""

from __future__ import annotations

import pytest

from tests.unit.verifier.build import OUT, RESERVE, SUBMIT, Fn, build, message

THROW = "r1 = 0\ncall @bpf_throw\n"
END = "r0 = 0\nexit\n"
SOMETIMES = "r0 = r1\nif r1 == 0 goto out\n" + THROW + OUT
OLD, NEW = (6, 18), (7, 2)
LOOP = "r1 = 10\nr2 = @cb\nr3 = 0\nr4 = 0\ncall 181\n" + END
TAG = ("exception_callback:caught",)
CAUGHT = Fn("caught", "r0 = r1\nexit")


@pytest.mark.parametrize("version", [OLD, NEW])
def test_throw_ends_a_program(version: tuple[int, int]) -> None:
    assert message(build(THROW + END), version) == ""
    assert message(build("r1 = 3\ncall @sub\n" + END, Fn("sub", SOMETIMES)), version) == ""
    assert message(build("r1 = 3\ncall @sub\n" + END, Fn("sub", SOMETIMES, static=True)), version) == ""
    # What stands behind it is not walked.
    assert message(build(THROW + "r0 = *(u64 *)(r9 + 0)\n" + END), version) == ""


def test_the_cookie_is_a_number() -> None:
    assert message(build("call @bpf_throw\n" + END)) == "R1 is not a scalar"
    assert message(build("r1 = r10\ncall @bpf_throw\n" + END)) == "R1 is not a scalar"
    assert message(build("r1 = r9\ncall @bpf_throw\n" + END)) == "R9 !read_ok"


def test_nothing_may_be_left_over() -> None:
    lost = "bpf_throw would lead to reference leak"
    assert message(build(RESERVE + THROW + SUBMIT + OUT)).endswith(lost)
    inner = Fn("sub", SOMETIMES, static=True)
    assert message(build(RESERVE + "r1 = 3\ncall @sub\n" + SUBMIT + OUT, inner)).endswith(lost)
    for opened in ("bpf_rcu_read_lock", "bpf_preempt_disable", "bpf_local_irq_save"):
        text = f"r1 = r10\nr1 += -8\ncall @{opened}\n"
        refused = f"bpf_throw cannot be used inside {opened}-ed region"
        assert message(build(text + THROW + END)) == refused
        assert message(build(text + "r1 = 3\ncall @sub\n" + END, inner)) == refused


def test_a_global_function_that_throws_is_looked_at_by_new_kernels_only() -> None:
    program = build(RESERVE + "r1 = 3\ncall @sub\n" + SUBMIT + OUT, Fn("sub", SOMETIMES))
    assert message(program, OLD) == ""
    assert message(program, NEW).endswith("bpf_throw would lead to reference leak")


def test_callbacks_do_not_throw() -> None:
    direct = build(LOOP, Fn("cb", THROW + END, ("int", "int"), static=True))
    assert message(direct) == "bpf_throw kfunc (insn 9) cannot be called from callback subprog 1"
    deep = build(LOOP, Fn("cb", "call @sub\n" + END, ("int", "int"), static=True), Fn("sub", SOMETIMES, static=True))
    assert message(deep) == "bpf_throw kfunc (insn 14) cannot be called from callback subprog 2"


def test_not_inside_of_a_loop_without_kept_state() -> None:
    text = "r6 = 0\nloop:\ncall 7\nif r0 != 5 goto on\nr1 = 0\ncall @bpf_throw\non:\nr6 += 1\nif r6 < 100 goto loop\n"
    assert message(build(text + END)).startswith("verifier bug: scc exit: no visit info for call chain (")


def test_only_where_it_is_offered() -> None:
    assert message(build(THROW + END, type="socket_filter")) == "calling kernel function bpf_throw is not allowed"
    assert message(build(THROW + END, type="xdp")) == ""


# -- the function that gets it --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [OLD, NEW])
def test_exception_callback(version: tuple[int, int]) -> None:
    assert message(build(Fn("prog", THROW + END, ("ptr",), tags=TAG), CAUGHT), version) == ""
    assert message(build(Fn("prog", END, ("ptr",), tags=TAG), CAUGHT), version) == ""


@pytest.mark.parametrize(("caught", "text"), [
    (Fn("other", "r0 = 0\nexit"), "exception callback 'caught' could not be found in BTF"),
    (Fn("caught", "r0 = 0\nexit", static=True), "exception callback 'caught' must have global linkage"),
    (Fn("caught", "r0 = 0\nexit", ("int", "int")), "exception cb only supports single integer argument"),
    (Fn("caught", "r0 = 0\nexit", ()), "exception cb only supports single integer argument"),
    (Fn("caught", "r0 = 0\nexit", ("ptr",)), "exception cb only supports single integer argument"),
    (Fn("caught", "exit"), "R0 !read_ok"),
    (Fn("caught", THROW + END), "bpf_throw kfunc (insn 3) cannot be called from callback subprog 1"),
])
def test_exception_callback_refused(caught: Fn, text: str) -> None:
    main = "r1 = 1\ncall @other\n" + END if caught.name == "other" else END
    assert message(build(Fn("prog", main, ("ptr",), tags=TAG), caught)) == text


def test_exception_callback_without_result() -> None:
    program = build(Fn("prog", END, ("ptr",), tags=TAG), Fn("caught", "exit", result="void"))
    assert message(program, NEW) == "exception cb cannot return void"
    assert message(program, OLD) == ("Global function caught() doesn't return scalar. Only those are supported.")


def test_exception_callback_is_named_once_and_never_called() -> None:
    assert message(build(Fn("prog", END, ("ptr",), tags=(*TAG, "exception_callback:b")), CAUGHT)) \
        == "multiple exception callback tags for main subprog"
    called = build(Fn("prog", "r1 = 1\ncall @caught\n" + END, ("ptr",), tags=TAG), CAUGHT)
    assert message(called) == "insn 1 cannot call exception cb directly"
    main = build(Fn("caught", END, ("int",), tags=TAG))
    assert message(main) == "invalid exception callback insn_off in func_info: 0"
