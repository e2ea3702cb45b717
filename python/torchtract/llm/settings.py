"""What a folder says of how its model generates: `generation_config.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from torchtract.errors import GenerationError, LoadError
from torchtract.llm.sampling import Sampling

__all__ = ["Settings", "check_int", "check_stops"]

#: Of what transformers would do and we don't: the values that ask for nothing, besides null.
_NOTHING_ASKED: dict[str, tuple[Any, ...]] = {
    "num_beams": (1,),
    "penalty_alpha": (0,),
    "dola_layers": (),
    "guidance_scale": (1,),
    "sequence_bias": (),
    "no_repeat_ngram_size": (0,),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,),
    "bad_words_ids": ([],),
    "min_length": (0,),
    "min_new_tokens": (0,),
    "forced_bos_token_id": (),
    "forced_eos_token_id": (),
    "exponential_decay_length_penalty": (),
    "suppress_tokens": ([],),
    "begin_suppress_tokens": ([],),
    "top_h": (),
    "typical_p": (1,),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "watermarking_config": (),
    "token_healing": (False,),
}

#: What transformers takes where a file is silent, and so what those who wrote it left out.
_UNSET: dict[str, Any] = {
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
}


@dataclass(frozen=True)
class Settings:
    """How to generate where a call does not say.

    Attributes:
        do_sample: whether tokens are drawn; else the likeliest is taken.
        sampling: how they are drawn then, or once a call gives a temperature.
        stop: strings that end a text.
        eos_token_ids: tokens that end a text, None where nothing is said about them.
        max_new_tokens: the most tokens to generate, None where nothing is said about that.
    """

    do_sample: bool = False
    sampling: Sampling = field(default=Sampling(**_UNSET))
    stop: tuple[str, ...] = ()
    eos_token_ids: tuple[int, ...] | None = None
    max_new_tokens: int | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any], origin: str) -> Settings:
        """Reads what a ``generation_config.json`` holds.

        Raises:
            LoadError: a value can't be, or asks for what generation here does not do.
        """
        for name, nothing in _NOTHING_ASKED.items():
            if (value := config.get(name)) is not None and value not in nothing:
                raise LoadError(
                    f"{origin}: {name}={value!r} asks for what torchtract.llm does not do; remove "
                    "it there, if the text may be another than transformers'."
                )
        do_sample, most = config.get("do_sample"), config.get("max_new_tokens")
        if not (do_sample is None or isinstance(do_sample, bool)):
            raise LoadError(f"{origin}: do_sample={do_sample!r}: true or false is needed")
        given = {name: config[name] for name in _UNSET if config.get(name) is not None}
        try:
            return cls(
                do_sample=bool(do_sample),
                sampling=Sampling(**{**_UNSET, **given}),
                stop=check_stops(config.get("stop_strings") or ()),
                eos_token_ids=eos_token_ids(config.get("eos_token_id"), origin),
                max_new_tokens=None if most is None else check_int("max_new_tokens", most, 1),
            )
        except GenerationError as error:
            raise LoadError(f"{origin}: {error}") from error

    def sampling_for(self, **asked: float | None) -> Sampling:
        """How to choose, where a call asked for some of `Sampling`'s values and left others None.

        Raises:
            GenerationError: a value can't be.
        """
        values = {**vars(self.sampling)}
        if not self.do_sample:
            values["temperature"] = 0.0
        return Sampling(**{**values, **{k: v for k, v in asked.items() if v is not None}})


def check_int(name: str, value: Any, least: int) -> int:
    """The value of an option that counts.

    Raises:
        GenerationError: it is no int, or below `least`.
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not (whole and value >= least):
        raise GenerationError(f"{name}={value!r}: an int from {least} is needed")
    return int(value)


def check_stops(stop: str | Sequence[str]) -> tuple[str, ...]:
    """One stop string or several, as a tuple.

    Raises:
        GenerationError: one is empty, or no text.
    """
    stops: Any = (stop,) if isinstance(stop, str) else stop
    listed = isinstance(stops, Sequence)
    if not (listed and all(isinstance(string, str) and string for string in stops)):
        raise GenerationError(f"stop={stop!r}: texts that are not empty are needed")
    return tuple(stops)


def eos_token_ids(value: Any, origin: str) -> tuple[int, ...] | None:
    """The value of ``eos_token_id``, which is a number, a list of them, or missing.

    Raises:
        LoadError: it is something else.
    """
    if value is None:
        return None
    ids = value if isinstance(value, list) else [value]
    if not all(isinstance(token, int) and not isinstance(token, bool) for token in ids):
        raise LoadError(f"{origin}: eos_token_id={value!r}: token ids are needed")
    return tuple(ids)
