from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from torchtract import Profile, load
from torchtract.errors import RunError, SymbolError

WriteModel = Callable[..., Path]

MLP = """
    extension tract_symbol B;
    fragment tract_core_properties() -> (properties: (string, tensor<scalar>)[]) {
        properties = [("torchtract.modules", "mlp mlp.0 mlp.1 head")];
    }
    graph net(x, flag) -> (head_y, flag) {
        x = tract_core_external(shape = [B, 64], datum_type = 'f32');
        flag = tract_core_external(shape = [2], datum_type = 'i64');
        mlp_0_weight = variable<scalar>(label = 'w', shape = [64, 64]);
        mlp_0 = matmul(x, mlp_0_weight, transposeB = true);
        mlp_1 = softmax(mlp_0, axes = [1]);
        head_y = matmul(mlp_1, mlp_0_weight, transposeB = true);
    }
"""


@pytest.fixture
def mlp(write_model: WriteModel) -> Path:
    return write_model(MLP, w=np.ones((64, 64), np.float32))


def check_sums(profile: Profile) -> None:
    for groups in (profile.by_op, profile.by_module):
        assert sum(g.seconds for g in groups) == pytest.approx(
            sum(n.seconds for n in profile.nodes)
        )
        assert sum(g.nodes for g in groups) == len(profile.nodes)
        assert list(groups) == sorted(groups, key=lambda g: -g.seconds)
    accounted = sum(n.seconds for n in profile.nodes)
    assert profile.entire == pytest.approx(accounted + profile.unaccounted)
    assert sum(n.share for n in profile.nodes) <= 1.0001


def test_profile_with_inputs(mlp: Path) -> None:
    runnable = load(mlp).compile()
    x, flag = np.ones((128, 64), np.float32), np.zeros(2, np.int64)
    profile = runnable.profile(x, flag, iterations=20)
    assert profile.iterations == 20
    assert profile.entire > 0
    check_sums(profile)
    modules = {group.name: group for group in profile.by_module}
    assert {"mlp.0", "mlp.1", "head"} <= set(modules)
    assert modules["mlp.0"].flops == modules["head"].flops == 2 * 128 * 64 * 64
    by_name = runnable.profile({"flag": flag, "x": x}, iterations=1, warmup=0)
    assert [n.name for n in by_name.nodes] == [n.name for n in profile.nodes]


def test_profile_with_random_inputs(mlp: Path) -> None:
    profile = load(mlp).set(B=128).profile(iterations=5)
    assert profile.iterations == 5
    check_sums(profile)
    flops = sum(node.flops or 0 for node in profile.nodes)
    assert flops >= 2 * 2 * 128 * 64 * 64


def test_profile_refuses_free_symbols(mlp: Path) -> None:
    with pytest.raises(SymbolError) as caught:
        load(mlp).profile()
    assert "Expected concrete shape, found: B,64,F32" in str(caught.value)
    assert "set(B=3)" in str(caught.value)


def test_profile_checks_its_inputs(mlp: Path) -> None:
    with pytest.raises(RunError, match="1 inputs given"):
        load(mlp).profile(np.ones((2, 64), np.float32))
    with pytest.raises(RunError, match="input flag: missing"):
        load(mlp).profile({"x": np.ones((2, 64), np.float32)})


def test_max_seconds(mlp: Path) -> None:
    model = load(mlp).set(B=1)
    assert model.profile(max_seconds=1e-9).iterations == 1
    with pytest.raises(ValueError, match="max_seconds=-1"):
        model.profile(max_seconds=-1)
    with pytest.raises(ValueError, match="iterations=0"):
        model.profile(iterations=0)


def test_a_model_without_anything_to_compute(write_model: WriteModel) -> None:
    with pytest.raises(RunError, match="nothing to compute"):
        load(write_model("graph net() -> () { }")).profile()


NODES = [
    ("encoder_layer_0_mlp_fc.low.0", "MatMul", 0.5, 1_000_000_000),
    ("encoder_layer_0_norm", "Norm", 0.2, None),
    ("encoder_layer_01_norm", "Norm", 0.1, None),
    ("x", "Source", 0.0, None),
]
MODULES = ["encoder", "encoder.layer_0", "encoder.layer_0.mlp", "encoder.layer_0.mlp.fc"]


@pytest.fixture
def profile() -> Profile:
    return Profile(NODES, entire=1.0, iterations=3, modules=MODULES)


def test_a_node_belongs_to_its_deepest_module(profile: Profile) -> None:
    assert [node.module for node in profile.nodes] == [
        "encoder.layer_0.mlp.fc",
        "encoder.layer_0",
        "encoder",
        "(root)",
    ]


def test_groups(profile: Profile) -> None:
    assert [(g.name, g.nodes, g.flops) for g in profile.by_op] == [
        ("MatMul", 1, 1_000_000_000),
        ("Norm", 2, None),
        ("Source", 1, None),
    ]
    assert profile.by_op[1].share == pytest.approx(0.3)
    assert profile.unaccounted == pytest.approx(0.2)


def test_a_file_without_modules_has_none() -> None:
    profile = Profile(NODES, entire=1.0, iterations=1)
    assert profile.by_module == ()
    assert "by module" not in str(profile)


def test_as_data(profile: Profile) -> None:
    data = json.loads(profile.to_json())
    assert data == profile.to_dict()
    assert set(data) == {"entire", "unaccounted", "iterations", "by_op", "by_module", "nodes"}
    assert data["nodes"][0] == {
        "name": "encoder_layer_0_mlp_fc.low.0",
        "op": "MatMul",
        "module": "encoder.layer_0.mlp.fc",
        "seconds": 0.5,
        "share": 0.5,
        "flops": 1_000_000_000,
    }


def test_as_tables(profile: Profile) -> None:
    text = str(profile)
    assert text == repr(profile)
    assert text.startswith("1.00 s per run (mean of 3), 20.0% of it not accounted for\n")
    assert "by operator" in text
    (row,) = [line.split() for line in text.splitlines() if line.split()[:1] == ["MatMul"]]
    assert row == ["MatMul", "500.00", "ms", "50.0%", "1.000", "2.0"]
    html = profile._repr_html_()
    assert html.count("<table>") == html.count("</table>") == 3
    assert [len(table.rows) for table in profile.tables(rows=2)] == [2, 2, 2]
    assert "2 more not shown" in profile.tables(rows=2)[2].title
