"""The walk over a program: names, weights, outputs, and refusals with the user's line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from harness import export, export_and_compare
from torchtract.errors import CaptureError, FormatError, UnsupportedOpError
from torchtract.runtime import Model


@torch.library.custom_op("torchtract_tests::unlowered", mutates_args=())
def unlowered(x: torch.Tensor) -> torch.Tensor:
    return x + 1


unlowered.register_fake(torch.empty_like)


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = x + self.mlp(x)
        return result


def node_names(model: Model) -> set[str]:
    return {node.name for node in model.nodes()}


def test_nodes_are_named_after_modules() -> None:
    model = export(Block(4), torch.randn(2, 4))
    names = node_names(model)
    assert {"mlp_0_linear", "mlp_0_weight", "output"} <= names
    assert any(name.startswith("mlp_1_relu") for name in names)  # tract expands its fragment


def test_every_refusal_is_listed_with_its_line() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = unlowered(x)
            z: torch.Tensor = unlowered(y.sin())
            return z

    with pytest.raises(UnsupportedOpError) as refusal:
        export(Odd(), torch.eye(3))
    first = inspect.getsourcelines(Odd.forward)[1]
    text = str(refusal.value)
    assert f"{__file__}:{first + 1}" in text
    assert f"{__file__}:{first + 2}" in text
    assert "unlowered" in text
    assert len(refusal.value.refusals) >= 2


def test_shared_weights_are_written_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = nn.Linear(4, 4)
            self.second.weight = self.first.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.second(self.first(x))
            return result

    model = export_and_compare(Tied(), torch.randn(2, 4))
    assert "first_weight" in node_names(model)
    assert "second_weight" not in node_names(model)


def test_outputs_can_be_inputs_weights_constants_and_one_tensor_twice() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3))

        def forward(  # the second input takes no part
            self, x: torch.Tensor, _: torch.Tensor
        ) -> tuple[torch.Tensor, ...]:
            y = x + 1
            return x, y, y, self.weight, torch.ones(2)

    names = ["a", "b", "c", "d", "e"]
    model = export_and_compare(Plain(), torch.randn(2, 3), torch.randn(5), output_names=names)
    assert [fact.name for fact in model.outputs] == names
    assert [fact.name for fact in model.inputs] == ["x", "_"]


def test_an_input_that_has_a_weights_name_keeps_it() -> None:
    class Clash(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.weight

    model = export_and_compare(Clash(), torch.randn(2, 3), input_names=["weight"])
    assert model.inputs[0].name == "weight"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"output_names": ["a", "b"]}, "2 names don't fit"),
        ({"output_names": ["x"]}, "'x'"),
        ({"output_names": ["a b"]}, "'a b'"),
        ({"input_names": ["1x"]}, "'1x'"),
        ({"input_names": ["B"], "dynamic_axes": {"B": {0: "B"}}}, "'B'"),
    ],
)
def test_names_that_do_not_fit_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises((CaptureError, FormatError), match=words):
        export(Block(4), torch.randn(2, 4), **options)  # type: ignore[arg-type]


def test_a_buffer_that_forward_changes_is_refused_by_name() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count: torch.Tensor
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.count += 1
            return x + self.count

    with pytest.raises(CaptureError, match="count"):
        export(Counter(), torch.randn(2))


def test_in_place_writes_become_new_tensors() -> None:
    def write(x: torch.Tensor) -> torch.Tensor:
        y = x.clone()
        y.mul_(2).add_(1)
        return y

    export_and_compare(write, torch.randn(3, 4), dynamic_axes={"x0": {0: "B"}}, sizes=[{"B": 1}])


def test_what_is_computed_twice_is_written_once() -> None:
    def twice(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return x + 1, (x + 1).sqrt(), (x + 1) * (x + 1)

    model = export_and_compare(twice, torch.rand(3), dynamic_axes={"x0": {0: "B"}})
    assert sum(node.op == "Add" for node in model.nodes()) == 1


def test_element_types_that_tract_lacks_are_refused() -> None:
    with pytest.raises(UnsupportedOpError, match=r"input 'x0'.*no element type for torch.bfloat16"):
        export(torch.neg, torch.ones(3, dtype=torch.bfloat16))
    with pytest.raises(UnsupportedOpError, match=r"weight '0\.weight'.*bfloat16"):
        export(nn.Sequential(nn.Linear(2, 2)).bfloat16(), torch.ones(3, 2, dtype=torch.bfloat16))


BFLOAT16 = torch.ones(3, 4, dtype=torch.bfloat16)

AFTER_REFUSALS: dict[str, Callable[..., Any]] = {
    "calls": lambda x: (x / 3 + x[0] * x[:, :1], x.unique(), x[0].outer(x[1])),
    "outputs": lambda x: (torch.std_mean(x), x.split([1, 2]), x.aminmax()),
    "an input as it is": lambda x: (x, x.expand(2, 3, 4)),
}


@pytest.mark.parametrize("name", AFTER_REFUSALS)
def test_what_is_made_of_refused_tensors_fails_at_nothing_else(name: str) -> None:
    with pytest.raises(UnsupportedOpError, match=r"input 'x0'.*torch.bfloat16"):
        export(AFTER_REFUSALS[name], BFLOAT16)


def test_random_operators_are_refused_with_the_way_out() -> None:
    with pytest.raises(UnsupportedOpError, match=r"rand_like.*make the noise an input"):
        export(lambda x: x + torch.rand_like(x), torch.ones(3))


def test_random_numbers_of_a_generator_are_refused() -> None:
    def noisy(x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand(3, generator=torch.Generator().manual_seed(0))

    with pytest.raises(UnsupportedOpError, match="random; make the noise an input"):
        export(noisy, torch.ones(3))


def test_side_effects_and_missing_outputs_are_refused() -> None:
    with pytest.raises(UnsupportedOpError, match="unlowered"):
        export(lambda x: (x, unlowered(x)), torch.rand(3))
    with pytest.raises(CaptureError, match="no tensor"):
        export(lambda _: None, torch.ones(3))


def test_equal_constants_are_outputs_of_their_own() -> None:
    model = export_and_compare(lambda x: (torch.ones(2), torch.ones(2), x), torch.rand(3))
    assert [fact.name for fact in model.outputs] == ["output_0", "output_1", "output_2"]
