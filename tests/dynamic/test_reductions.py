"""Reductions over dynamic axes: what divides by a size, or counts from it."""

from __future__ import annotations

import pytest
import torch

from dynamic.rows import Row, floats, integers, masks, row

X = floats("B", "S", 6)
N = integers("B", "S")
M = masks("B", "S")

ROWS = [
    row("sum over S", lambda x: x.sum(1), X),
    row("sum over B and S", lambda x: x.sum((0, 1)), X),
    row("sum of all", torch.sum, X),
    row(
        "sum of int32 is int64",
        lambda n: n.sum(1),
        integers("B", "S", dtype=torch.int32),
        stops=({"S": 0},),
    ),
    row("mean over S", lambda x: x.mean(1), X),
    row("mean over B keeps it", lambda x: x.mean(0, keepdim=True), X),
    row("mean of all", torch.mean, X),
    row("mean over S and a static axis", lambda x: x.mean((1, 2)), X),
    row("mean in float64", lambda n: n.mean(1, dtype=torch.float64), N, stops=({"S": 0},)),
    row("var, unbiased", lambda x: x.var(1), X),
    row("var over B and S", lambda x: x.var((0, 1)), X),
    row("var of all", torch.var, X),
    row("var, biased", lambda x: x.var(1, unbiased=False), X),
    row("var, correction 2", lambda x: x.var(1, correction=2), X),
    row("std, unbiased", lambda x: x.std(1, keepdim=True), X),
    row("std of all", torch.std, X),
    row("std_mean", lambda x: torch.std_mean(x, dim=1), X),
    row("var_mean over B", lambda x: torch.var_mean(x, dim=0, correction=0), X),
    row("standardized", lambda x: (x - x.mean(1, True)) / (x.std(1, keepdim=True) + 1e-3), X),
    row("cov", torch.cov, floats(4, "S"), stops=({"S": 0},)),
    row("cov, biased", lambda x: x.cov(correction=0), floats(4, "S"), stops=({"S": 0},)),
    row("cov of a vector", torch.cov, floats("S"), stops=({"S": 0},)),
    row("cov of S rows", torch.cov, floats("S", 6), refused="aten.equal"),
    row("corrcoef", torch.corrcoef, floats(4, "S"), stops=({"S": 0},)),
    row("corrcoef of S rows", torch.corrcoef, floats("S", 6), refused="aten.equal"),
    row("prod over S", lambda x: x.prod(1), floats("B", "S", low=0.9, high=1.1)),
    row("amax over S", lambda x: x.amax(1), X),
    row("amin over B and S", lambda x: x.amin((0, 1)), X),
    row("max with indices", lambda x: x.max(dim=1), X),
    row("min with indices", lambda x: x.min(dim=0), X),
    row("max of all", torch.max, X),
    row("aminmax", lambda x: torch.aminmax(x, dim=1), X),
    row("argmax over S", lambda x: x.argmax(1), X),
    row("argmax of all", torch.argmax, X),
    row("argmin keeps S", lambda x: x.argmin(1, keepdim=True), X),
    row("argmax of ties", lambda n: n.argmax(1), integers("B", "S", low=0, high=2)),
    row("any over S", lambda m: m.any(1), M),
    row("all over B", lambda m: m.all(0), M),
    row("all of all", lambda m: torch.all(m | True), M),
    row("count of nonzeros", lambda n: torch.count_nonzero(n, dim=1), N),
    row("sum of a mask", lambda m: m.sum(-1), M),
    row("cumsum over S", lambda x: x.cumsum(1), X),
    row("cumsum of a mask", lambda m: m.cumsum(1), M),
    row("cumsum backwards", lambda x: x.flip(1).cumsum(1).flip(1), X),
    row("cumulative mean", lambda x: x.cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None], X),
    row("logsumexp over S", lambda x: x.logsumexp(1), X),
    row("norm over S", lambda x: x.norm(dim=1), X),
    row("1-norm over B", lambda x: torch.linalg.vector_norm(x, ord=1, dim=0), X),
    row("infinity norm over S", lambda x: torch.linalg.vector_norm(x, float("inf"), dim=1), X),
    row("3-norm of all", lambda x: torch.linalg.vector_norm(x, ord=3), X),
    row("norm of a matrix", torch.linalg.matrix_norm, X),
    row("mean of absolutes", lambda x: x.abs().mean(1), X),
    row("entropy over S", lambda x: -(x.softmax(1) * x.log_softmax(1)).sum(1), X),
    row(
        "mean where a mask holds", lambda x, m: (x * m[..., None]).sum(1) / m.sum(1)[:, None], X, M
    ),
    row("nansum", lambda x: torch.nansum(torch.sqrt(x), dim=1), X),
    row("nanmean", lambda x: torch.nanmean(torch.sqrt(x), dim=1), X),
    row(
        "energy of differences",
        lambda x: (x[:, 1:] - x[:, :-1]).square().sum(1),
        X,
        stops=({"S": 0},),
    ),
    row("diff over S", lambda x: x.diff(dim=1), X, stops=({"S": 0},)),
    row("diff over B, twice", lambda x: x.diff(n=2, dim=0), X, refused="at B=1"),
    row("diff with a prefix", lambda x: x.diff(dim=1, prepend=x[:, :1]), X, stops=({"S": 0},)),
    row("trapezoid over S", lambda x: torch.trapezoid(x, dim=1), X, stops=({"S": 0},)),
    row(
        "trapezoid with steps",
        torch.trapezoid,
        floats("B", "S"),
        floats("S"),
        stops=({"S": 1}, {"S": 0}),
    ),
    row(
        "cumulative trapezoid", lambda x: torch.cumulative_trapezoid(x, dim=1), X, stops=({"S": 0},)
    ),
    row(
        "gradient over S",
        lambda x: torch.gradient(x, dim=1)[0],
        X,
        refused="needs the size to be 2",
    ),
    row("dist", torch.dist, X, X),
    row("trace", torch.trace, floats("S", "T"), stops=({"S": 0},)),
    row("log_softmax picked", lambda x: x.log_softmax(-1).gather(2, x.argmax(2)[..., None]), X),
]


@pytest.mark.parametrize("entry", ROWS, ids=str)
def test_reductions(entry: Row) -> None:
    entry.check()
