"""Sizes as tract writes them: sympy expressions of torch's tracer in tract's syntax."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import sympy
from sympy.printing.str import StrPrinter
from torch.utils._sympy.functions import Max, Min

from torchtract.lower.checks import Refusal
from torchtract.lower.rounding import rounded_toward_zero
from torchtract.lower.simplify import as_divisions
from torchtract.lower.value import Size

__all__ = ["dim_text"]


class _DimPrinter(StrPrinter):  # type: ignore[misc]
    """Prints `+ - * / min max` over symbols, with tract's division that rounds toward zero."""

    printmethod = "_tract"  # torch's own functions bring a method for sympy's usual printer

    def __init__(self, symbols: Mapping[sympy.Symbol, str]) -> None:
        super().__init__({"order": "none"})
        self.symbols = symbols

    def _print_Symbol(self, expr: sympy.Symbol) -> str:
        if expr not in self.symbols:
            raise Refusal(f"a size depends on {expr}, which is known only while running")
        return self.symbols[expr]

    def _print_FloorDiv(self, expr: sympy.Expr) -> str:
        base, divisor = expr.args
        return f"({self._print(base)}) / {divisor}"

    def _print_Mul(self, expr: sympy.Expr) -> str:
        numbers = [a for a in expr.args if isinstance(a, sympy.Integer)]
        others = [a for a in expr.args if not isinstance(a, sympy.Integer)]
        factors = sorted((self._factor(a) for a in others), key=lambda t: (t[0] == "(", t))
        factors += [str(n) for n in numbers]
        return " * ".join(factors)

    def _factor(self, expr: sympy.Expr) -> str:
        text = str(self._print(expr))
        simple = isinstance(expr, (sympy.Symbol, sympy.Integer, sympy.Pow, Min, Max))
        return text if simple else f"({text})"

    def _print_Add(self, expr: sympy.Expr, order: object = None) -> str:  # noqa: ARG002
        # Numbers last and no leading minus: `S - 1`, as people write it.
        terms = sorted(
            expr.args, key=lambda a: (a.is_Integer, a.could_extract_minus_sign(), str(a))
        )
        text = str(self._print(terms[0]))
        for term in terms[1:]:
            negative = term.could_extract_minus_sign()
            text += f" - {self._factor(-term)}" if negative else f" + {self._print(term)}"
        return text

    def _print_Pow(self, expr: sympy.Expr) -> str:
        base, exponent = expr.args
        if not (isinstance(exponent, sympy.Integer) and exponent > 0):
            raise Refusal(f"the size {expr} is no whole-number expression over the symbols")
        return " * ".join([self._factor(base)] * int(exponent))

    def _print_Abs(self, expr: sympy.Expr) -> str:
        return f"max({self._print(expr.args[0])}, {self._print(-expr.args[0])})"

    def emptyPrinter(self, expr: sympy.Basic) -> str:  # noqa: N802  (sympy's name)
        raise Refusal(f"the size {expr} has no counterpart in tract")

    def _print_Function(self, expr: sympy.Expr) -> str:
        return self.emptyPrinter(expr)

    def _print_Min(self, expr: sympy.Expr) -> str:
        return self._nested("min", expr)

    def _print_Max(self, expr: sympy.Expr) -> str:
        return self._nested("max", expr)

    def _nested(self, function: str, expr: sympy.Expr) -> str:
        parts = sorted(str(self._print(a)) for a in expr.args)
        return functools.reduce(lambda a, b: f"{function}({a}, {b})", parts)


def dim_text(size: Size, symbols: Mapping[sympy.Symbol, str]) -> str:
    """A size in tract's syntax: `S * 2`, `(S + 3) / 4`, `-1 + S`.

    Args:
        size: a number or an expression.
        symbols: the user's name of each symbol.

    Raises:
        Refusal: the expression holds something that tract's dimensions can't say.
    """
    if isinstance(size, int):
        return str(size)
    return str(_DimPrinter(symbols).doprint(rounded_toward_zero(as_divisions(size))))
