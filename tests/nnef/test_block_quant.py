"""Weights by blocks: what they keep, and that tract reads the same from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graphs import external, variable
from torchtract import load
from torchtract.errors import FormatError
from torchtract.nnef import Argument, Graph, Operation, Ref, check_writable, write_archive
from torchtract.nnef.block_quant import BLOCK, Floats, restored, to_blocks
from torchtract.passes import store_by_blocks

ROWS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 3), st.integers(1, 3).map(lambda n: n * BLOCK)),
    elements=st.floats(-1000, 1000, width=32),
)


@given(array=ROWS)
def test_what_is_kept_is_near_and_kept_again(array: Floats) -> None:
    kept = restored(array)
    blocks = array.reshape(-1, BLOCK)
    # Half a step, or one where the value is as far from zero as the furthest, on the other side;
    # and what a scale of 16 bits is rounded by.
    step = np.abs(blocks).max(1, keepdims=True, initial=0) / 8
    assert (np.abs(kept.reshape(-1, BLOCK) - blocks) <= step * 1.01 + 1e-6).all()
    np.testing.assert_array_equal(restored(kept), kept)


def test_a_block_has_a_scale_and_sixteen_pairs() -> None:
    values = np.arange(-8, 8, dtype=np.float32)
    (block,) = to_blocks(np.concatenate([values, values[::-1]]))
    assert block.dtype.itemsize == 18
    assert block["scale"] == 1
    assert block["pairs"].tolist() == [(15 - i) << 4 | i for i in range(16)]


def network(weight: Floats, *operations: Operation, inputs: int = 64) -> Graph:
    graph = Graph(symbols=["S"], inputs=["x"], outputs=["y"])
    graph.variables["w"] = variable("w", weight)
    graph.operations = [external("x", "S", inputs), *operations]
    return graph


def product(expr: str, weight: str = "w") -> Operation:
    arguments: dict[str, Argument] = {"inputs": [Ref("x"), Ref(weight)], "expr": expr, "acc": "f32"}
    return Operation("tract_core_einsum", arguments, ("y",))


RNG = np.random.default_rng(0)
WEIGHT = RNG.standard_normal((96, 64)).astype(np.float32)
X = RNG.standard_normal((5, 64)).astype(np.float32)


@pytest.mark.parametrize(
    ("weight", "operations"),
    [
        (WEIGHT, [product("mk,nk->mn")]),
        (WEIGHT.T.copy(), [product("mk,kn->mn")]),
        (
            WEIGHT,
            [
                Operation("transpose", {"input": Ref("w"), "axes": [1, 0]}, ("t",)),
                product("mk,kn->mn", "t"),
            ],
        ),
        (
            WEIGHT,
            [
                Operation("tract_core_cast", {"input": Ref("w"), "to": "f32"}, ("t",)),
                product("mk,nk->mn", "t"),
            ],
        ),
    ],
    ids=["rows", "columns", "transposed", "cast"],
)
def test_tract_multiplies_with_what_is_kept(
    weight: Floats, operations: list[Operation], tmp_path: Path
) -> None:
    graph = network(weight, *operations)
    store_by_blocks(graph, {"w": "q4_0", "of another name": "q4_0"})
    write_archive(graph, tmp_path / "m.nnef.tar")
    assert (tmp_path / "m.nnef.tar").stat().st_size < 96 * 64 * 4 / 2
    runnable = load(tmp_path / "m.nnef.tar").compile()
    for x in (X, X[:1]):
        np.testing.assert_allclose(runnable(x), x @ restored(WEIGHT).T, rtol=1e-4, atol=1e-4)


def test_tract_looks_up_what_is_kept(tmp_path: Path) -> None:
    graph = network(WEIGHT)
    look_up = Operation(
        "tract_core_gather", {"input": Ref("w"), "indices": Ref("x"), "axis": 0}, ("y",)
    )
    graph.operations = [external("x", "S", datum_type="i64"), look_up]
    store_by_blocks(graph, {"w": "q4_0"})
    write_archive(graph, tmp_path / "m.nnef.tar")
    ids = np.array([3, 95, 0, 3])
    got = load(tmp_path / "m.nnef.tar").compile()(ids)
    np.testing.assert_array_equal(got, restored(WEIGHT)[ids])


@pytest.mark.parametrize(
    ("operations", "form", "says"),
    [
        ([product("mk,nk->mn")], "q3_k", "no such format; use q4_0"),
        ([product("mk,mk->mk")], "q4_0", "no operator for it in tract_core_einsum"),
        (
            [Operation("add", {"x": Ref("x"), "y": Ref("w")}, ("y",))],
            "q4_0",
            "no operator for it in add",
        ),
    ],
)
def test_other_uses_are_refused(operations: list[Operation], form: str, says: str) -> None:
    with pytest.raises(FormatError, match=f"'w'.*{says}"):
        store_by_blocks(network(WEIGHT, *operations), {"w": form})


def test_rows_that_are_no_blocks_are_refused() -> None:
    graph = network(WEIGHT[:, :33].copy(), product("mk,nk->mn"), inputs=33)
    with pytest.raises(FormatError, match="rows have 33 values"):
        store_by_blocks(graph, {"w": "q4_0"})


def test_older_versions_are_refused(tmp_path: Path) -> None:
    graph = network(WEIGHT, product("mk,nk->mn"))
    store_by_blocks(graph, {"w": "q4_0"})
    path = tmp_path / "m.nnef.tar"
    check_writable(path)
    with pytest.raises(FormatError, match=r"since 0\.23"):
        write_archive(graph, path, version="0.22.4")
