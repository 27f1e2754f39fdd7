"""The test kit that ebpfvm's own tests use to find bugs, for anyone who changes ebpfvm or builds on it.

docs/howto/testing.md shows how to use it.

====================  =============================================================================
`laws`                properties that hold for every program: `check(program, dialect, inputs)`
`inside`              compares each step of a run with the states that the verifier kept
`runs`                one program, many inputs, any engine
`generate`, `mutate`  random programs that are meant to be accepted, and small changes to them
`programs`            random programs of which about half are wrong
`campaign`            thousands of them by number; `ask` compares them with a real kernel
`strategies`          the same for hypothesis; `state_machines` has machines for maps and qdiscs
`adapters`            any verifier and engine behind three methods; `adapter_laws` are the laws over them
`reducer`             cuts a program to the smallest one that shows a difference; `case_files` keeps it as a file
`fuzzing`             campaigns that can be stopped and continued (`ebpfvm fuzz`)
`oracle`, `kload`     a real kernel's verdict, through bpf(2)
`tagged_programs`     tests that objects carry in declaration tags (docs/howto/expectations.md)
`kit`, `plugin`       for tests of eBPF programs: the fixture `bpf` of pytest (docs/howto/pytest.md)
====================  =============================================================================

A finding is identified by a number: `campaign.case(number)` reproduces the program. Because the number is only valid
until the generator changes, put the program itself into a test. `reducer.reduce` makes it smaller.
"""
