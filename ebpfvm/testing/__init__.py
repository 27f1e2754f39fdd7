"""The test kit that ebpfvm's own tests use to look for bugs, for anyone who changes it or builds on it.

docs/howto/testing.md shows how to use it.

====================  =============================================================================
`laws`                what holds for every program: `check(program, dialect, inputs)`
`inside`              the comparison of a run with the states that the verifier kept
`runs`                one program, many inputs, any engine
`generate`, `mutate`  random programs that are meant to be accepted, and small changes to them
`programs`            random programs of which about half are wrong
`campaign`            thousands of them by number; `ask` puts them before a real kernel
`strategies`          the same for hypothesis, which this module alone imports
`oracle`, `kload`     a real kernel as judge, through bpf(2)
====================  =============================================================================

A finding is a number: `campaign.case(number)` gives the program again, as long as the generator is not changed; put the
program itself into a test. `mutate.shrink` makes it small.
"""
