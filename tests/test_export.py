"""The whole call: what is written, what is refused, and that nothing half-written stays."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from torchtract import TractNNEF, export_model_to_nnef, load
from torchtract.errors import (
    CaptureError,
    ConstantReferenceWarning,
    FormatError,
    MismatchError,
    UnsupportedOpError,
)
from torchtract.lower import Builder, Value, lowers


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).eval()


def graph_text(path: Path) -> str:
    with tarfile.open(path) as archive:
        member = archive.extractfile("graph.nnef")
        assert member is not None
        return member.read().decode()


@pytest.mark.parametrize("name", ["m.nnef.tgz", "m.nnef.tar", "m"])
def test_the_tutorials_call(model: nn.Module, tmp_path: Path, name: str) -> None:
    x = torch.rand(1, 4)
    path = export_model_to_nnef(
        model=model,
        args=x,
        file_path_export=tmp_path / name,
        inference_target=TractNNEF(
            version="0.21.13", check_io=True, dynamic_axes={"input": {0: "B"}}
        ),
        input_names=["input"],
        output_names=["output"],
        debug_bundle_path=tmp_path / "debug.tgz",
        custom_extensions=["tract_assert B >= 1"],
    )
    assert [p.name for p in tmp_path.iterdir()] == [name]
    loaded = load(path)
    assert str(loaded.inputs[0]).endswith("B,4,F32")
    np.testing.assert_allclose(loaded.compile()(x), model(x).detach(), rtol=1e-5)


def test_the_graph_says_symbols_as_symbols(model: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "m.nnef.tar"
    target = TractNNEF(dynamic_axes={"input": {0: "B"}})
    export_model_to_nnef(
        model,
        (torch.rand(2, 4),),
        path,
        target,
        ["input"],
        ["output"],
        custom_extensions=["tract_assert B >= 1"],
    )
    text = graph_text(path)
    assert "extension tract_symbol B;" in text
    assert "extension tract_assert B >= 1;" in text
    assert "tract_core_external(shape = [B, 4], datum_type = 'f32');" in text


def test_weights_are_named_as_in_the_state_dict(model: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "m.nnef.tar"
    export_model_to_nnef(model, (torch.rand(2, 4),), path)
    with tarfile.open(path) as archive:
        files = {n.removesuffix(".dat") for n in archive.getnames()} - {"graph.nnef"}
    assert files == set(model.state_dict())


def test_two_exports_are_equal_byte_for_byte(model: nn.Module, tmp_path: Path) -> None:
    paths = [tmp_path / "a.nnef.tgz", tmp_path / "b.nnef.tgz"]
    for path in paths:
        export_model_to_nnef(model, (torch.rand(2, 4),), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("version", ["0.17.0", "0.99.0", "latest", ""])
def test_an_unknown_version_is_refused_with_the_known_ones(version: str) -> None:
    with pytest.raises(FormatError, match=r"known versions of tract are 0\.21\.6 to .*0\.23\.9"):
        TractNNEF(version=version)


def test_a_wrong_lowering_is_caught_and_leaves_no_file(tmp_path: Path) -> None:
    @torch.library.custom_op("torchtract_test::twice", mutates_args=())
    def twice(x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @twice.register_fake
    def _(x: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(x)

    @lowers(torch.ops.torchtract_test.twice.default)
    def lower_twice(b: Builder, x: Value) -> Value:
        return b.binary("mul", x, b.scalar(2.5, x.dtype))

    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = torch.ops.torchtract_test.twice(x)
            return result

    with pytest.raises(MismatchError, match=r"output 'output'.*worst at") as mismatch:
        export_model_to_nnef(
            Twice().eval(),
            (torch.rand(3) + 1,),
            tmp_path / "m.nnef.tgz",
            debug_bundle_path=tmp_path / "debug.tgz",
        )
    assert mismatch.value.output == "output"
    assert mismatch.value.max_rel == pytest.approx(0.25, rel=1e-3)
    assert [p.name for p in tmp_path.iterdir()] == ["debug.tgz"]
    with tarfile.open(tmp_path / "debug.tgz") as bundle:
        assert {"report.txt", "inputs.npz", "versions.txt", "model.nnef.tgz"} <= set(
            bundle.getnames()
        )


def test_the_latest_version_is_the_default() -> None:
    assert TractNNEF(version=TractNNEF.latest_version()) == TractNNEF()


def test_an_unsupported_operator_leaves_no_file(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.rand_like(x)

    with pytest.raises(UnsupportedOpError):
        export_model_to_nnef(Odd().eval(), (torch.rand(3),), tmp_path / "m.nnef.tgz")
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_written_is_refused_before_the_work(
    model: nn.Module, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FormatError, match="file"):
        export_model_to_nnef(model, (torch.rand(2, 4),), tmp_path / "file" / "m.nnef.tgz")


def test_an_unknown_extension_is_refused(model: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="tract_asert"):
        export_model_to_nnef(
            model,
            (torch.rand(2, 4),),
            tmp_path / "m.nnef.tgz",
            custom_extensions=["tract_asert B >= 1"],
        )
    with pytest.raises(CaptureError, match="not an assertion"):
        export_model_to_nnef(
            model,
            (torch.rand(2, 4),),
            tmp_path / "m.nnef.tgz",
            custom_extensions=["tract_assert B"],
        )


def test_a_constant_reference_is_reported(tmp_path: Path) -> None:
    head = nn.Linear(4, 2)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    with pytest.warns(ConstantReferenceWarning, match="'output'"):
        export_model_to_nnef(head.eval(), (torch.rand(2, 4),), tmp_path / "m.nnef.tgz")


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] > 9:  # the line that is to be named
            return x + 1
        return x - 1


class Singled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0 if x.shape[1] == 1 else x + 1


class Counting(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.tensor(list(range(x.shape[1])))


class Fixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.rand(9))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.table


def exported(module: nn.Module, path: Path, *assertions: str) -> Path:
    return export_model_to_nnef(
        module.eval(),
        torch.rand(4, 9),
        path / "m.nnef.tgz",
        TractNNEF(dynamic_axes={"x": {0: "B", 1: "S"}}),
        custom_extensions=[f"tract_assert {a}" for a in assertions],
    )


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Branching(), ["if x.shape[1] > 9", "S <= 9", "S=10"]),
        (Singled(), ["x.shape[1] == 1", "S != 1", "S=1"]),
        (Counting(), ["range(x.shape[1])", "{'x': {1: 'S'}}", "9"]),
        (Fixed(), ["return x + self.table", "{'x': {1: 'S'}}", "9"]),
    ],
)
def test_code_that_depends_on_a_size_is_refused_with_its_line(
    module: nn.Module, words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(CaptureError) as refusal:
        exported(module, tmp_path)
    text = str(refusal.value)
    assert f"{__file__}:" in text
    assert all(word in text for word in words), text
    assert not list(tmp_path.iterdir())


def test_a_branch_that_the_assertions_rule_out_is_no_obstacle(tmp_path: Path) -> None:
    model = load(exported(Branching(), tmp_path, "S >= 1", "S <= 9"))
    assert model.compile()(np.zeros((2, 5), np.float32)).shape == (2, 5)


def test_a_check_of_a_size_and_a_branch_without_effect_are_no_obstacle(tmp_path: Path) -> None:
    class Checked(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[1] > 512:
                raise ValueError("too long")
            return x * (2 if x.shape[1] > 20 else 2.0)

    exported(Checked(), tmp_path)


def test_without_torch_the_way_out_is_named() -> None:
    code = "import sys; sys.modules['torch'] = None; import torchtract; torchtract.check_io"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "pip install 'torchtract[export]'" in result.stderr
