"""The instruction set: the table of instructions, and everything that follows from it alone.

`table` has a row per instruction and `syntax` its spellings; `disasm` and `asm` convert between slots and text,
`legality` checks whether a kernel accepts an instruction, and `manual` generates the tables of
docs/reference/assembler.md.
"""
