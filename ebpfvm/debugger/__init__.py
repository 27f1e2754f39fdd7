"""The debugger: a recording of everything that programs did, and a cursor that moves through it in both directions.

================  ==================================================================================================
`watched`         what a recording contains: stack frames, packet, context, maps, references, as keys and values
`recording`       `StepRecorder`, which observes the interpreter, and `Recording`, the steps with what each one changed
`verifier_path`   the path on which the verifier rejects a program, as a recording
`cursor`          a position in a recording, and the state there; moves by instruction, C line, function and breakpoint
`stops`           breakpoints: their grammar, and where they stop
`knowledge`       what the verifier knew before each instruction
`describe`        changes and values in words
`panes`           the text of what is shown: source, instructions, registers, stack, maps, packets and their owners
`function_names`  which function an instruction belongs to, and which one it calls
`console`         the line mode: commands, as in gdb
================  ==================================================================================================

A program is recorded to its end before the first command is read. So moving back is as cheap as moving forward, and a
fault can be looked at from behind.
"""
