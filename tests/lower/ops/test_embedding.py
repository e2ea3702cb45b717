"""Embedding tables are looked up as in PyTorch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness import export_and_compare
from lower.ops.inputs import integers, uniform

AXES = {"input": {0: "B", 1: "S"}}
SIZES = [{"B": 1, "S": 7}, {"B": 4, "S": 1}]


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_embedding(dtype: torch.dtype) -> None:
    table = nn.Embedding(9, 5, padding_idx=2)
    ids = integers(2, 3, low=0, high=8, dtype=dtype)
    export_and_compare(table, ids, dynamic_axes=AXES, sizes=SIZES)


def test_embedding_of_one_number() -> None:
    export_and_compare(nn.Embedding(9, 5), torch.tensor(4))


def test_table_that_is_an_input() -> None:
    table, ids = uniform(9, 5).half(), integers(2, 3, low=0, high=8)
    export_and_compare(lambda t, i: torch.nn.functional.embedding(i, t), table, ids)
