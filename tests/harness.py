"""Export, load and compare in one call: what most tests of the exporter are made of."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchtract import TractNNEF, export_model_to_nnef, load
from torchtract.check.trial import arrays_of
from torchtract.runtime import Model
from torchtract.sizes import resize

__all__ = ["Function", "export", "export_and_compare", "export_archive"]


class Function(torch.nn.Module):
    """A function of tensors as a module whose inputs are named x0, x1, ..."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *x: torch.Tensor) -> Any:
        return self.function(*x)


def export_archive(
    module: Callable[..., Any],
    *args: Any,
    dynamic_axes: Mapping[str, Mapping[int, str]] | None = None,
    **options: Any,
) -> bytes:
    """Export a module or function without a check, and give the archive."""
    if not isinstance(module, torch.nn.Module):
        module = Function(module)
        count = sum(isinstance(a, torch.Tensor) for a in args)
        options.setdefault("input_names", [f"x{i}" for i in range(count)])
    target = TractNNEF(dynamic_axes=dict(dynamic_axes or {}), check_io=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.nnef.tar"
        export_model_to_nnef(module.eval(), args, path, target, **options)
        return path.read_bytes()


def export(
    module: Callable[..., Any],
    *args: Any,
    dynamic_axes: Mapping[str, Mapping[int, str]] | None = None,
    **options: Any,
) -> Model:
    """Export a module or function without a check and load it again."""
    return load(export_archive(module, *args, dynamic_axes=dynamic_axes, **options))


def export_and_compare(
    module: Callable[..., Any],
    *args: Any,
    dynamic_axes: Mapping[str, Mapping[int, str]] | None = None,
    sizes: Iterable[Mapping[str, int]] = (),
    rtol: float = 1e-4,
    atol: float = 1e-5,
    **options: Any,
) -> Model:
    """Export, load, run and compare with PyTorch, at the traced and at other sizes.

    Args:
        module: a module, or a function of tensors whose inputs become x0, x1, ...
        args: example arguments.
        dynamic_axes: as for the export.
        sizes: further sizes of the symbols; inputs are the example's, cropped or tiled.
        rtol: relative tolerance of floating-point outputs; others are compared exactly.
        atol: absolute tolerance.
        options: further keyword arguments of `export_model_to_nnef`.

    Returns:
        The loaded model, for further questions.
    """
    model = export(module, *args, dynamic_axes=dynamic_axes, **options)
    runnable = model.compile()
    for wanted in ({}, *sizes):
        inputs = iter(model.inputs)
        at = tuple(
            _resized(a, next(inputs).shape, wanted) if isinstance(a, torch.Tensor) else a
            for a in args
        )
        with torch.no_grad():
            expected = arrays_of(module(*at))
        actual = list(runnable.run(_named(model, at)).values())
        assert len(actual) == len(expected)
        for ours, theirs in zip(actual, expected, strict=True):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), wanted
            if theirs.dtype.kind in "biu":
                np.testing.assert_array_equal(ours, theirs, err_msg=str(wanted))
            else:
                np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol, err_msg=str(wanted))
    return model


def _resized(
    tensor: torch.Tensor, shape: tuple[int | str, ...], sizes: Mapping[str, int]
) -> torch.Tensor:
    return resize(tensor, {a: sizes[s] for a, s in enumerate(shape) if s in sizes})  # type: ignore[index]


def _named(model: Model, args: tuple[Any, ...]) -> dict[str, torch.Tensor]:
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    return {fact.name: x for fact, x in zip(model.inputs, tensors, strict=True)}
