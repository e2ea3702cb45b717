"""Weights by blocks: which ones, what is lost, and a model that computes with what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias, cast

import numpy as np
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from torchtract.errors import FormatError
from torchtract.nnef.block_quant import BLOCK, FORMATS, restored

__all__ = [
    "Formats",
    "QuantizedWeight",
    "check_formats",
    "log_errors",
    "quantized",
    "weights_to_quantize",
]

log = logging.getLogger(__name__)
_SUMMARY = log.getChild("summary")
#: So many weights that lose most are named in it.
_WORST = 3

#: A format for all weights of linear layers and embeddings, or by pattern of their names, of which
#: the first that fits holds; None leaves them as they are.
Formats: TypeAlias = "str | Mapping[str, str | None] | None"


@dataclass(frozen=True)
class QuantizedWeight:
    """A weight that is stored by blocks.

    Attributes:
        names: in the `state_dict`; two layers may share it.
        weight: the parameter.
        form: how it is stored, such as `q4_0`.
        by_columns: whether products sum over its first axis.
        load: gives its values, where the parameter does not hold them.
    """

    names: tuple[str, ...]
    weight: nn.Parameter
    form: str
    by_columns: bool
    load: Callable[[], np.ndarray] | None = None

    def values(self) -> torch.Tensor:
        """Its values."""
        return torch.from_numpy(self.load()) if self.load else self.weight.detach()

    def kept(self) -> torch.Tensor:
        """What the format keeps of its values.

        Raises:
            FormatError: it can't hold them.
        """
        weight = self.values()
        rows = (weight.T if self.by_columns else weight).float().contiguous()
        try:
            values = torch.from_numpy(restored(rows.numpy())).to(weight.dtype)
        except ValueError as error:
            raise FormatError(
                f"quantize: {self.names[0]}: {error}; leave it out, by a pattern and None."
            ) from error
        return values.T.contiguous() if self.by_columns else values

    def error(self) -> float:
        """The Frobenius norm of what is lost, relative to that of the weight."""
        weight = self.values().float()
        lost = self.kept().float().sub_(weight)
        return float(lost.norm() / weight.norm().clamp_min(1e-30))


def check_formats(formats: Formats) -> None:
    """Refuse formats that are not known.

    Raises:
        ValueError: one is not.
    """
    named = formats if isinstance(formats, Mapping) else {"*": formats}
    for pattern, form in named.items():
        if not isinstance(pattern, str):
            raise ValueError(f"quantize: {pattern!r} is no pattern of names")
        if form is not None and form not in tuple(FORMATS):
            raise ValueError(f"quantize: {form!r} is no format; use {', '.join(FORMATS)} or None")


def weights_to_quantize(
    model: nn.Module, formats: Formats, loads: Mapping[str, Callable[[], np.ndarray]]
) -> list[QuantizedWeight]:
    """The weights that are stored by blocks.

    Those whose rows are no whole blocks of 32 values are left as they are.

    Args:
        model: whose linear layers and embeddings have them.
        formats: which ones, and how.
        loads: what gives the values of those that the model does not hold, by name.

    Raises:
        ValueError: a format is not known, a pattern fits no weight, or no rows are whole blocks.
    """
    check_formats(formats)
    patterns = formats if isinstance(formats, Mapping) else {"*": formats}
    names: dict[nn.Parameter, list[str]] = {}
    by_columns: dict[nn.Parameter, bool] = {}
    for path, module in model.named_modules():
        if ".lora_" not in path and isinstance(module, (nn.Linear, nn.Embedding, Conv1D)):
            weight = cast(nn.Parameter, module.weight)
            names.setdefault(weight, []).append(f"{path}.weight")
            by_columns[weight] = isinstance(module, Conv1D)
    known = [name for several in names.values() for name in several]
    for pattern in patterns:
        if formats is not None and not any(fnmatchcase(name, pattern) for name in known):
            raise ValueError(
                f"quantize: {pattern!r} fits no weight of a linear layer or an embedding; they "
                f"are called such as {known[-1] if known else None!r}"
            )
    found, unfit = [], {}
    for weight, several in names.items():
        form = _format_of(several, patterns)
        summed = weight.shape[0 if by_columns[weight] else 1]
        if form is not None and summed % BLOCK:
            unfit[several[0]] = summed
        elif form is not None:
            load = loads.get(several[0])
            found.append(QuantizedWeight(tuple(several), weight, form, by_columns[weight], load))
    if unfit and not found:
        name, summed = next(iter(unfit.items()))
        raise ValueError(
            f"quantize: no weight that it is for has rows of a multiple of {BLOCK} values, such as "
            f"{name!r} with {summed}; leave it out"
        )
    return found


def log_errors(weights: Sequence[QuantizedWeight]) -> None:
    """Tell what each weight loses, and then what all do."""
    if not weights or not _SUMMARY.isEnabledFor(logging.INFO):
        return
    errors = {each.names[0]: 100 * each.error() for each in weights}
    for each in weights:
        log.info("%s: %s loses %.2f %%", each.names[0], each.form, errors[each.names[0]])
    worst = sorted(errors, key=lambda name: -errors[name])[:_WORST]
    _SUMMARY.info(
        "%d quantized weights lose %.2f %% on average; most: %s",
        *(len(errors), sum(errors.values()) / len(errors)),
        ", ".join(f"{name} {errors[name]:.2f} %" for name in worst),
    )


def _format_of(names: list[str], patterns: Mapping[str, str | None]) -> str | None:
    for pattern, form in patterns.items():
        if any(fnmatchcase(name, pattern) for name in names):
            return form
    return None


@contextmanager
def quantized(weights: list[QuantizedWeight]) -> Iterator[None]:
    """Let a model compute with what the formats keep of its weights."""
    before = [each.weight.data for each in weights]
    try:
        for each in weights:
            each.weight.data = each.kept()
        yield
    finally:
        for each, data in zip(weights, before, strict=True):
            each.weight.data = data
