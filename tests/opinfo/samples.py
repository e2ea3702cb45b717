"""PyTorch's own samples of its operators, each as a module whose inputs are the sample's tensors.

The database is private to PyTorch (`torch.testing._internal`), so it belongs to the version that
the tests run with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import OpInfo, SampleInput
from torch.utils import _pytree as pytree

__all__ = ["DTYPES", "OPERATORS", "Sample", "has", "samples"]

#: Element types whose samples are tried.
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float32,
        torch.float64,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.uint8,
        torch.bool,
        torch.complex64,
    )
}


def _name(operator: OpInfo) -> str:
    variant = operator.variant_test_name
    return f"{operator.name}.{variant}" if variant else str(operator.name)


#: PyTorch's entries by name, a variant's name after a dot. Jiterator makes CUDA kernels.
OPERATORS: Mapping[str, OpInfo] = {
    _name(operator): operator for operator in op_db if not operator.name.startswith("jiterator")
}

#: Operators that may give the position of any of several equal elements: theirs are not equal.
_ANY_OF_EQUALS = frozenset({"kthvalue", "topk"})


@dataclass(frozen=True)
class Sample:
    """A call of an operator, its tensors apart from what else it takes."""

    module: torch.nn.Module
    tensors: tuple[torch.Tensor, ...]
    text: str


class Call(torch.nn.Module):
    """An operator as a function of tensors; all else that it takes is fixed."""

    def __init__(self, operator: Callable[..., Any], leaves: list[Any], spec: Any) -> None:
        super().__init__()
        self.operator = operator
        self.rest = [None if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        self.places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        self.spec = spec

    def forward(self, *x: torch.Tensor) -> Any:
        leaves = list(self.rest)
        for place, tensor in zip(self.places, x, strict=False):
            leaves[place] = tensor
        args, kwargs = pytree.tree_unflatten(leaves, self.spec)
        return self.operator(*args, **kwargs)


def has(name: str, dtype: torch.dtype) -> bool:
    """Whether an operator is defined for an element type."""
    return dtype in OPERATORS[name].supported_dtypes("cpu")


def samples(name: str, dtype: torch.dtype, count: int | None = None) -> Iterator[Sample]:
    """The first samples of an operator, or all of them.

    A sample without a tensor, of `torch.arange` for example, gets one that it does not use.
    """
    operator = OPERATORS[name]
    torch.manual_seed(0)
    inputs = operator.sample_inputs("cpu", dtype, requires_grad=False)
    yield from (_sample(operator, sample) for sample in islice(inputs, count))


def _sample(operator: OpInfo, sample: SampleInput) -> Sample:
    if operator.name in _ANY_OF_EQUALS and not sample.input.is_floating_point():
        sample.input = torch.randperm(sample.input.numel()).view_as(sample.input).to(sample.input)
    leaves, spec = pytree.tree_flatten(((sample.input, *sample.args), sample.kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    call = Call(operator.op, leaves, spec)
    return Sample(call.eval(), tuple(tensors or [torch.ones(1)]), sample.summary())
