"""Capturing a module: names, dynamic axes and everything that is refused before tracing."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import sympy
import torch
from torch import nn
from torch.export import Dim
from torch.utils._sympy.functions import Mod
from torch.utils.checkpoint import checkpoint

from harness import export, export_and_compare
from torchtract.capture import Capture, capture
from torchtract.capture.axes import DynamicAxes, ranges_of
from torchtract.capture.guards import Guard, other_side, user_line
from torchtract.errors import CaptureError
from torchtract.sizes import Assertion


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        result: torch.Tensor = self.linear(x if y is None else x + y)
        return result


def captured(
    *args: torch.Tensor,
    model: nn.Module | None = None,
    axes: DynamicAxes | None = None,
    input_names: list[str] | None = None,
    assertions: list[str] | None = None,
    **kwargs: torch.Tensor,
) -> Capture:
    return capture(
        (model or Pair()).eval(),
        args,
        kwargs,
        dynamic_axes=axes,
        input_names=input_names,
        assertions=[Assertion.parse(a) for a in assertions or ()],
    )


def shape_of_input(result: Capture, position: int) -> list[str]:
    placeholders = [n for n in result.program.graph.nodes if n.op == "placeholder"]
    tensor = placeholders[-len(result.inputs) + position].meta["val"]
    return [
        result.symbols[s.node.expr] if isinstance(s, torch.SymInt) else str(s) for s in tensor.shape
    ]


def test_inputs_are_named_after_the_arguments_of_forward() -> None:
    assert captured(torch.rand(3, 4), torch.rand(3, 4)).inputs == ("x", "y")
    assert captured(torch.rand(3, 4), y=torch.rand(3, 4)).inputs == ("x", "y")


@pytest.mark.parametrize("example_size", [1, 2, 7])
@pytest.mark.parametrize("axis", [0, -2])
def test_a_symbol_stays_a_symbol_whatever_the_example(example_size: int, axis: int) -> None:
    result = captured(torch.rand(example_size, 4), axes={"x": {axis: "B"}})
    assert shape_of_input(result, 0) == ["B", "4"]


def test_two_symbols_of_one_size_stay_apart() -> None:
    class Transposed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.transpose(0, 1).contiguous()

    result = captured(torch.rand(5, 5), model=Transposed(), axes={"x": {0: "B", 1: "S"}})
    assert shape_of_input(result, 0) == ["B", "S"]


def test_the_sides_of_a_square_stay_apart_at_sizes_that_the_model_takes() -> None:
    halved = nn.Sequential(*(nn.Conv2d(2, 2, 2, 2) for _ in range(4)))
    export_and_compare(
        halved.eval(),
        torch.rand(2, 2, 32, 32),
        dynamic_axes={"input": {0: "B", 2: "H", 3: "W"}},
        sizes=[{"H": 48}, {"W": 16}],
    )
    exact = captured(torch.rand(32, 32), model=nn.Identity(), axes={"input": {0: "H", 1: "W"}})
    assert exact.sizes == {"H": 32, "W": 64}


def test_one_symbol_on_two_inputs_and_one_tensor_passed_twice() -> None:
    x = torch.rand(3, 4)
    result = captured(x, x, axes={"x": {0: "B"}, "y": {0: "B"}})
    assert shape_of_input(result, 0) == shape_of_input(result, 1) == ["B", "4"]


def test_torch_dims_are_symbols_too() -> None:
    result = captured(torch.rand(3, 4), axes={"x": {0: Dim("batch")}})
    assert shape_of_input(result, 0) == ["batch", "4"]


def test_ranges_of_torch_dims_are_assertions() -> None:
    few = Dim("B", min=5, max=9)
    assert ranges_of({"x": {0: few}, "y": {0: few, 1: Dim("S", max=7)}, "z": {0: "P"}}) == [
        "tract_assert B >= 5",
        "tract_assert B <= 9",
        "tract_assert S <= 7",
    ]
    assert ranges_of({"x": {0: Dim("B")}}) == []
    assert 5 <= captured(torch.rand(3, 4), axes={"x": {0: few}}).sizes["B"] <= 9


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"z": {0: "B"}}, ["'z'", "there is no input", "'x'"]),
        ({"x": {2: "B"}}, ["axis 2", "out of range", "[3, 4]", "-2 to 1"]),
        ({"x": {-3: "B"}}, ["axis -3", "out of range"]),
        ({"x": {0: "2B"}}, ["'2B'", "symbol"]),
        ({"x": {0: "B", -2: "S"}}, ["axis 0", "twice"]),
        ({"x": {0: 2 * Dim("batch")}}, ["{0: 2*batch}", "derived from batch"]),
        ({"x": {0: Dim.AUTO}}, ["no name", "'S'"]),
        ({"x": {0: None}}, ["no name"]),
        ({"x": {0: ""}}, ["symbol"]),
        ({"x": {1: "N"}}, ["N", "4"]),
    ],
)
def test_wrong_dynamic_axes_are_refused(axes: DynamicAxes, words: list[str]) -> None:
    with pytest.raises(CaptureError) as refusal:
        captured(torch.rand(3, 4), axes=axes)
    assert all(word in str(refusal.value) for word in words), str(refusal.value)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "a"], ["'a'", "twice"]),
        (["a"], ["1 names", "2 tensors", "x, y"]),
        ("ab", ["'ab'", "list of strings"]),
        ([1, 2], ["[1, 2]", "list of strings"]),
    ],
)
def test_wrong_input_names_are_refused(names: list[str], words: list[str]) -> None:
    with pytest.raises(CaptureError) as refusal:
        captured(torch.rand(3, 4), torch.rand(3, 4), input_names=names)
    assert all(word in str(refusal.value) for word in words), str(refusal.value)


def test_a_module_in_training_mode_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"training mode.*model\.eval\(\)"):
        capture(Pair().train(), (torch.rand(3, 4),))
    partly = nn.Sequential(nn.Linear(4, 4), nn.Dropout()).eval()
    partly[1].train()
    with pytest.raises(CaptureError, match="1 is"):
        capture(partly, (torch.rand(3, 4),))


def test_parameters_on_another_device_are_refused() -> None:
    with pytest.raises(CaptureError, match=r"'linear.weight' is on meta.*'x' is on cpu"):
        captured(torch.rand(3, 4), model=Pair().to("meta"))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: torch.eye(4).to_sparse(), "sparse_coo"),
        (lambda: torch.eye(4).to_sparse_csr(), "sparse_csr"),
        (lambda: torch.quantize_per_tensor(torch.eye(4), 0.1, 0, torch.quint8), "quantized"),
        (lambda: torch.nested.nested_tensor([torch.eye(4)]), "nested"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_that_are_not_dense_are_refused(
    make: Callable[[], torch.Tensor], kind: str
) -> None:
    with pytest.raises(CaptureError, match=f"x: .*{kind}.*dense"):
        captured(make())


def test_arguments_that_do_not_fit_forward_are_refused() -> None:
    with pytest.raises(CaptureError, match="3 positional"):
        captured(torch.rand(3, 4), torch.rand(3, 4), torch.rand(3, 4))


def test_something_else_than_a_module_is_refused() -> None:
    with pytest.raises(CaptureError, match=r"no torch\.nn\.Module"):
        capture(torch.relu, (torch.rand(3, 4),))  # type: ignore[arg-type]


def test_control_flow_on_data_is_refused_with_torchs_reason() -> None:
    class Branch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    words = r"test_program\.py:\d+: return x if x\.sum\(\) > 0.*one graph"
    with pytest.raises(CaptureError, match=words):
        captured(torch.rand(3, 4), model=Branch())


def test_assertions_bound_the_traced_size() -> None:
    result = captured(torch.rand(1, 4), axes={"x": {0: "B"}}, assertions=["B >= 5"])
    assert shape_of_input(result, 0) == ["B", "4"]
    with pytest.raises(CaptureError, match="no size of B could be traced"):
        captured(torch.rand(1, 4), axes={"x": {0: "B"}}, assertions=["B <= 1"])


class EmptyIsSpecial(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(5) if x.shape[0] == 0 else x * 2


def test_a_symbol_may_be_zero_where_the_user_says_so() -> None:
    result = captured(
        torch.rand(3, 4), model=EmptyIsSpecial(), axes={"x": {0: "B"}}, assertions=["B >= 0"]
    )
    assert [g.branch for g in result.guards if "0" in str(g.condition)] == [True]

    export_and_compare(  # torch would take the greater of B and 1 for B
        lambda x: x.sum() / max(x.shape[0], 1) + torch.ones(max(x.shape[0], 1)),
        torch.rand(3, 4),
        dynamic_axes={"x0": {0: "B"}},
        sizes=[{"B": 0}, {"B": 1}],
        custom_extensions=["tract_assert B >= 0"],
    )


def test_what_asks_for_its_elements_may_be_empty() -> None:
    def joined(x: torch.Tensor, cache: torch.Tensor) -> torch.Tensor:
        return torch.cat([cache, x]) if cache.numel() else x  # as transformers' caches do

    export_and_compare(
        joined,
        torch.rand(3, 4, 2),
        torch.rand(5, 4, 2),
        dynamic_axes={"x0": {0: "S"}, "x1": {0: "P"}},
        sizes=[{"S": 2, "P": 0}, {"S": 1, "P": 9}],
        custom_extensions=["tract_assert P >= 0"],
    )


def test_a_size_of_zero_is_kept_out_where_the_code_has_another_way_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    module = EmptyIsSpecial()
    model = export(module, torch.rand(3, 4), dynamic_axes={"x": {0: "B", 1: "S"}})
    assert model.assertions == ("B >= 1",)
    line = inspect.getsourcelines(module.forward)[1] + 1
    assert f"test_program.py:{line}" in caplog.text
    assert "refuses B=0" in caplog.text
    caplog.clear()
    promised = ["tract_assert B >= 1"]
    export(module, torch.rand(3, 4), dynamic_axes={"x": {0: "B"}}, custom_extensions=promised)
    assert "refuses" not in caplog.text


class Table(nn.Module):
    """Makes what it needs at its first call, and keeps it."""

    def __init__(self) -> None:
        super().__init__()
        self.table: torch.Tensor | None = None
        self.tables: dict[str, torch.Tensor] = {}
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.table is None or self.table.shape[0] < x.shape[0]:
            self.table = torch.arange(x.shape[0]) * 1.0
        self.tables.setdefault("two", torch.full((4,), 2.0))
        self.other = x + 1
        self.seen.append(x)
        return x * self.table[: x.shape[0], None] * self.tables["two"]


def test_a_module_is_left_as_it_was() -> None:
    module = Table()
    export_and_compare(module, torch.rand(3, 4), dynamic_axes={"x": {0: "B"}}, sizes=[{"B": 7}])
    captured(torch.rand(3, 4), model=(fresh := Table()), axes={"x": {0: "B"}})
    assert fresh.table is None
    assert not fresh.tables
    assert not fresh.seen
    assert not hasattr(fresh, "other")


def test_gradient_modes_and_autocast_that_is_off_change_nothing() -> None:
    class Modes(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.enable_grad(), torch.autocast("cpu", enabled=False):
                y = x @ x.T
                with torch.no_grad():
                    y = y * 2
            result: torch.Tensor = checkpoint(torch.relu, y, use_reentrant=False)
            return result

    export_and_compare(Modes(), torch.rand(3, 4), dynamic_axes={"x": {0: "B"}}, sizes=[{"B": 5}])


def test_sizes_below_those_of_a_remainder_say_nothing_about_a_guard() -> None:
    size = sympy.Symbol("s", integer=True, nonnegative=True)
    guard = Guard(sympy.Eq(Mod(size - 4, 3), 0))
    assert other_side(guard, {size: "S"}, [], from_above=False) == {"S": 5}


def test_packages_beside_torch_are_the_users_code() -> None:
    torch_folder = Path(torch.__file__).parent
    stack = traceback.StackSummary.from_list(
        [
            (f"{torch_folder}vision/models/vit.py", 7, "forward", "x.view(2, 3)"),
            (f"{torch_folder}/nn/functional.py", 9, "linear", "..."),
            ("<eval_with_key>.5", 1, "forward", "..."),
        ]
    )
    assert user_line(stack) == f"{torch_folder}vision/models/vit.py:7: x.view(2, 3)"
