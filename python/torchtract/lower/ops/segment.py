"""Reductions of an axis part by part, where a tensor says where the parts are."""

from __future__ import annotations

import math

import sympy
import torch

from torchtract.lower.builder import Builder
from torchtract.lower.checks import require
from torchtract.lower.ops.compare import isnan
from torchtract.lower.ops.division import div
from torchtract.lower.ops.scatter import written
from torchtract.lower.ops.shape import axis_of, integers
from torchtract.lower.registry import lowers
from torchtract.lower.value import Fact, Size, Value, size_of, volume

aten = torch.ops.aten

#: What each reduction begins with, and tract's name of it.
_REDUCTIONS = {
    "sum": (0.0, "add"),
    "mean": (0.0, "add"),
    "prod": (1.0, "mul"),
    "max": (-math.inf, "max"),
    "min": (math.inf, "min"),
}


def _number_of_part(b: Builder, ends: Value, size: Size) -> Value:
    """How many parts end at each position or ahead of it: [rows, parts] gives [rows, size]."""
    place = integers(b, size)
    ended = b.binary("le", b.unsqueeze(ends, [1]), b.unsqueeze(place, [1]), torch.bool)
    return b.reduce("sum_reduce", b.cast(ended, torch.int64), [2])


@lowers(aten.segment_reduce.default)
def segment_reduce(
    b: Builder,
    data: Value,
    reduce: str,
    lengths: Value | None = None,
    indices: Value | None = None,
    offsets: Value | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Value:
    """segment_reduce(Tensor data, str reduce, *, Tensor? lengths=None, Tensor? indices=None,
    Tensor? offsets=None, int axis=0, bool unsafe=False, Scalar? initial=None) -> Tensor
    """
    require(indices is None, "its indices have no counterpart")
    axis = axis_of(axis, data.rank)
    rows, size, inner = volume(data.shape[:axis]), data.shape[axis], data.shape[axis + 1 :]
    ends, lengths = _ends_and_lengths(b, lengths, offsets, rows)
    parts = ends.shape[1]
    begin, reduction = _REDUCTIONS[reduce]
    begin = begin if initial is None else initial
    # One part more, for what is behind the last of them.
    width = size_of(sympy.sympify(parts) + 1)
    row = b.binary("mul", b.unsqueeze(integers(b, rows), [1]), b.scalar(width, torch.int64))
    place = b.reshape(b.binary("add", row, _number_of_part(b, ends, size)), [volume([rows, size])])
    flat = b.reshape(data, [volume([rows, size]), *inner])
    onto = b.full(begin, data.dtype, [volume([rows, width]), *inner])
    total = b.reshape(written(b, onto, 0, place, flat, reduction), [rows, width, *inner])
    total = b.slice(total, 1, 0, parts)
    if reduce == "mean":
        total = _mean(b, total, lengths, initial)
    return b.reshape(total, b.result.shape)


def _ends_and_lengths(
    b: Builder, lengths: Value | None, offsets: Value | None, rows: Size
) -> tuple[Value, Value]:
    """Of the parts of each row: [rows, parts]."""
    if lengths is not None:
        lengths = b.cast(b.reshape(lengths, [rows, lengths.shape[-1]]), torch.int64)
        ends = b.emit("tract_core_cumsum", lengths, axis=1, exclusive=False, reverse=False)
        return ends, lengths
    require(offsets is not None, "it has neither lengths nor offsets")
    assert offsets is not None
    offsets = b.cast(b.reshape(offsets, [rows, offsets.shape[-1]]), torch.int64)
    last = offsets.shape[1]
    ends = b.slice(offsets, 1, 1, last)
    begins = b.slice(offsets, 1, 0, size_of(sympy.sympify(last) - 1))
    return ends, b.binary("sub", ends, begins)


def _mean(b: Builder, total: Value, lengths: Value, initial: float | None) -> Value:
    counts = b.cast(b.unsqueeze(lengths, list(range(2, total.rank))), total.dtype)
    empty = b.binary("eq", counts, b.scalar(0, total.dtype), torch.bool)
    alone = total if initial is not None else b.scalar(torch.nan, total.dtype)
    return b.where(empty, alone, div(b, total, counts))


# Bags of rows of a table.


@lowers(aten._embedding_bag_forward_only.default, aten._embedding_bag.default)
def embedding_bag(
    b: Builder,
    weight: Value,
    indices: Value,
    offsets: Value,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Value | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> tuple[Value, ...]:
    """_embedding_bag_forward_only(Tensor weight, Tensor indices, Tensor offsets, ...,
    int mode=0, ..., Tensor? per_sample_weights=None, bool include_last_offset=False,
    int padding_idx=-1) -> (Tensor, Tensor, Tensor, Tensor)
    """
    output, of_bag, sizes, largest = b.results
    indices, offsets = (b.cast(v, torch.int64) for v in (indices, offsets))
    bags = output.shape[0]
    if 0 in (*indices.shape, *output.shape):
        return tuple(b.full(0, fact.dtype, fact.shape) for fact in b.results)
    offsets = b.slice(offsets, 0, 0, bags)
    begun = _number_of_part(b, b.unsqueeze(offsets, [0]), indices.shape[0])
    bag = b.binary("sub", b.squeeze(begun, [0]), b.scalar(1, torch.int64))
    kept = b.binary("ne", indices, b.scalar(padding_idx, torch.int64), torch.bool)
    ones = b.cast(kept, torch.int64)
    counts = written(b, b.full(0, torch.int64, [bags]), 0, bag, ones, "add")
    like = weight.of(shape=[*indices.shape, *weight.shape[1:]])
    rows = b.emit("tract_core_gather", weight, indices, axis=0, like=like)
    rows = b.cast(rows, torch.promote_types(rows.dtype, torch.float32))  # PyTorch rounds once
    if per_sample_weights is not None:
        rows = b.binary("mul", rows, b.unsqueeze(b.cast(per_sample_weights, rows.dtype), [1]))
    if mode == 2:
        rows, kept = _compared(b, rows, bag, kept, counts), b.unsqueeze(kept, [1])
        best = _largest(b, rows, bag, kept, counts)
        found = _where_largest(b, best, rows, bag, kept, indices)
    else:
        zeros = b.full(0, rows.dtype, output.shape)
        kept = b.unsqueeze(kept, [1])
        best = written(b, zeros, 0, bag, b.where(kept, rows, b.scalar(0, rows.dtype)), "add")
        found = counts if mode == 1 else b.full(0, torch.int64, largest.shape)
    if mode == 1:
        count = b.cast(b.unsqueeze(_at_least_one(b, counts), [1]), best.dtype)
        best = b.binary("div", best, count)
    told = bag if of_bag.shape != (0,) else b.full(0, torch.int64, [0])
    sizes_told = counts if mode else b.full(0, torch.int64, sizes.shape)
    facts = (told, of_bag), (sizes_told, sizes), (found, largest)
    best = b.cast(best, output.dtype)
    return best, *(b.cast(_as_traced(b, value, fact), fact.dtype) for value, fact in facts)


def _as_traced(b: Builder, value: Value, fact: Fact) -> Value:
    """What is told of each bag, as long as torch's tracer takes it for: the last offset counts."""
    more = size_of(sympy.sympify(fact.shape[0]) - value.shape[0])
    if more == 0:
        return value
    return b.concat([value, b.full(0, value.dtype, [more, *value.shape[1:]])], 0)


def _at_least_one(b: Builder, counts: Value) -> Value:
    return b.binary("max", counts, b.scalar(1, torch.int64))


def _compared(b: Builder, rows: Value, bag: Value, kept: Value, counts: Value) -> Value:
    """Rows without NaN but in the first of each bag: PyTorch goes on to what is larger."""
    count = rows.shape[0]
    place, behind = integers(b, count), b.scalar(count, torch.int64)
    begins = b.full(count, torch.int64, counts.shape)
    begins = written(b, begins, 0, bag, b.where(kept, place, behind), "min")
    later = b.binary(
        "gt", place, b.emit("tract_core_gather", begins, bag, axis=0, like=place), torch.bool
    )
    ignored = b.binary("and", isnan(b, rows), b.unsqueeze(later, [1]))
    return b.where(ignored, b.scalar(-math.inf, rows.dtype), rows)


def _largest(b: Builder, rows: Value, bag: Value, kept: Value, counts: Value) -> Value:
    """The largest of each bag, 0 for one without elements."""
    least = b.full(-math.inf, rows.dtype, [counts.shape[0], *rows.shape[1:]])
    rows = b.where(kept, rows, b.scalar(-math.inf, rows.dtype))
    best = written(b, least, 0, bag, rows, "max")
    empty = b.binary("eq", counts, b.scalar(0, torch.int64), torch.bool)
    return b.where(b.unsqueeze(empty, [1]), b.scalar(0, rows.dtype), best)


def _where_largest(
    b: Builder, best: Value, rows: Value, bag: Value, kept: Value, indices: Value
) -> Value:
    """The index of the first row of each bag that is the largest, 0 for an empty one."""
    count = rows.shape[0]
    like = best.of(shape=rows.shape)
    of_row = b.emit("tract_core_gather", best, bag, axis=0, like=like)
    is_best = b.binary("or", b.binary("eq", rows, of_row, torch.bool), isnan(b, rows))
    is_best = b.binary("and", kept, is_best)
    behind = b.scalar(count, torch.int64)
    place = b.where(is_best, b.unsqueeze(integers(b, count), [1]), behind)
    first = written(b, b.full(count, torch.int64, best.shape), 0, bag, place, "min")
    padded = b.concat([indices, b.full(0, torch.int64, [1])], 0)
    return b.emit("tract_core_gather", padded, first, axis=0, like=first)
