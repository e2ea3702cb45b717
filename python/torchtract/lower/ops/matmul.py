"""Products of matrices, vectors and batches of them, and Einstein's summation."""

from __future__ import annotations

import string
from collections.abc import Sequence

import torch

from torchtract.lower.builder import Builder, Operand
from torchtract.lower.limbs import summed_exactly
from torchtract.lower.ops.elementwise import product
from torchtract.lower.ops.half_precision import computed_in_float32
from torchtract.lower.ops.shape import axis_of, diagonal_of, integers
from torchtract.lower.registry import lowers
from torchtract.lower.value import Value
from torchtract.nnef import Ref

__all__ = ["batched_product", "contract"]

aten = torch.ops.aten


# Contractions: what every product is written with.


def contract(b: Builder, terms: Sequence[str], operands: Sequence[Value], output: str) -> Value:
    """Einstein's summation over tensors of one element type, a letter for each axis.

    Axes of size 1 are repeated as the others' sizes ask, as in `torch.einsum`.

    Args:
        terms: the letters of each operand's axes, none twice in one.
        output: the letters of the result's axes, each in some operand.
    """
    if not operands[0].dtype.is_floating_point:  # torch.einsum sums into int64
        operands = [b.cast(x, b.result.dtype) for x in operands]
    term, x = terms[0], operands[0]
    for i in range(1, len(terms)):
        later = set(output).union(*terms[i + 1 :])
        kept = "".join(a for a in dict.fromkeys(term + terms[i]) if a in later)
        joined = output if i == len(terms) - 1 else kept
        x = _product(b, (term, x), (terms[i], operands[i]), joined)
        term = joined
    term, x = _summed(b, (term, x), output)
    return b.transpose(x, [term.index(letter) for letter in output])


def batched_product(b: Builder, x: Value, y: Value, equation: str) -> Value:
    """`equation`, such as `"mk,kn->mn"`, on the last axes of tensors with batch axes ahead."""
    inputs, output = equation.split("->")
    left, right = inputs.split(",")
    batch = [c for c in string.ascii_letters if c not in equation]
    batch = batch[: max(x.rank - len(left), y.rank - len(right))]
    left = _last(batch, x.rank - len(left)) + left
    right = _last(batch, y.rank - len(right)) + right
    return contract(b, [left, right], [x, y], "".join(batch) + output)


def _last(letters: Sequence[str], count: int) -> str:
    return "".join(letters[len(letters) - count :])


def _product(b: Builder, left: tuple[str, Value], right: tuple[str, Value], output: str) -> Value:
    """The contraction of two tensors."""
    (term, x), (other, y) = left, right
    if not x.dtype.is_floating_point:
        return summed_exactly(b, lambda x, y: _product(b, (term, x), (other, y), output), x, y)
    left, right = _without_ones(b, left, right), _without_ones(b, right, left)
    left, right = _summed(b, left, right[0] + output), _summed(b, right, left[0] + output)
    (term, x), (other, y) = left, right
    x, y = (_copied(b, v) if _is_broadcast(b, v) else v for v in (x, y))
    return b.einsum(f"{term},{other}->{output}", x, y)


def _without_ones(
    b: Builder, operand: tuple[str, Value], other: tuple[str, Value]
) -> tuple[str, Value]:
    """An operand without axes of size 1 that the other has at length.

    Tract would take that 1 for the length of a sum.
    """
    term, x = operand
    lengths = dict(zip(other[0], other[1].shape, strict=True))
    ones = [a for a, c in enumerate(term) if x.shape[a] == 1 and lengths.get(c, 1) != 1]
    return "".join(c for a, c in enumerate(term) if a not in ones), b.squeeze(x, ones)


def _summed(b: Builder, operand: tuple[str, Value], kept: str) -> tuple[str, Value]:
    """An operand summed over the axes that nothing else needs."""
    term, x = operand
    axes = [a for a, letter in enumerate(term) if letter not in kept]
    if axes and not x.dtype.is_floating_point:
        total = summed_exactly(b, lambda x: b.reduce("sum_reduce", x, axes), x)
        return "".join(c for c in term if c in kept), total
    half = x.dtype in (torch.float16, torch.bfloat16)
    total = b.reduce("sum_reduce", b.cast(x, torch.float32) if axes and half else x, axes)
    return "".join(c for c in term if c in kept), b.cast(total, x.dtype)


#: Operations behind which tract still finds a broadcast: it splits products of what is joined.
_VIEWS = frozenset(
    {
        *("concat", "copy", "reshape", "slice", "squeeze", "tract_core_dyn_slice", "transpose"),
        "unsqueeze",
    }
)


def _is_broadcast(b: Builder, x: Value) -> bool:
    """Whether the tensor, or a part that it is joined of, is another one repeated along an axis."""
    if x.data is not None:
        return False
    names = {x.name}
    for operation in reversed(b.graph.operations):
        if not names & {*operation.outputs}:
            continue
        if operation.op in ("tract_core_broadcast", "tile"):
            return True
        names -= {*operation.outputs}
        if operation.op in _VIEWS:
            source = next(iter(operation.arguments.values()))
            parts = source if isinstance(source, (list, tuple)) else [source]
            names |= {part.name for part in parts if isinstance(part, Ref)}
        if not names:
            break
    return False


def _copied(b: Builder, x: Value) -> Value:
    """A repeated tensor as one of its own: tract's products forget how often it is repeated."""
    long = [axis for axis, size in enumerate(x.shape) if size != 1]
    if not long:
        return x
    axis = min(long, key=lambda a: not isinstance(x.shape[a], int))
    return b.emit("tract_core_gather", x, integers(b, x.shape[axis]), axis=axis, like=x)


# Products of matrices and vectors.


@lowers(aten.matmul.default, aten.linalg_matmul.default)
def matmul(b: Builder, x: Value, other: Value) -> Value:
    """matmul(Tensor self, Tensor other) -> Tensor"""
    left, right = "mk"[-x.rank :], "kn"[: other.rank]
    output = left.removesuffix("k") + right.removeprefix("k")
    return batched_product(b, x, other, f"{left},{right}->{output}")


@lowers(aten.mm.default, aten.bmm.default)
def mm(b: Builder, x: Value, mat2: Value) -> Value:
    """mm(Tensor self, Tensor mat2) -> Tensor"""
    return batched_product(b, x, mat2, "mk,kn->mn")


@lowers(aten.mv.default)
def mv(b: Builder, x: Value, vec: Value) -> Value:
    """mv(Tensor self, Tensor vec) -> Tensor"""
    return contract(b, ["mk", "k"], [x, vec], "m")


@lowers(aten.dot.default)
def dot(b: Builder, x: Value, tensor: Value) -> Value:
    """dot(Tensor self, Tensor tensor) -> Tensor"""
    return contract(b, ["k", "k"], [x, tensor], "")


@lowers(aten.vdot.default)
def vdot(b: Builder, x: Value, other: Value) -> Value:
    """vdot(Tensor self, Tensor other) -> Tensor"""
    return contract(b, ["k", "k"], [x, other], "")


@lowers(aten.outer.default, aten.ger.default)
def outer(b: Builder, x: Value, vec2: Value) -> Value:
    """outer(Tensor self, Tensor vec2) -> Tensor"""
    column, row = b.promote(b.unsqueeze(x, [1]), vec2, dtype=b.result.dtype)
    return product(b, column, row)


@lowers(aten.linear.default)
def linear(b: Builder, x: Value, weight: Value, bias: Value | None = None) -> Value:
    """linear(Tensor input, Tensor weight, Tensor? bias=None) -> Tensor"""
    if weight.rank == 1:
        return _affine(b, x, weight, bias)
    return b.along_last(x, lambda rows: _affine(b, rows, weight, bias))


def _affine(b: Builder, x: Value, weight: Value, bias: Value | None) -> Value:
    units = "n" if weight.rank == 2 else ""
    batch = "".join([c for c in string.ascii_letters if c not in "kn"][: x.rank - 1])
    y = contract(b, [f"{batch}k", f"{units}k"], [x, weight], batch + units)
    return y if bias is None else _sum(b, y, bias)


@lowers(aten.bilinear.default)
def bilinear(
    b: Builder, input1: Value, input2: Value, weight: Value, bias: Value | None = None
) -> Value:
    """bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias=None) -> Tensor"""
    batch = "".join([c for c in string.ascii_letters if c not in "ijn"][: input1.rank - 1])
    terms = [f"{batch}i", "nij", f"{batch}j"]
    y = contract(b, terms, [input1, weight, input2], f"{batch}n")
    return y if bias is None else _sum(b, y, bias)


# Products that are added to a tensor.


@lowers(aten.addmm.default)
@computed_in_float32
def addmm(
    b: Builder, x: Value, mat1: Value, mat2: Value, beta: Operand = 1, alpha: Operand = 1
) -> Value:
    """addmm(Tensor self, Tensor mat1, Tensor mat2, *, Scalar beta=1, Scalar alpha=1) -> Tensor"""
    return _added(b, x, contract(b, ["mk", "kn"], [mat1, mat2], "mn"), beta, alpha)


@lowers(aten.baddbmm.default)
@computed_in_float32
def baddbmm(
    b: Builder, x: Value, batch1: Value, batch2: Value, beta: Operand = 1, alpha: Operand = 1
) -> Value:
    """baddbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1)"""
    return _added(b, x, contract(b, ["bmk", "bkn"], [batch1, batch2], "bmn"), beta, alpha)


@lowers(aten.addbmm.default)
def addbmm(
    b: Builder, x: Value, batch1: Value, batch2: Value, beta: Operand = 1, alpha: Operand = 1
) -> Value:
    """addbmm(Tensor self, Tensor batch1, Tensor batch2, *, Scalar beta=1, Scalar alpha=1)"""
    count = batch1.shape[0]
    if x.dtype != torch.float16 or not isinstance(count, int) or count == 0:
        return _added(b, x, contract(b, ["bmk", "bkn"], [batch1, batch2], "mn"), beta, alpha)
    for i in range(count):  # PyTorch rounds each sum
        left, right = (b.squeeze(b.slice(v, 0, i, i + 1), [0]) for v in (batch1, batch2))
        x = addmm(b, x=x, mat1=left, mat2=right, beta=beta if i == 0 else 1, alpha=alpha)
    return x


@lowers(aten.addmv.default)
@computed_in_float32
def addmv(
    b: Builder, x: Value, mat: Value, vec: Value, beta: Operand = 1, alpha: Operand = 1
) -> Value:
    """addmv(Tensor self, Tensor mat, Tensor vec, *, Scalar beta=1, Scalar alpha=1) -> Tensor"""
    return _added(b, x, contract(b, ["mk", "k"], [mat, vec], "m"), beta, alpha)


@lowers(aten.addr.default)
def addr(
    b: Builder, x: Value, vec1: Value, vec2: Value, beta: Operand = 1, alpha: Operand = 1
) -> Value:
    """addr(Tensor self, Tensor vec1, Tensor vec2, *, Scalar beta=1, Scalar alpha=1) -> Tensor"""
    dtype = b.result.dtype
    column = b.unsqueeze(b.cast(vec1, dtype), [1])
    if alpha != 1:
        column = product(b, column, b.scalar(alpha, dtype))
    outer_product = product(b, column, b.cast(vec2, dtype))
    return _added(b, b.cast(x, dtype), outer_product, beta, 1)


def _added(b: Builder, x: Value, addend: Value, beta: Operand, alpha: Operand) -> Value:
    """`beta * x + alpha * addend`, where nothing of x is left if beta is 0."""
    if alpha != 1:
        addend = product(b, addend, b.scalar(alpha, addend.dtype))
    if beta == 0:
        return b.broadcast(addend, b.result.shape)
    if beta != 1:
        x = product(b, x, b.scalar(beta, x.dtype))
    return _sum(b, x, addend)


def _sum(b: Builder, x: Value, y: Value) -> Value:
    return b.binary("or" if x.dtype == torch.bool else "add", x, y)


# Sums over named axes.


@lowers(aten.einsum.default)
def einsum(b: Builder, equation: str, tensors: list[Value], path: list[int] | None = None) -> Value:
    """einsum(str equation, Tensor[] tensors, *, int[]? path=None) -> Tensor"""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    free = [c for c in string.ascii_letters if c not in equation]
    behind = [x.rank - len(t.replace("...", "")) for t, x in zip(terms, tensors, strict=True)]
    ellipsis = free[: max(behind)]
    if not arrow:
        once = sorted(c for c in set(inputs) - set("., ") if inputs.count(c) == 1)
        output = "..." + "".join(once)
    terms = [t.replace("...", _last(ellipsis, n)) for t, n in zip(terms, behind, strict=True)]
    operands = [_of_diagonals(b, t, x) for t, x in zip(terms, tensors, strict=True)]
    terms, tensors = [t for t, _ in operands], [x for _, x in operands]
    return contract(b, terms, tensors, output.replace("...", "".join(ellipsis)))


def _of_diagonals(b: Builder, term: str, x: Value) -> tuple[str, Value]:
    """An operand, of axes with one letter their diagonal."""
    for letter in term:
        while term.count(letter) > 1:
            matrix = term.index(letter), term.rindex(letter)
            x = diagonal_of(b, x, matrix)
            term = "".join(c for axis, c in enumerate(term) if axis not in matrix) + letter
    return term, x


@lowers(aten.tensordot.default)
def tensordot(
    b: Builder, x: Value, other: Value, dims_self: list[int], dims_other: list[int]
) -> Value:
    """tensordot(Tensor self, Tensor other, int[] dims_self, int[] dims_other) -> Tensor"""
    left = string.ascii_lowercase[: x.rank]
    right = list(string.ascii_uppercase[: other.rank])
    for mine, theirs in zip(dims_self, dims_other, strict=True):
        right[axis_of(theirs, other.rank)] = left[axis_of(mine, x.rank)]
    output = "".join(c for c in left if c not in right)
    output += "".join(c for c in right if c not in left)
    return contract(b, [left, "".join(right)], [x, other], output)
