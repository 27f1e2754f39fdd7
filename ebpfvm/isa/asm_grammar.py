"""The grammar of assembly text (ply), with two start symbols: `pseudo_c` and `plain`.

`pseudo_c` is what clang, llvm-objdump, the kernel's log and bpftool write; `plain` is the mnemonics of user-space
virtual machines. A parser receives one statement without label and comment, which `ebpfvm.isa.asm` removes, and
returns a `Parsed`. Tables are built on first use and never written to disk.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, NoReturn

from ply import yacc

from ebpfvm.isa import asm_actions as act
from ebpfvm.isa.asm_tokens import (
    Lexer,
    Name,
    Number,
    Parsed,
    RegToken,
    Relative,
    Start,
    SyntaxTrouble,
)
from ebpfvm.isa.table import BY_NAME, ROWS

_ALU: Final = {row.symbol: row.op for row in ROWS if row.kind == "alu" and row.source and row.symbol != "="}
_JUMP: Final = {row.symbol: row.op for row in ROWS if row.kind == "jmp"}
_RMW: Final = {row.symbol: row.op for row in ROWS if row.kind == "atomic" and not row.fetch}
_SUFFIX: Final = {8: "b", 16: "h", 32: "w", 64: "dw"}


class AsmGrammar:
    """The grammar rules; ply reads the productions from the docstrings."""

    tokens = Lexer.tokens

    def __init__(self, start: Start) -> None:
        self.lexer = Lexer(start).lexer
        self.parser = yacc.yacc(module=self, start=start, write_tables=False, debug=False,
                                errorlog=yacc.NullLogger())

    def parse(self, text: str) -> Parsed:
        """Return the parsed statement; raise SyntaxTrouble if it is malformed."""
        self.end = len(text.rstrip())
        result: Parsed = self.parser.parse(text, lexer=self.lexer, tracking=True)
        return result

    def p_error(self, p: Any) -> NoReturn:
        if p is None:
            raise SyntaxTrouble("the instruction is incomplete", self.end)
        value = p.value
        text = getattr(value, "text", None) or (value if isinstance(value, str) else self._written(p))
        raise SyntaxTrouble(f"unexpected {text!r}", p.lexpos)

    def _written(self, p: Any) -> str:
        return str(p.lexer.lexdata[p.lexpos:p.lexer.lexpos])

    # Parts common to both.

    def p_number(self, p: Any) -> None:
        """number : NUMBER
                  | MINUS NUMBER
                  | PLUS NUMBER"""
        if len(p) == 2:
            p[0] = p[1]
        else:
            value = -p[2].value if p[1] == "-" else p[2].value
            p[0] = Number(value, p.lexpos(1), p[2].pattern and p[1] == "+")

    def p_displacement(self, p: Any) -> None:
        """displacement :
                        | PLUS number
                        | MINUS NUMBER"""
        if len(p) == 1:
            p[0] = None
        elif p[1] == "+":
            p[0] = p[2]
        else:
            p[0] = Number(-p[2].value, p.lexpos(1))

    def p_target(self, p: Any) -> None:
        """target : NUMBER
                  | PC
                  | WORD
                  | PLUS NUMBER
                  | MINUS NUMBER
                  | keyword"""
        p[0] = p[1] if len(p) == 2 else Relative(p[2].value if p[1] == "+" else -p[2].value, p.lexpos(1))

    def p_keyword(self, p: Any) -> None:
        """keyword : IF
                   | GOTO
                   | GOTOL
                   | GOTOX
                   | MAY_GOTO
                   | CALL
                   | CALLX
                   | EXIT
                   | LOCK
                   | FETCH
                   | LL
                   | SKB
                   | LOAD_ACQUIRE
                   | STORE_RELEASE
                   | VOID
                   | ADDR_SPACE_CAST
                   | PERCPU
                   | SIZE
                   | SWAP
                   | ATOMIC
                   | EXCHANGE"""
        p[0] = Name(p[1], p.lexpos(1))  # a label may have the name of an instruction

    def p_callee(self, p: Any) -> None:
        """callee : target
                  | NUMBERED
                  | PSEUDO"""
        p[0] = p[1]

    # Pseudo-C.

    def p_pseudo_c(self, p: Any) -> None:
        """pseudo_c : alu
                    | memory
                    | atomic
                    | wide
                    | flow"""
        p[0] = p[1]

    def p_operand(self, p: Any) -> None:
        """operand : REG
                   | number"""
        p[0] = p[1]

    def p_alu(self, p: Any) -> None:
        """alu : REG ASSIGN operand
               | REG EQUALS operand"""
        p[0] = act.alu(p[1], "mov" if p[2] == "=" else _ALU[p[2]], p[3])

    def p_alu_negate(self, p: Any) -> None:
        """alu : REG EQUALS MINUS REG"""
        act.same_register(p[1], p[4], "a negation")
        p[0] = Parsed(BY_NAME["neg" + act.width_of(p[1])], p[1].number)

    def p_alu_extend(self, p: Any) -> None:
        """alu : REG EQUALS '(' SIZE ')' REG"""
        row = BY_NAME.get(f"movsx{p[4][1:]}_{act.width_of(p[1])}") if p[4][0] == "s" else None
        if row is None:
            raise SyntaxTrouble(f"{p[1].letter} registers have no move with ({p[4]})", p.lexpos(4))
        act.same_width(p[1], p[6])
        p[0] = Parsed(row, p[1].number, p[6].number)

    def p_alu_swap(self, p: Any) -> None:
        """alu : REG EQUALS SWAP REG"""
        act.same_register(p[1], p[4], "a byte swap")
        if p[1].letter == "w":
            raise SyntaxTrouble("byte swaps name r registers", p[1].column)
        p[0] = Parsed(BY_NAME[p[3]], p[1].number)

    def p_alu_cast(self, p: Any) -> None:
        """alu : REG EQUALS ADDR_SPACE_CAST '(' REG ',' number ',' number ')'"""
        act.wide_registers("addr_space_cast", p[1], p[5])
        p[0] = act.cast(p[1].number, p[5].number, p[7], p[9])

    def p_alu_percpu(self, p: Any) -> None:
        """alu : REG EQUALS AMP '(' VOID PERCPU STAR ')' '(' REG ')'"""
        act.wide_registers("a per-CPU address", p[1], p[10])
        p[0] = Parsed(BY_NAME["percpu"], p[1].number, p[10].number)

    def p_pointer(self, p: Any) -> None:
        """pointer : '(' SIZE STAR ')'"""
        p[0] = p[2]

    def p_address(self, p: Any) -> None:
        """address : '(' REG displacement ')'"""
        act.wide_registers("an address", p[2])
        p[0] = (p[2].number, p[3])

    def p_place(self, p: Any) -> None:
        """place : STAR pointer address"""
        p[0] = (p[2], *p[3])

    def p_memory_load(self, p: Any) -> None:
        """memory : REG EQUALS place"""
        size, base, off = p[3]
        act.fits_register(p[1], size, size[0] == "s")
        name = f"ldx{'s' if size[0] == 's' else ''}_{_SUFFIX[int(size[1:])]}"
        if name not in BY_NAME:
            raise SyntaxTrouble("there is no load of s64; write u64", p.lexpos(3))
        p[0] = Parsed(BY_NAME[name], p[1].number, base, off)

    def p_memory_store(self, p: Any) -> None:
        """memory : place EQUALS operand"""
        size, base, off = p[1]
        suffix = _SUFFIX[act.unsigned(size, p.lexpos(1))]
        if isinstance(p[3], RegToken):
            act.fits_register(p[3], size, False)
            p[0] = Parsed(BY_NAME[f"stx_{suffix}"], base, p[3].number, off)
        else:
            p[0] = Parsed(BY_NAME[f"st_{suffix}"], base, 0, off, p[3])

    def p_memory_packet(self, p: Any) -> None:
        """memory : REG EQUALS STAR pointer SKB '[' number ']'
                  | REG EQUALS STAR pointer SKB '[' REG displacement ']'"""
        suffix = _SUFFIX[act.unsigned(p[4], p.lexpos(3))]
        if p[1].number or p[1].letter != "r" or suffix == "dw":
            raise SyntaxTrouble("a packet load goes to r0 and has 8, 16 or 32 bits", p[1].column)
        if len(p) == 9:
            p[0] = Parsed(BY_NAME[f"ld_abs_{suffix}"], imm=p[7])
        else:
            p[0] = Parsed(BY_NAME[f"ld_ind_{suffix}"], src=p[7].number, imm=p[8])

    def p_atomic_lock(self, p: Any) -> None:
        """atomic : LOCK place ASSIGN REG"""
        if p[3] not in _RMW:
            raise SyntaxTrouble(f"there is no atomic {p[3]}; only += |= &= ^=", p.lexpos(3))
        p[0] = act.atomic(_RMW[p[3]], p[2], p[4], p.lexpos(2))

    def p_atomic_fetch(self, p: Any) -> None:
        """atomic : REG EQUALS ATOMIC '(' pointer address ',' REG ')'
                  | REG EQUALS ATOMIC '(' pointer address ',' REG ',' REG ')'"""
        op = p[3].partition("_")[2]
        if (op == "cmpxchg") != (len(p) == 12):
            raise SyntaxTrouble(f"{p[3]} takes {3 if op == 'cmpxchg' else 2} operands", p.lexpos(3))
        source = p[len(p) - 2]
        act.same_register(p[1], p[8], p[3])
        if op == "cmpxchg" and p[1].number:
            raise SyntaxTrouble("cmpxchg compares with r0 and returns into r0", p[1].column)
        p[0] = act.atomic(op, (p[5], *p[6]), source, p.lexpos(3), p[1])

    def p_atomic_exchange(self, p: Any) -> None:
        """atomic : REG EQUALS EXCHANGE '(' REG displacement ',' REG ')'
                  | REG EQUALS EXCHANGE '(' REG displacement ',' REG ',' REG ')'"""
        op, wide = p[3].partition("xchg")[0] + "xchg", p[3].endswith("_64")
        if (op == "cmpxchg") != (len(p) == 12):
            raise SyntaxTrouble(f"{p[3]} takes {3 if op == 'cmpxchg' else 2} operands", p.lexpos(3))
        act.same_register(p[1], p[8], p[3])
        if op == "cmpxchg" and p[1].number:
            raise SyntaxTrouble("cmpxchg compares with r0 and returns into r0", p[1].column)
        act.wide_registers("an address", p[5])
        source = p[len(p) - 2]
        p[0] = act.atomic(op, ("u64" if wide else "u32", p[5].number, p[6]), source, p.lexpos(3), p[1])

    def p_atomic_acquire(self, p: Any) -> None:
        """atomic : REG EQUALS LOAD_ACQUIRE '(' pointer address ')'"""
        width = act.unsigned(p[5], p.lexpos(4))
        act.fits_register(p[1], p[5], False)
        p[0] = Parsed(BY_NAME[f"load_acquire_{_SUFFIX[width]}"], p[1].number, *p[6])

    def p_atomic_release(self, p: Any) -> None:
        """atomic : STORE_RELEASE '(' pointer address ',' REG ')'"""
        width = act.unsigned(p[3], p.lexpos(2))
        act.fits_register(p[6], p[3], False)
        base, off = p[4]
        p[0] = Parsed(BY_NAME[f"store_release_{_SUFFIX[width]}"], base, p[6].number, off)

    def p_wide(self, p: Any) -> None:
        """wide : REG EQUALS number LL
                | REG EQUALS WORD LL
                | REG EQUALS PSEUDO LL
                | REG EQUALS PSEUDO"""
        p[0] = act.wide(p[1], p[3])

    def p_flow_if(self, p: Any) -> None:
        """flow : IF REG COMPARE operand GOTO target
                | IF REG AMP operand GOTO target"""
        op, width = _JUMP[p[3]], act.width_of(p[2])
        if isinstance(p[4], RegToken):
            act.same_width(p[2], p[4])
            p[0] = Parsed(BY_NAME[f"{op}{width}_x"], p[2].number, p[4].number, target=p[6])
        else:
            p[0] = Parsed(BY_NAME[f"{op}{width}_k"], p[2].number, imm=p[4], target=p[6])

    def p_flow_goto(self, p: Any) -> None:
        """flow : GOTO target
                | GOTOL target
                | MAY_GOTO target"""
        p[0] = Parsed(BY_NAME["ja" if p[1] == "goto" else p[1]], target=p[2])

    def p_flow_register(self, p: Any) -> None:
        """flow : GOTOX REG
                | CALLX REG"""
        act.wide_registers(p[1], p[2])
        p[0] = Parsed(BY_NAME[p[1]], p[2].number)

    def p_flow_call(self, p: Any) -> None:
        """flow : CALL callee"""
        p[0] = act.call(p[2])

    def p_flow_exit(self, p: Any) -> None:
        """flow : EXIT"""
        p[0] = Parsed(BY_NAME["exit"])

    # Mnemonics: the leading words select the rows, and the operands select the form.

    def p_plain(self, p: Any) -> None:
        """plain : mnemonic operands"""
        p[0] = act.plain(p[1], p[2])

    def p_mnemonic(self, p: Any) -> None:
        """mnemonic : WORD
                    | WORD LOCAL
                    | LOCK WORD
                    | LOCK FETCH WORD"""
        words = [getattr(part, "text", part) for part in p[1:]]
        p[0] = Name(" ".join(words), p[1].column if isinstance(p[1], Name) else p.lexpos(1))

    def p_operands(self, p: Any) -> None:
        """operands :
                    | operand_list"""
        p[0] = p[1] if len(p) == 2 else []

    def p_operand_list(self, p: Any) -> None:
        """operand_list : plain_operand
                        | operand_list ',' plain_operand"""
        p[0] = [p[1]] if len(p) == 2 else [*p[1], p[3]]

    def p_plain_operand(self, p: Any) -> None:
        """plain_operand : REG
                         | callee
                         | LOCAL
                         | '[' REG displacement ']'"""
        if len(p) == 2:
            p[0] = Name(p[1], p.lexpos(1)) if p[1] == "local" else p[1]
        else:
            p[0] = (p[2].number, p[3])


@cache
def grammar(start: Start) -> AsmGrammar:
    """Return the parser of a start symbol; building its tables takes about a tenth of a second, once."""
    return AsmGrammar(start)
