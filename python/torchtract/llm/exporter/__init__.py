"""From a causal language model of transformers to one file for prompts and generation."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import wraps
from os import PathLike
from pathlib import Path
from typing import Any, ParamSpec

import torch
from transformers import PreTrainedModel

from torchtract.check.compare import LEVELS
from torchtract.errors import CaptureError, FormatError
from torchtract.export import TRACING, TractNNEF, export_model_to_nnef
from torchtract.llm.exporter.alibi import alibi_by_table
from torchtract.llm.exporter.attention import attention_whole
from torchtract.llm.exporter.cached import CachedModel
from torchtract.llm.exporter.encoder_decoder import CachedDecoder, start_token
from torchtract.llm.exporter.files import (
    ENCODER_NAME,
    MODEL_NAME,
    Texts,
    check_vocabulary,
    texts_of,
    write_texts,
)
from torchtract.llm.exporter.finite import check_logits, check_weights, finite_loads
from torchtract.llm.exporter.lora import check_swappable, is_adapted, with_adapter, without_peft
from torchtract.llm.exporter.quantized import (
    Formats,
    check_formats,
    log_errors,
    quantized,
    weights_to_quantize,
)
from torchtract.llm.exporter.reference import check_alike, check_longest, logits_of
from torchtract.llm.exporter.rope import steady_frequencies
from torchtract.llm.exporter.session_check import check_session
from torchtract.llm.exporter.shards import Load, model_without_weights, shown
from torchtract.llm.exporter.source import DTYPES, check_source, evaluated, read_model
from torchtract.nnef import check_writable, is_folder, reported, schema, staged
from torchtract.runtime.causal import LANGUAGE_MODEL

__all__ = ["export"]

log = logging.getLogger(__name__)
_P = ParamSpec("_P")

#: Sizes of the traced example: tokens that were read before, and tokens that are read.
_PAST, _TOKENS = 3, 4
#: Caches for the check near the greatest length are made up to this size.
_MOST_BYTES = 1 << 28


def _in_turns(function: Callable[_P, Path]) -> Callable[_P, Path]:
    @wraps(function)
    def one(*args: _P.args, **kwargs: _P.kwargs) -> Path:
        with TRACING:
            return function(*args, **kwargs)

    return one


@_in_turns
def export(
    model: PreTrainedModel | str | PathLike[str],
    path: str | PathLike[str],
    *,
    logits: str = "last",
    max_length: int | None = None,
    dtype: torch.dtype | None = None,
    quantize: Formats = None,
    adapter: str | PathLike[str] | None = None,
    merge_adapter: bool = True,
    tokenizer: str | PathLike[str] | None = None,
    trust_remote_code: bool = False,
    version: str = schema.EMBEDDED,
    check_io: bool = True,
    check_io_tolerance: str | None = None,
    compression_level: int | None = None,
) -> Path:
    """Writes a language model with its caches, for `torchtract.llm.load`.

    The file has inputs `input_ids`, `[1, S]`, and for each layer keys and values, `[1, heads, P,
    features]`; outputs `logits`, and all keys and values, `[1, heads, P + S, features]`. P and S
    are free: P = 0 reads a prompt, S = 1 goes on by a token.

    An encoder-decoder becomes two files. That of the encoder has an input `input_ids`, `[1, T]`,
    and for each layer of the decoder keys and values of that text, `[1, heads, T, features]`, which
    the decoder's file has as more inputs.

    Threads that export at the same time take turns.

    Args:
        model: a model of transformers or peft; a folder in the format of Hugging Face (config.json,
            safetensors, tokenizer.json); or a name there whose files are in the cache. Nothing is
            downloaded.
        path: a folder for the model and its tokenizer, or `.nnef.tgz` or `.nnef.tar` for the
            model alone, unless it is an encoder-decoder.
        logits: `last`, those of what follows the last token, or `all`, of what follows each.
        max_length: of a text, in tokens; by default the model's `max_position_embeddings`. Of an
            encoder-decoder, that of the decoder's text.
        dtype: `torch.float32` or `torch.float16`, of weights and activations. By default that of
            the model, and float32 of a folder or a name.
        quantize: how weights of linear layers and embeddings are stored, `q4_0` (4 bits a value
            and 16 a block of 32); or by patterns of their names, as in
            `{"*lm_head*": None, "*": "q4_0"}`, None for as they are. tract computes with them as
            they are stored, and so does PyTorch in the check. What each loses is logged.
        adapter: a folder with a LoRA adapter of peft.
        merge_adapter: whether that, or the one that a model of peft has, is added to the weights;
            else it stays beside them, and `torchtract.llm.swap_adapter` can put another in its
            place, in a folder or `.nnef.tar`.
        tokenizer: a folder with the tokenizer. By default that of the model.
        trust_remote_code: whether Python code in the model's folder may run.
        version: the oldest tract that must read the file.
        check_io: compare tract with PyTorch at several sizes, the empty past and the greatest
            length among them, and token by token; refuse the file if they differ. Without it, of
            a folder one weight at a time is in memory, unless it has an adapter, is quantised, or
            its files hold experts one by one: then all are, which is logged.
        check_io_tolerance: one of tract's levels, see `TractNNEF`. By default `approximate`, and
            `very` of float16, whose last digits depend on the order of sums.
        compression_level: of a `.tgz`, 0 (none) to 9 (smallest).

    Returns:
        The path that was written.

    Raises:
        CaptureError: there is no such model, tensors of it are missing, it can't be exported with
            a cache, gives logits that are not finite, or depends on sizes in a way that is told.
        UnsupportedOpError: calls in the model have no counterpart.
        FormatError: the path can't be written, is no folder though the model is an
            encoder-decoder, the tokenizer's files can't be read or are another model's, or weights
            are not finite.
        MismatchError: tract gives other numbers than PyTorch. No file is left behind.
        ValueError: `logits`, `dtype`, `max_length`, `quantize` or `check_io_tolerance` is
            something else.
    """
    _check_options(logits, dtype, check_io_tolerance)
    check_formats(quantize)
    path = Path(path)
    check_writable(path, compression_level)
    own: Any = model
    if not merge_adapter and (adapter is not None or is_adapted(model)):
        check_swappable(path)
    if is_adapted(model):
        model = without_peft(model, merge_adapter)
    check_source(model)
    texts = texts_of(model, tokenizer) if is_folder(path) else Texts()
    network, loads = _read(model, dtype, trust_remote_code, check_io or adapter is not None)
    _check_room(path, network)
    check_vocabulary(texts, network)
    if adapter is not None:
        if not check_io:
            log.warning("adapter: all weights are read at once, since peft adds it to the model.")
        network = with_adapter(network, adapter, merge_adapter)
    check_weights(network, loads)
    longest = _longest(network, max_length)
    module = (CachedDecoder if network.config.is_encoder_decoder else CachedModel)(network, logits)
    weights = weights_to_quantize(network, quantize, loads)
    target = TractNNEF(
        version=version,
        dynamic_axes=module.axes,
        check_io=check_io,
        check_io_tolerance=check_io_tolerance or _usual_tolerance(network),
        check_sizes=_near_the_end(module, longest),
        block_quant={f"model.{name}": each.form for each in weights for name in each.names},
        specific_properties=_properties(network, logits, longest),
    )
    with ExitStack() as stack:
        unfinished = stack.enter_context(staged(path))
        stack.enter_context(steady_frequencies(network, longest))
        stack.enter_context(evaluated(module))
        if check_io:
            expected = _expected(own, module, longest)
            check_logits(expected)
        stack.enter_context(attention_whole(network))
        stack.enter_context(alibi_by_table(network, longest))
        log_errors(weights)
        if check_io:
            check_alike(expected, module, longest, target.check_io_tolerance)
            if longest is not None and target.check_sizes:
                check_longest(module, longest)
            stack.enter_context(quantized(weights))
        if is_folder(path):
            with reported(path):
                write_texts(unfinished, texts, network)
        file = unfinished / MODEL_NAME if is_folder(path) else unfinished
        shown_loads = stack.enter_context(shown(network, loads))
        shown_loads = {f"model.{name}": load for name, load in shown_loads.items()}
        target = replace(target, weights=shown_loads)
        _write(module, file, target, longest, compression_level)
        if isinstance(module, CachedDecoder):
            encoder = unfinished / ENCODER_NAME
            _write_encoder(module, encoder, target, _longest(network, None), compression_level)
        if check_io:
            check_session(file, module, longest, target.check_io_tolerance)
    return path


def _check_options(logits: str, dtype: torch.dtype | None, check_io_tolerance: str | None) -> None:
    if logits not in ("last", "all"):
        raise ValueError(f"logits={logits!r}: is 'last' or 'all'")
    if dtype not in (None, *DTYPES):
        raise ValueError(f"dtype={dtype!r}: is torch.float32 or torch.float16")
    if check_io_tolerance not in (None, *LEVELS):
        raise ValueError(
            f"check_io_tolerance={check_io_tolerance!r}: is one of {', '.join(LEVELS)}"
        )


def _check_room(path: Path, model: PreTrainedModel) -> None:
    if model.config.is_encoder_decoder and not is_folder(path):
        raise FormatError(
            f"{path}: {type(model).__name__} becomes two files, an encoder and a decoder; give a "
            "folder."
        )


def _write(
    module: CachedModel,
    file: Path,
    target: TractNNEF,
    longest: int | None,
    compression_level: int | None,
) -> None:
    """Write a model and check it at several sizes."""
    export_model_to_nnef(
        model=module,
        args=module.example(_PAST, _TOKENS),
        file_path_export=file,
        inference_target=target,
        input_names=module.input_names,
        output_names=module.output_names,
        custom_extensions=_assertions(module, longest),
        compression_level=compression_level,
    )


def _write_encoder(
    module: CachedDecoder,
    file: Path,
    target: TractNNEF,
    longest: int | None,
    compression_level: int | None,
) -> None:
    """Write the other half of a model, and check it at several sizes."""
    bound = [] if longest is None else [f"tract_assert T < {longest + 1}"]
    target = replace(
        target,
        dynamic_axes={"input_ids": {1: "T"}},
        check_sizes=[] if longest is None else [{"T": longest}],
        specific_properties={},
    )
    with evaluated(module.encoder):
        export_model_to_nnef(
            model=module.encoder,
            args=(module.encoder.example(),),
            file_path_export=file,
            inference_target=target,
            input_names=["input_ids"],
            output_names=module.context_names,
            custom_extensions=["tract_assert T >= 1", *bound],
            compression_level=compression_level,
        )


def _expected(own: Any, module: CachedModel, longest: int | None) -> torch.Tensor:
    """What the user's model gives; that in memory, where it is a folder or in another type."""
    network = module.model
    same = is_adapted(own) or (isinstance(own, PreTrainedModel) and own.dtype == network.dtype)
    return logits_of(own if same else network, module, longest)


def _usual_tolerance(model: PreTrainedModel) -> str:
    return "very" if model.dtype == torch.float16 else "approximate"


def _read(
    source: PreTrainedModel | str | PathLike[str],
    dtype: torch.dtype | None,
    trust_remote_code: bool,
    whole: bool,
) -> tuple[PreTrainedModel, dict[str, Load]]:
    """A model, and what gives the weights that it does not hold: all where it need not be whole."""
    lazy = None if whole else model_without_weights(source, dtype, trust_remote_code)
    if lazy is None:
        return read_model(source, dtype, trust_remote_code), {}
    network, loads = lazy
    return network, finite_loads(loads)


def _longest(model: PreTrainedModel, asked: int | None) -> int | None:
    """Of a text, as asked or by the model's configuration; None where that does not say.

    Raises:
        CaptureError: it is asked for more than the model can.
    """
    longest = _positions(model)
    if asked is None:
        return longest
    if type(asked) is not int:
        raise ValueError(f"max_length={asked!r}: is an int")
    # One token would be the prompt, and none could follow.
    if not 2 <= asked <= (longest or max(asked, 2)):
        raise CaptureError(
            f"max_length={asked}: is refused, since a text has two tokens or more, and the longest "
            f"by the model's positions is {longest}; give a length from 2 to that."
        )
    return asked


def _positions(model: PreTrainedModel) -> int | None:
    """How many a model has, where its configuration says."""
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(positions, int) or positions <= 0:
        return None
    for name, table in model.named_modules():
        padding = getattr(table, "padding_idx", None)
        if name.endswith("position_embeddings") and padding is not None:
            # RoBERTa's begin behind that of the padding token.
            positions = min(positions, table.num_embeddings - padding - 1)
    return positions


def _assertions(module: CachedModel, longest: int | None) -> list[str]:
    """Which lengths there are: tract needs a scenario for each way to read."""
    bound = [] if longest is None else [f"S+P < {longest + 1}"]
    scenarios = ["tg: S==1", "pp: P==0", "chunk: P>=1"]
    return [
        f"tract_assert {line}"
        for line in ("P >= 0", "S >= 1", *bound, *module.assertions, *scenarios)
    ]


def _near_the_end(module: CachedModel, longest: int | None) -> list[dict[str, int]]:
    """Sizes at which a text gets as long as it can, where its caches don't fill the memory."""
    if longest is None or longest < 2 or module.bytes_of_caches(longest) > _MOST_BYTES:
        return []
    few = min(longest - 1, _TOKENS - 1)
    told = {"T": 1} if isinstance(module, CachedDecoder) else {}
    return [{"P": longest - 1, "S": 1, **told}, {"P": longest - few, "S": few, **told}]


def _properties(model: PreTrainedModel, logits: str, longest: int | None) -> dict[str, str]:
    config = model.config.get_text_config()
    eos = getattr(model.generation_config, "eos_token_id", None)
    told = {
        "architecture": type(model).__name__,
        "eos_token_id": config.eos_token_id if eos is None else eos,
        "logits": logits,
        "max_length": longest,
    }
    if model.config.is_encoder_decoder:
        told["decoder_start_token_id"] = start_token(model)
        told["max_prompt_length"] = _longest(model, None)
    return {LANGUAGE_MODEL: json.dumps(told)}
