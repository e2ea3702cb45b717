"""LoRA adapters of peft: merged into a model's weights, or beside them as weights of their own.

Source: Hu et al., LoRA: Low-Rank Adaptation of Large Language Models, 2021 (arXiv 2106.09685).
"""

from __future__ import annotations

import copy
import os
import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from torchtract.errors import CaptureError, FormatError

__all__ = ["check_swappable", "is_adapted", "with_adapter", "without_peft"]


def is_adapted(model: object) -> bool:
    """Whether it is a model of peft."""
    return type(model).__module__.startswith("peft.")


def without_peft(model: Any, merge: bool) -> PreTrainedModel:
    """The model inside of one of peft, with its adapter.

    Args:
        model: of peft, with one adapter. It is left as it is.
        merge: whether the adapter is added to the weights, or stays beside them.

    Raises:
        CaptureError: it has another adapter than one of LoRA, or several.
    """
    _check(model)
    if merge:
        merged: PreTrainedModel = copy.deepcopy(model).merge_and_unload()
        return merged
    if any(getattr(config, "use_dora", False) for config in model.peft_config.values()):
        raise CaptureError(
            "merge_adapter=False: an adapter of DoRA can't stay beside the weights, since it "
            "scales these too; merge it."
        )
    inside: PreTrainedModel = copy.deepcopy(model).base_model.model
    _scale(inside)
    return inside


def check_swappable(path: Path) -> None:
    """Refuse a file in which `torchtract.llm.swap_adapter` can't put another adapter.

    Raises:
        FormatError: it is compressed.
    """
    if path.suffix in (".tgz", ".gz"):
        raise FormatError(
            f"{str(path)!r}: can't be written with merge_adapter=False, since adapters are swapped "
            "in a .nnef.tar; end it so, or name a folder."
        )


def with_adapter(
    model: PreTrainedModel, adapter: str | PathLike[str], merge: bool
) -> PreTrainedModel:
    """A model with the adapter of a folder.

    Raises:
        CaptureError: peft is not installed, or can't read the adapter or put it on the model.
    """
    where = os.fspath(adapter)
    try:
        from peft import PeftModel

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it warns of is refused below
            adapted = PeftModel.from_pretrained(copy.deepcopy(model), where, local_files_only=True)
    except ImportError as error:
        raise CaptureError(f"adapter={where!r}: peft is needed: pip install peft.") from error
    except Exception as error:
        raise CaptureError(f"adapter={where!r}: peft can't use it: {error}") from error
    _check_complete(where, adapted)
    return without_peft(adapted, merge)


def _check_complete(where: str, adapted: Any) -> None:
    """Refuse an adapter of which peft found a part, or left out one."""
    from peft import get_peft_model_state_dict
    from peft.utils.save_and_load import load_peft_weights

    given = load_peft_weights(where, device="cpu").keys()
    differing = given ^ get_peft_model_state_dict(adapted).keys()
    if differing:
        raise CaptureError(
            f"adapter={where!r}: is for another model: {min(differing)} is in one of them alone."
        )


def _check(model: Any) -> None:
    from peft.tuners.lora import LoraLayer

    kinds = {name: config.peft_type.value for name, config in model.peft_config.items()}
    if list(kinds.values()) != ["LORA"]:
        raise CaptureError(
            f"model: has the adapters {kinds}, and one of LoRA can be exported; merge them by "
            "model.merge_and_unload()."
        )
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    if any(layer.disable_adapters or layer.active_adapters != list(kinds) for layer in layers):
        raise CaptureError(
            f"model: its adapter {next(iter(kinds))!r} is switched off; switch it on, or export "
            "the model inside, model.get_base_model()."
        )


def _scale(model: torch.nn.Module) -> None:
    """Put the factor of each adapter into its second matrix, so that another may take its place."""
    from peft.tuners.lora import LoraLayer

    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            for name, factor in layer.scaling.items():
                second = layer.lora_B[name] if name in layer.lora_B.keys() else None  # noqa: SIM118
                if not isinstance(second, torch.nn.Linear) or second.bias is not None:
                    raise CaptureError(
                        f"merge_adapter=False: an adapter of {type(layer).__name__}, or one with a "
                        "bias, can't stay beside the weights; merge it."
                    )
                with torch.no_grad():
                    second.weight.mul_(factor)
                layer.scaling[name] = 1.0
