"""How a case of transformers' models is made of a row in a table: a model class and a small config.

`models.every` takes the cases from `models.transformers_models`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
import transformers

from models.cases import ModelCase
from models.weights import random_weights

__all__ = ["SMALL", "case", "masked", "text_case", "tokens"]

PAD = 1
#: What most text models call their sizes. Models ignore what they don't know; `...` leaves out
#: what one refuses to know.
SMALL: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "pad_token_id": PAD,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "use_cache": False,
}

#: Sizes of the symbols, and what a model gets at these.
Inputs = Callable[..., dict[str, torch.Tensor]]


def build(model: str, config: Mapping[str, Any], args: tuple[Any, ...] = ()) -> torch.nn.Module:
    """A model by the name of its class, with random weights and statistics, in eval mode."""
    kind: Any = getattr(transformers, model)
    known = {name: value for name, value in config.items() if value is not ...}
    return random_weights(lambda: kind(kind.config_class(**known)), *args)


def placed(model: str, inputs: Mapping[str, torch.Tensor]) -> tuple[Any, ...]:
    """Named inputs as positional arguments, the defaults of `forward` between them."""
    kind: Any = getattr(transformers, model)
    parameters = list(inspect.signature(kind.forward).parameters.values())[1:]
    last = max(i for i, p in enumerate(parameters) if p.name in inputs)
    return tuple(inputs.get(p.name, p.default) for p in parameters[: last + 1])


def case(
    model: str,
    config: Mapping[str, Any],
    inputs: Inputs,
    axes: Mapping[str, Mapping[int, str]],
    traced: Mapping[str, int],
    sizes: tuple[Mapping[str, int], ...],
    assertions: tuple[str, ...] = (),
    name: str = "",
) -> ModelCase:
    """A model of transformers, given the names of its inputs and their axes."""
    return ModelCase(
        name=name or model,
        make=lambda: build(model, config, placed(model, inputs(**traced))),
        inputs=lambda **at: placed(model, inputs(**at)),
        dynamic_axes=axes,
        traced=traced,
        sizes=sizes,
        assertions=assertions,
    )


def tokens(batch: int, length: int) -> torch.Tensor:
    """Tokens that are no special ones."""
    return torch.randint(5, 100, (batch, length))


def masked(batch: int, length: int) -> dict[str, torch.Tensor]:
    """Tokens with padding at the end, and the mask that hides it: each row has another length."""
    lengths = torch.tensor([max(1, length - 2 * row - 1) for row in range(batch)])
    mask = (torch.arange(length) < lengths[:, None]).long()
    ids = tokens(batch, length).where(mask.bool(), PAD)
    return {"input_ids": ids, "attention_mask": mask}


def text_case(
    name: str, config: Mapping[str, Any], *, mask: bool = True, shortest: int = 1
) -> ModelCase:
    """A model on texts with padding, or on full ones where it takes no mask; B and S are free."""

    def inputs(B: int, S: int) -> dict[str, torch.Tensor]:  # noqa: N803  (symbols)
        return masked(B, S) if mask else {"input_ids": tokens(B, S)}

    return case(
        name.split(",")[0],
        {**SMALL, **config},
        inputs,
        axes={input_name: {0: "B", 1: "S"} for input_name in inputs(1, 1)},
        traced={"B": 2, "S": 9},
        sizes=({"B": 1, "S": 5}, {"B": 3, "S": 16}),
        assertions=("tract_assert B >= 1", f"tract_assert S >= {shortest}", "tract_assert S <= 60"),
        name=name,
    )
