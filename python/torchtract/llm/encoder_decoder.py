"""Models whose encoder reads the prompt, and whose decoder answers it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from torchtract.errors import LoadError
from torchtract.llm.causal import Session
from torchtract.llm.folder import find_encoder
from torchtract.runtime import Runnable
from torchtract.runtime import load as load_model
from torchtract.runtime.causal import CausalModel as Decoder

__all__ = ["EncodedPrompt", "EncoderDecoder"]


class EncoderDecoder:
    """An encoder and a decoder in the engine. Any number of threads may have sessions.

    Args:
        encoder: gives for token ids, `[1, T]`, what the decoder is told of them.
        decoder: the decoder.

    Attributes:
        start_token_id: the token that an answer begins with, which is not part of its text.
        max_prompt_length: how many tokens the encoder reads.
        max_length: how many tokens an answer can have, that of its start among them.
        vocab_size: how many logits there are; token ids are below.
        eos_token_ids: tokens that end an answer, as the decoder's file tells.

    Raises:
        LoadError: the decoder's file tells no start, or it is told other things than the encoder
            gives.
    """

    def __init__(self, encoder: Runnable, decoder: Decoder) -> None:
        start, given = decoder.start_token_id, {fact.name for fact in encoder.outputs}
        lacking = [fact.name for fact in decoder.context if fact.name not in given]
        if lacking or start is None:
            what = f"gives no {lacking[0]}" if lacking else "has a decoder without a first token"
            raise LoadError(f"the encoder {what}: are its file and the decoder's of one model?")
        self.start_token_id: int = start
        self.max_prompt_length = decoder.max_prompt_length or sys.maxsize
        self.max_length = decoder.max_length
        self.vocab_size = decoder.vocab_size
        self.eos_token_ids = decoder.eos_token_ids
        self._encoder = encoder
        self._decoder = decoder

    @classmethod
    def load(cls, path: Path, decoder: Decoder) -> EncoderDecoder:
        """The model of a decoder and of the encoder beside its file.

        Raises:
            LoadError: there is none, or another model's.
            EngineError: tract can't compile it.
        """
        encoder = load_model(find_encoder(path)).compile(threads=decoder.threads)
        return cls(encoder, decoder)

    def allows(self, past: int, new: int) -> bool:
        """Whether an answer of so many tokens can go on by so many at once."""
        return self._decoder.allows(past, new)

    def session(self, prompt: Sequence[int]) -> Session:
        """An answer to a prompt, of which nothing is there yet.

        Raises:
            EngineError: the engine fails.
        """
        [name] = [fact.name for fact in self._encoder.inputs]
        given = self._encoder.run({name: np.asarray(prompt, np.int64)[None]})
        return self._decoder.session(
            {fact.name: given[fact.name] for fact in self._decoder.context}
        )


class EncodedPrompt:
    """Where an answer's session comes from: the encoder reads the prompt when it is asked for."""

    def __init__(self, model: EncoderDecoder, prompt: Sequence[int]) -> None:
        self._model = model
        self._prompt = prompt

    def take(self, _: Sequence[int], /) -> Session:
        """A session of the caller's own."""
        return self._model.session(self._prompt)

    def give(self, tokens: Sequence[int], session: Session, /) -> None:
        """Keeps nothing: another prompt is another context."""
