"""`python -m llm.every` exports every causal language model of transformers, and writes a page.

Each is tiny and has random weights. Its file is loaded, and generates beside transformers. Each is
done in a process of its own, and what came of it kept in `build/causal_models/`, not to be done
again until that is removed; names after the command do those again.
"""

from __future__ import annotations

import copy
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from transformers import PreTrainedModel, RepetitionPenaltyLogitsProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from llm.families import draw_weights
from torchtract import llm, load
from torchtract.errors import TorchTractError

ROOT = Path(__file__).parents[2]
_RESULTS = ROOT / "build" / "causal_models"
_PAGE = ROOT / "docs" / "causal-models.md"
_SECONDS = 180
_MOST_PARAMETERS = 30_000_000
_VOCABULARY, _PROMPT, _NEW = 97, 9, 40
_PENALTY = 1.5  # keeps random weights from repeating themselves

_IDS = {"vocab_size": _VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
# A size has one name in most configurations and others in the rest, which ignore what they don't
# know.
_SIZES = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "emb_dim", "hidden_dim"), 32),
    **dict.fromkeys(("embedding_size", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 4),
    **dict.fromkeys(("decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads", "attention_heads"), 4),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "decoder_ffn_dim", "encoder_ffn_dim"), 48),
    **dict.fromkeys(("d_ff", "dff", "ffn_hidden_size"), 48),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"), 96),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k"), 2),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 16),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "moe_num_shared_experts"), 1),
    "expert_ffn_hidden_size": 16,
    "first_k_dense_replace": 1,
    "num_key_value_heads": 2,
    "rotary_dim": 4,
    "type_vocab_size": 2,
    "vocab_size_per_layer_input": _VOCABULARY,
    "hidden_size_per_layer_input": 8,
}
_LATENT = {
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "qk_head_dim"), 16),
    **dict.fromkeys(("head_dim", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"), 8),
}
# What differs between kinds of attention, in the order in which they are tried.
_FORMS: tuple[dict[str, Any], ...] = (
    {"is_decoder": True},
    {"is_decoder": True, "head_dim": 8},
    {"is_decoder": True, "num_key_value_heads": 4},
    {"num_key_value_heads": 4, **_LATENT},
    {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_expand": 2, "head_dim": 8},
    {"num_encoder_layers": 2, "num_decoder_layers": 2, "num_hidden_layers": None},
    {"num_kv_shared_layers": 0, "head_dim": 8},
    {"attention_types": [[["global", "local"], 2]], "window_size": 8},
    {"num_experts_per_tok": 1},
)

_HEAD = """\
# Causal language models

<!-- Written by `make causal-models`. Change tests/llm/every.py, not this page. -->

What became of each causal language model of transformers {transformers} when a tiny one with
random weights was given to `torchtract.llm.export`: the file was loaded, read {prompt} tokens, and
generated {new} more.

- **right**: they are those that follow from transformers' logits of the whole text, token by token.
- **refused**: with an error of ours, and without a file.
- **wrong**: other tokens.
- **fails**: any other error, no end within {seconds} seconds, or the end of the process.
- **not tried**: transformers itself did not make, or not run, a model of our sizes.

{counts}

| model | | reason |
|---|---|---|
"""


@dataclass(frozen=True)
class Outcome:
    """What came of a model: the kinds are those of the page."""

    kind: str
    reason: str = ""


def main(names: Sequence[str]) -> int:
    """Do what is left to do, or these models again, and write the page."""
    _RESULTS.mkdir(parents=True, exist_ok=True)
    todo = names or [name for name in _names() if not _path(name).exists()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, outcome in zip(todo, pool.map(_in_a_process, todo), strict=True):
            _path(name).write_text(json.dumps(asdict(outcome)))
            print(f"{name}: {outcome.kind} {outcome.reason}", flush=True)  # noqa: T201
    done = [name for name in _names() if _path(name).exists()]
    outcomes = {name: Outcome(**json.loads(_path(name).read_text())) for name in done}
    _write(outcomes)
    return int(any(outcome.kind in ("wrong", "fails") for outcome in outcomes.values()))


def _names() -> list[str]:
    """Classes of models: the first, where a configuration has several."""
    values: Iterable[Any] = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values()
    return sorted({value if isinstance(value, str) else value[0] for value in values})


def _path(name: str) -> Path:
    return _RESULTS / f"{name}.json"


def _in_a_process(name: str) -> Outcome:
    command = [sys.executable, "-W", "ignore", "-m", "llm.every", "--one", name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=Path(__file__).parents[1],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return Outcome("fails", f"no end within {_SECONDS} seconds")
    except subprocess.CalledProcessError as error:
        return Outcome("fails", f"the process ended with {error.returncode}")
    return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def outcome_of(name: str) -> Outcome:
    """Export a model, and generate."""
    try:
        model = _built(getattr(hf, name))
        prompt = torch.randint(3, _VOCABULARY, (1, _PROMPT), generator=torch.manual_seed(1))
        expected = _generated(model, prompt)
    except Exception as error:  # noqa: BLE001  (of transformers, any)
        return Outcome("not tried", _one_line(error))
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = llm.export(model, Path(folder) / "model.nnef.tar")
            lm = llm.LanguageModel(load(file).causal(), settings=llm.Settings(eos_token_ids=()))
            actual = lm.generate(
                prompt[0].tolist(), max_new_tokens=_NEW, repetition_penalty=_PENALTY
            ).tokens
    except TorchTractError as error:
        return Outcome("refused", _one_line(error))
    except Exception as error:  # noqa: BLE001  (what should never be)
        return Outcome("fails", f"{type(error).__name__}: {_one_line(error)}")
    if len(set(expected)) <= 2:
        return Outcome("not tried", "transformers generates the same token over and over")
    same = sum(a == b for a, b in zip(actual, expected, strict=False))
    return Outcome("right") if actual == expected else Outcome("wrong", f"{same} tokens are alike")


def _built(build: Any) -> PreTrainedModel:
    """The first form of attention with which transformers makes a model that runs."""
    problems: list[Exception] = []
    for form in _FORMS:
        settings = {k: v for k, v in {**_SIZES, **_IDS, **form}.items() if v is not None}
        try:
            config = build.config_class(**settings)
            with torch.device("meta"):
                count = sum(weight.numel() for weight in build(config).parameters())
            if count > _MOST_PARAMETERS:
                raise ValueError(f"it has {count / 1e6:.0f} million parameters")
            return _steady(build(config).eval())
        except Exception as error:  # noqa: BLE001  (of transformers, any)
            problems.append(error)
    raise problems[0]


def _steady(model: PreTrainedModel) -> PreTrainedModel:
    """The model with random weights, of which the last digits do not decide what it says.

    Of routers and deep networks they may: no two engines agree then.
    """
    tokens = torch.randint(3, _VOCABULARY, (1, _PROMPT + _NEW), generator=torch.manual_seed(0))
    for spread in (0.25, 0.1, 0.05):
        torch.manual_seed(0)
        draw_weights(model, spread)
        nearly = copy.deepcopy(model)
        with torch.no_grad():
            for weight in nearly.parameters():
                weight.mul_(1 + 1e-6 * torch.randn_like(weight))
            logits, others = model(tokens).logits, nearly(tokens).logits
        if (logits - others).abs().max() < 1e-3 * logits.abs().max():
            return model
    raise ValueError("the last digits of random weights decide what it says")


def _generated(model: Any, ids: torch.Tensor) -> list[int]:
    """The likeliest tokens, where the whole text is read for each.

    The model's `generate` may count positions otherwise than the model does (RoBERTa's).
    """
    penalty = RepetitionPenaltyLogitsProcessor(_PENALTY)
    text = ids
    with torch.no_grad():
        for _ in range(_NEW):
            logits = penalty(text, model(text).logits[:, -1])
            text = torch.cat([text, logits.argmax(-1, keepdim=True)], 1)
    tokens: list[int] = text[0, ids.shape[1] :].tolist()
    return tokens


def _one_line(error: Exception) -> str:
    """The message without paths of this machine, and without advice."""
    text = str(error) or type(error).__name__
    text = text.split("\nRewrite")[0].replace(f"{Path(hf.__file__).parent}/", "transformers/")
    return " ".join(text.split())[:300]


def _write(outcomes: dict[str, Outcome]) -> None:
    counts = Counter(outcome.kind for outcome in outcomes.values())
    kinds = ("right", "refused", "wrong", "fails", "not tried")
    head = _HEAD.format(
        transformers=hf.__version__,
        prompt=_PROMPT,
        new=_NEW,
        seconds=_SECONDS,
        counts=", ".join(f"{counts[kind]} {kind}" for kind in kinds) + ".",
    )
    _PAGE.write_text(head + "\n".join(_rows(outcomes)) + "\n")


def _rows(outcomes: dict[str, Outcome]) -> Iterator[str]:
    for name, outcome in outcomes.items():
        reason = outcome.reason.replace("|", "\\|").replace("<", "&lt;")
        yield f"| {name} | {outcome.kind} | {reason} |"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        warnings.filterwarnings("ignore")
        logging.disable(logging.CRITICAL)
        print(json.dumps(asdict(outcome_of(sys.argv[2]))))  # noqa: T201
    else:
        sys.exit(main(sys.argv[1:]))
