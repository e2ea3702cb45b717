"""Registering lowerings, and binding calls to them by the operator's schema."""

from __future__ import annotations

import pytest
import torch

from torchtract.errors import LoweringError
from torchtract.lower import Builder, Refusal, Value, lowering_of, lowers

aten = torch.ops.aten


def test_a_second_lowering_of_an_overload_is_refused() -> None:
    with pytest.raises(LoweringError, match=r"aten\.add\.Tensor.*lowers it already"):

        @lowers(aten.add.Tensor)
        def add(b: Builder, x: Value, other: Value) -> Value:
            raise NotImplementedError


def test_a_parameter_that_the_schema_lacks_is_refused() -> None:
    with pytest.raises(LoweringError, match=r"'axis' is not in the schema"):

        @lowers(aten.special_bessel_j0.default)
        def cummax(b: Builder, x: Value, axis: int) -> Value:
            raise NotImplementedError


def test_a_parameter_that_each_call_gives_is_needed() -> None:
    with pytest.raises(LoweringError, match=r"no parameter 'dim', which each call gives"):
        lowers(aten.cummax.default)(lambda _, x: x)


def test_a_packet_is_no_overload() -> None:
    with pytest.raises(LoweringError, match=r"names no overload; .* aten\.cummin\.default"):
        lowers(aten.cummin)(lambda _, x: x)  # type: ignore[arg-type]


def test_arguments_are_bound_by_name_position_and_default() -> None:
    lowering = lowering_of(aten.add.Tensor)
    assert lowering is not None
    assert lowering.bind(("x", "y"), {}) == {"x": "x", "other": "y", "alpha": 1}
    assert lowering.bind(("x",), {"other": "y", "alpha": 2}) == {
        "x": "x",
        "other": "y",
        "alpha": 2,
    }


def test_an_argument_without_a_counterpart_is_refused_unless_it_has_its_default() -> None:
    lowering = lowering_of(aten.relu.default)
    assert lowering is not None
    overload = aten.cummax.default
    local = type(lowering)(overload, lambda _, x: x, ("x",))
    with pytest.raises(Refusal, match="dim=1"):
        local.bind(("x", 1), {})
