"""What an instruction is: the table, and everything that is told by it alone.

`table` has a row per instruction, `syntax` its spellings; `disasm` and `asm` go between slots and text, `legality`
knows why a kernel refuses an instruction, `manual` makes the tables of docs/reference/assembler.md.
"""
