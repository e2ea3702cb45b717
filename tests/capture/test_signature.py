"""What modules take and return: names from the structure, and the right tensor under each."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput, BaseModelOutputWithPooling

from torchtract import TractNNEF, export_model_to_nnef, load
from torchtract.errors import CaptureError
from torchtract.runtime import Model


@dataclasses.dataclass
class Prediction:
    logits: Tensor
    hidden: tuple[Any, ...]
    extra: Tensor | None = None


@dataclasses.dataclass
class Batch:
    ids: Tensor
    mask: Tensor | None = None
    scale: float = 2.0


@dataclasses.dataclass(frozen=True)
class Labelled:
    scores: Tensor
    count: int = 3
    text: str = "a"
    more: Tensor | None = None


class Pair(NamedTuple):
    first: Tensor
    second: Tensor


def module(forward: Callable[..., Any]) -> nn.Module:
    """A module with this function, which takes the module first, as its forward."""
    result: nn.Module = type("Module", (nn.Module,), {"forward": forward})()
    return result.eval()


def exported(
    forward: Callable[..., Any],
    folder: Path,
    *args: Any,
    axes: Mapping[str, Mapping[int, Any]] | None = None,
    **options: Any,
) -> Model:
    path = folder / "model.nnef.tar"
    target = TractNNEF(dynamic_axes=dict(axes or {}))
    export_model_to_nnef(module(forward), args, path, target, **options)
    return load(path)


CONSTANT = torch.tensor([1.5, -2.0])

RETURNED: dict[str, tuple[Callable[[Tensor], Any], list[str]]] = {
    "a tensor": (lambda x: x + 1, ["output"]),
    "a tuple of one": (lambda x: (x + 1,), ["output"]),
    "a tuple": (lambda x: (x + 1, x * 2), ["output_0", "output_1"]),
    "a list": (lambda x: [x + 1, x * 2], ["output_0", "output_1"]),
    "a dict": (lambda x: {"z": x + 1, "a b": x * 2}, ["z", "a_b"]),
    "a dict in another order": (lambda x: OrderedDict(b=x + 1, a=x * 2), ["b", "a"]),
    "a dict of numbers": (lambda x: {0: x + 1, 1: x * 2}, ["output_0", "output_1"]),
    "nested": (
        lambda x: {"h": (x + 1, [x * 2, {"k": x * 3}]), "n": None},
        ["h_0", "h_1_0", "h_1_1_k"],
    ),
    "a dict in a tuple": (lambda x: (x + 1, {"k": x * 2}), ["output_0", "output_1_k"]),
    "a namedtuple": (lambda x: Pair(x + 1, x * 2), ["first", "second"]),
    "a dataclass": (
        lambda x: Prediction(x + 1, (x * 2, x * 3)),
        ["logits", "hidden_0", "hidden_1"],
    ),
    "a dataclass in a dataclass": (
        lambda x: {"o": Prediction(x + 1, (Pair(x, x * 9),), x * 4)},
        ["o_logits", "o_hidden_0_first", "o_hidden_0_second", "o_extra"],
    ),
    "a dataclass with numbers": (lambda x: Labelled(x + 1), ["scores"]),
    "a ModelOutput": (
        lambda x: BaseModelOutputWithPooling(
            last_hidden_state=x + 1, pooler_output=x.sum(1), hidden_states=(x * 2, x * 3)
        ),
        ["last_hidden_state", "pooler_output", "hidden_states_0", "hidden_states_1"],
    ),
    "one tensor twice": (lambda x: (lambda y: (y, y))(x + 1), ["output_0", "output_1"]),
    "an input": (lambda x: {"same": x, "more": x + 1}, ["same", "more"]),
    "a constant": (lambda x: (x + 1, CONSTANT), ["output_0", "output_1"]),
    "what is no tensor": (lambda x: (x + 1, None, 3, "s", True), ["output"]),
    "the name of an input": (lambda x: {"x": x + 1}, ["x_1"]),
    "the name of a symbol": (lambda x: {"B": x + 1}, ["B_1"]),
    "names that NNEF lacks": (
        lambda x: {"true": x + 1, "for": x * 2, "2": x * 3},
        ["_true", "for_", "_2"],
    ),
    "keys that read alike": (lambda x: {"a_0": x + 1, "a": (x * 2,)}, ["a_0", "a_0_1"]),
}


@pytest.mark.parametrize("case", RETURNED)
def test_outputs_are_named_by_their_structure(case: str, tmp_path: Path) -> None:
    returned, names = RETURNED[case]
    x = torch.randn(3, 4)

    model = exported(lambda _, x: returned(x), tmp_path, x, axes={"x": {0: "B"}})

    assert [fact.name for fact in model.outputs] == names
    actual = model.compile().run({"x": x})
    leaves = torch.utils._pytree.tree_leaves(returned(x))
    expected = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    for name, tensor in zip(names, expected, strict=True):
        np.testing.assert_allclose(actual[name], tensor, rtol=1e-6)


def test_names_that_the_user_gives_come_first(tmp_path: Path) -> None:
    model = exported(
        lambda _, x: {"z": x + 1, "n": None, "a": x * 2},
        tmp_path,
        torch.rand(3),
        output_names=["one", "two"],
    )
    assert [fact.name for fact in model.outputs] == ["one", "two"]


@pytest.mark.parametrize("names", [None, ["y", "n"]])
@pytest.mark.parametrize("divisor", [None, 2])
def test_numbers_that_depend_on_a_size_are_refused(
    divisor: int | None, names: list[str] | None, tmp_path: Path
) -> None:
    def forward(_: nn.Module, x: Tensor) -> dict[str, Any]:
        return {"y": x, "n": x.shape[0] / divisor if divisor else x.shape[0]}

    with pytest.raises(CaptureError, match=r"n: can't be an output.*torch\.tensor"):
        exported(forward, tmp_path, torch.rand(3), axes={"x": {0: "B"}}, output_names=names)


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        (lambda x: (y for y in (x, x + 1)), "generator"),
        (lambda x: {x + 1}, "set"),
        (lambda x: (x, Path("a")), "output_1: .*Path"),
        (lambda _: np.ones(3), "ndarray"),
        (lambda _: torch.nn.Linear(2, 2), "Linear"),
    ],
)
def test_other_things_than_tensors_are_refused(
    returned: Callable[[Tensor], Any], kind: str, tmp_path: Path
) -> None:
    with pytest.raises(CaptureError, match=f"{kind}.*return tensors"):
        exported(lambda _, x: returned(x), tmp_path, torch.rand(3))


@pytest.mark.parametrize("names", ["output", [0], []])
def test_what_is_no_list_of_output_names_is_refused(names: Any, tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"output_names=.*(list of strings|0 names don't fit)"):
        exported(lambda _, x: x + 1, tmp_path, torch.rand(3), output_names=names)


def test_an_output_name_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"output_names=\['a', 'a'\].*twice"):
        exported(lambda _, x: (x, x + 1), tmp_path, torch.rand(3), output_names=["a", "a"])


X, Y, Z = torch.randn(3, 4), torch.randn(3, 4), torch.randn(3, 4)

TAKEN: dict[str, tuple[Callable[..., Tensor], tuple[Any, ...], dict[str, Any], list[str]]] = {
    "keywords in another order": (
        lambda _, x, y, z: x - 2 * y + 3 * z,
        (X,),
        {"z": Z, "y": Y},
        ["x", "z", "y"],
    ),
    "None and a keyword": (
        lambda _, x, m=None, y=None: x - y if m is None else x + m,
        (X, None),
        {"y": Y},
        ["x", "y"],
    ),
    "Python numbers": (
        lambda _, x, n, f, s, b, k=1: x * n + f * k if b and s == "a" else x,
        (X, 2, 0.5, "a", True),
        {"k": 3},
        ["x"],
    ),
    "a dict": (
        lambda _, batch: batch["ids"] - 2 * batch["m"]["k"],
        ({"ids": X, "m": {"k": Y}},),
        {},
        ["batch_ids", "batch_m_k"],
    ),
    "keys that NNEF lacks": (
        lambda _, b: b["a b"] - 2 * b["for"],
        ({"a b": X, "for": Y},),
        {},
        ["b_a_b", "b_for"],
    ),
    "lists and tuples": (
        lambda _, xs: xs[0] - 2 * xs[1][0],
        ([X, (Y,)],),
        {},
        ["xs_0", "xs_1_0"],
    ),
    "a namedtuple": (
        lambda _, p: p.first - 2 * p.second,
        (Pair(X, Y),),
        {},
        ["p_first", "p_second"],
    ),
    "a dataclass": (
        lambda _, b: b.ids * b.scale - b.mask,
        (Batch(X, Y),),
        {},
        ["b_ids", "b_mask"],
    ),
    "a dataclass by keyword": (
        lambda _, x, b: x - b.ids * b.scale if b.mask is None else x,
        (X,),
        {"b": Batch(Y)},
        ["x", "b_ids"],
    ),
    "a ModelOutput": (
        lambda _, o: o.last_hidden_state - 1,
        (BaseModelOutput(last_hidden_state=X),),
        {},
        ["o_last_hidden_state"],
    ),
    "any number of arguments": (
        lambda _, x, *ys: x - 2 * ys[0] + 3 * ys[1],
        (X, Y, Z),
        {},
        ["x", "ys_0", "ys_1"],
    ),
    "any keyword arguments": (
        lambda _, x, k=1.0, **more: x * k - 2 * more["z"] + 3 * more["y"],
        (X,),
        {"y": Y, "k": 2.0, "z": Z},
        ["x", "y", "z"],
    ),
    "an unused input": (lambda _, x, y: x + 1, (X, Y), {}, ["x", "y"]),  # noqa: ARG005
    "one tensor twice": (lambda _, x, y: x - 2 * y, (X, X), {}, ["x", "y"]),
    "names that read alike": (
        lambda _, a, a_0: a[0] - 2 * a_0,
        ((X,), Y),
        {},
        ["a_0", "a_0_1"],
    ),
}


@pytest.mark.parametrize("case", TAKEN)
def test_inputs_are_named_by_their_structure(case: str, tmp_path: Path) -> None:
    forward, args, kwargs, names = TAKEN[case]
    axes = {name: {0: "B"} for name in names}

    model = exported(forward, tmp_path, *args, axes=axes, kwargs=kwargs)

    assert [fact.name for fact in model.inputs] == names
    leaves = torch.utils._pytree.tree_leaves((args, kwargs))
    inputs = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    actual = model.compile().run(dict(zip(names, inputs, strict=True)))
    np.testing.assert_allclose(actual["output"], forward(None, *args, **kwargs), rtol=1e-5)


def test_given_input_names_stand_for_parameters_in_their_order(tmp_path: Path) -> None:
    model = exported(
        lambda _, x, y, z: (x + 1, y + 1, z + 1),
        tmp_path,
        torch.rand(2),
        kwargs={"z": torch.rand(5), "y": torch.rand(3)},
        input_names=["a", "b", "c"],
        axes={"c": {0: "S"}},
    )
    assert {f.name: f.shape for f in model.inputs} == {"a": (2,), "b": (3,), "c": ("S",)}


@pytest.mark.parametrize(
    ("forward", "given", "names"),
    [
        (lambda _, x: {"a": x + 1, "b": x * 2}, ["out"], ["out_a", "out_b"]),
        (lambda _, x: (x + 1, {"k": x * 2, "v": x}), ["y", "c"], ["y", "c_k", "c_v"]),
        (lambda _, x: (x + 1, [x * 2, x]), ["y", "c"], ["y", "c_0", "c_1"]),
        (lambda _, x: (x + 1, (x * 2,)), ["y", "c"], ["y", "c"]),
        (lambda _, x: BaseModelOutput(x + 1, (x * 2,)), ["m", "n"], ["m", "n"]),
    ],
)
def test_one_name_may_stand_for_a_whole_structure(
    forward: Callable[..., Any], given: list[str], names: list[str], tmp_path: Path
) -> None:
    model = exported(forward, tmp_path, torch.rand(3, 2), output_names=given)
    assert [fact.name for fact in model.outputs] == names


def test_the_range_of_a_dim_is_asserted_in_the_file(tmp_path: Path) -> None:
    axes = {"x": {0: torch.export.Dim("S", min=2, max=6)}}
    model = exported(lambda _, x: x.cumsum(0), tmp_path, torch.rand(3, 2), axes=axes)
    assert model.assertions == ("S >= 2", "S <= 6")
