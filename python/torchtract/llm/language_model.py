"""A language model: text in, text out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, overload

import numpy as np
import numpy.typing as npt

from torchtract.errors import GenerationError, LoadError
from torchtract.llm.causal import CausalModel, Session
from torchtract.llm.chat import ChatTemplate, check_template_options
from torchtract.llm.encoder_decoder import EncodedPrompt, EncoderDecoder
from torchtract.llm.generation import Continuation, Generation, TextStream
from torchtract.llm.prompt_cache import PromptCache, PromptReader, Steps
from torchtract.llm.sampling import Sampler
from torchtract.llm.settings import Settings, check_int, check_stops
from torchtract.llm.tokenizer import FolderTokenizer, TokenIds, Tokenizer, check_ids

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["GenerationOptions", "LanguageModel", "Prompt"]

Prompt: TypeAlias = "str | Sequence[int] | npt.NDArray[np.integer[Any]]"

_MAX_NEW_TOKENS = 128
"""Where neither the call nor the folder tells."""


class GenerationOptions(TypedDict, total=False):
    """The options of `LanguageModel.generate`, which tells what they mean."""

    max_new_tokens: int | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    stop: str | Sequence[str]
    seed: int | None


class LanguageModel:
    """A language model with its tokenizer. Any number of threads may call it at once.

    An encoder-decoder answers prompts, where a causal model continues them.

    Args:
        model: the model in the engine.
        tokenizer: None for token ids in and out: texts are then as ``"17 4 99"``.
        chat_template: what makes a prompt of messages.
        settings: how to generate where a call does not say.
        prompt_cache: how many texts the model remembers, so that a prompt that begins as one of
            them is not read from its start. Each takes memory as its length does.
        prompt_chunk: how many tokens of a prompt are read in one go, where the model's assertions
            allow some behind others.

    Attributes:
        model: the model in the engine, which gives sessions.
        tokenizer: text to token ids, and back.
        chat_template: None where there is none.
        settings: how to generate where a call does not say.
        max_length: how many tokens a prompt and its continuation can have together; sys.maxsize
            where the model has no limit.
        vocab_size: how many tokens there are.
        eos_token_ids: those that end a text.

    Raises:
        LoadError: the tokenizer has tokens that the model has not.
        GenerationError: `prompt_cache` or `prompt_chunk` can't be.
    """

    def __init__(
        self,
        model: CausalModel | EncoderDecoder,
        tokenizer: Tokenizer | None = None,
        *,
        chat_template: ChatTemplate | None = None,
        settings: Settings | None = None,
        prompt_cache: int = 2,
        prompt_chunk: int = 512,
    ) -> None:
        prompt_cache = check_int("prompt_cache", prompt_cache, 0)
        prompt_chunk = check_int("prompt_chunk", prompt_chunk, 1)
        if isinstance(tokenizer, FolderTokenizer) and tokenizer.vocab_size > model.vocab_size:
            raise LoadError(
                f"the tokenizer has {tokenizer.vocab_size} tokens and the model "
                f"{model.vocab_size}: it is another model's; give the folder of this one."
            )
        self.tokenizer: Tokenizer = TokenIds() if tokenizer is None else tokenizer
        self.chat_template = chat_template
        self.settings = settings or Settings()
        self.model = model
        self.max_length = model.max_length
        self.vocab_size = model.vocab_size
        told = self.settings.eos_token_ids
        self.eos_token_ids = tuple(model.eos_token_ids if told is None else told)
        continues = None if isinstance(model, EncoderDecoder) else model
        self._steps = Steps.of(model, prompt_chunk)
        self._cache = (
            None if continues is None else PromptCache(continues, prompt_cache, self._steps)
        )

    @overload
    def generate(
        self, prompt: Prompt, *, stream: Literal[False] = ..., **options: Unpack[GenerationOptions]
    ) -> Generation: ...

    @overload
    def generate(
        self, prompt: Prompt, *, stream: Literal[True], **options: Unpack[GenerationOptions]
    ) -> TextStream: ...

    def generate(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        stream: bool = False,
    ) -> Generation | TextStream:
        """Continues a prompt.

        What is None is as the folder's ``generation_config.json`` says, and where that is silent
        as transformers has it: the likeliest token is taken; once a temperature is given, tokens
        are drawn from the 50 likeliest. Then 128 tokens are generated at most.

        Args:
            prompt: a text, which begins with the token for that, if the model has one; or token
                ids, which are taken as they are.
            max_new_tokens: the most tokens to generate. The model's `max_length` may allow fewer.
            temperature: 0 takes the likeliest token; else tokens are drawn, with logits divided by
                it.
            top_k: draws from so many of the likeliest tokens; 0 from all.
            top_p: draws from the fewest of the likeliest tokens whose probabilities add up to it.
            min_p: draws from tokens at least that many times as likely as the likeliest.
            repetition_penalty: above 1, makes tokens less likely that are in the text already.
            stop: strings that end the text, which does not contain them.
            seed: draws the same tokens again.
            stream: gives the text in pieces, while it is generated.

        Returns:
            The text with its numbers, or the pieces of it.

        Raises:
            GenerationError: the prompt is empty, too long, or of no such tokens, or an option has
                a value that can't be.
            RunError: the engine fails.
        """
        [begun] = self._begin(
            self.tokens(prompt),
            1,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            stop=stop,
            seed=seed,
        )
        return begun if stream else _drained(begun)

    @overload
    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = ...,
        template_options: Mapping[str, Any] | None = ...,
        stream: Literal[False] = ...,
        **options: Unpack[GenerationOptions],
    ) -> Generation: ...

    @overload
    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = ...,
        template_options: Mapping[str, Any] | None = ...,
        stream: Literal[True],
        **options: Unpack[GenerationOptions],
    ) -> TextStream: ...

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_options: Mapping[str, Any] | None = None,
        stream: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> Generation | TextStream:
        """Answers messages.

        Args:
            messages: the conversation so far, each message with ``role`` and ``content``.
            tools: JSON schemas of functions that the model may call.
            template_options: more that the template reads, such as ``{"enable_thinking": False}``.
            stream: as for `generate`.
            options: as for `generate`.

        Raises:
            GenerationError: there is no chat template, it refuses the messages, or as `generate`.
            LoadError: jinja2 is not installed, or the template is none.
            RunError: the engine fails.
        """
        prompt = self.chat_tokens(messages, tools=tools, template_options=template_options)
        [begun] = self._begin(prompt, 1, **options)
        return begun if stream else _drained(begun)

    def chat_tokens(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template_options: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """The prompt that `chat` continues, for the same arguments."""
        if self.chat_template is None:
            raise GenerationError(
                "chat: the model came without a chat template, so messages make no prompt; "
                "generate continues a text, and a chat_template.jinja in the folder is read."
            )
        options = check_template_options(template_options)
        text = self.chat_template.render(messages, tools, **options)
        # The template writes the token for the start of a text itself.
        return self.tokenizer.encode(text, add_special_tokens=False)

    @overload
    def fork(
        self,
        prompt: Prompt,
        n: int,
        *,
        stream: Literal[False] = ...,
        **options: Unpack[GenerationOptions],
    ) -> list[Generation]: ...

    @overload
    def fork(
        self, prompt: Prompt, n: int, *, stream: Literal[True], **options: Unpack[GenerationOptions]
    ) -> list[TextStream]: ...

    def fork(
        self, prompt: Prompt, n: int, *, stream: bool = False, **options: Unpack[GenerationOptions]
    ) -> list[Generation] | list[TextStream]:
        """Continues a prompt in several ways, and reads it once.

        Args:
            prompt: as for `generate`.
            n: how many continuations.
            stream: gives each as a stream. They may be read in any order.
            options: as for `generate`; ``seed`` is the first one's, the next have the next numbers.

        Raises:
            GenerationError: as `generate`, or `n` is below 1.
            RunError: the engine fails.
        """
        begun = self._begin(self.tokens(prompt), n, **options)
        return begun if stream else [_drained(one) for one in begun]

    def forget(self) -> None:
        """Empties the cache of prompts."""
        if self._cache is not None:
            self._cache.clear()

    def _begin(
        self,
        prompt: list[int],
        n: int,
        *,
        max_new_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        seed: int | None = None,
        **sampling: float | None,
    ) -> list[TextStream]:
        """Checks all that was asked for, and reads nothing yet."""
        options = GenerationOptions.__annotations__
        for name in sampling:
            if name not in options:
                raise TypeError(f"{name}: there is no such option, only {', '.join(options)}")
        chosen = self.settings.sampling_for(**sampling)
        stops = (*check_stops(stop), *self.settings.stop)
        told = self.settings.max_new_tokens or _MAX_NEW_TOKENS
        most = told if max_new_tokens is None else max_new_tokens
        for name, value in (("n", n), ("max_new_tokens", most)):
            check_int(name, value, 1)
        if seed is not None:
            seed = check_int("seed", seed, 0)
        self._check_prompt(prompt)
        reader = self._reader(prompt, n)
        return [
            TextStream(
                Continuation(
                    prompt=reader,
                    choose=Sampler(chosen, reader.tokens, None if seed is None else seed + place),
                    decode=self.tokenizer.decode,
                    eos=frozenset(self.eos_token_ids) | self._ends(stops),
                    stops=stops,
                    most=min(most, self.max_length - len(reader.tokens)),
                    # One for all: others' prompts have a place in the cache too.
                    give_back=reader.give if place == 0 else _drop,
                )
            )
            for place in range(n)
        ]

    def _reader(self, prompt: list[int], uses: int) -> PromptReader:
        if self._cache is not None:
            return PromptReader(self._cache, prompt, uses, self._steps)
        assert isinstance(self.model, EncoderDecoder)
        source = EncodedPrompt(self.model, prompt)
        begin = [self.model.start_token_id]
        return PromptReader(source, begin, uses, self._steps, length=len(prompt))

    def tokens(self, prompt: Prompt) -> list[int]:
        """The token ids of a prompt.

        Raises:
            GenerationError: it is no text and no row of ids.
        """
        if isinstance(prompt, str):
            # A tokenizer that begins a text with a token would make a prompt of none.
            return self.tokenizer.encode(prompt) if prompt else []
        try:
            tokens = np.asarray(prompt)
        except (ValueError, TypeError) as error:  # such as rows of different lengths
            raise GenerationError(
                f"prompt: a text or a list of ints is needed, not {str(prompt)[:40]!r}"
            ) from error
        if tokens.ndim != 1 or (tokens.size and tokens.dtype.kind not in "iu"):
            shape = ",".join(map(str, tokens.shape))
            raise GenerationError(
                f"prompt: a text or a list of ints is needed, not {tokens.dtype} [{shape}]"
            )
        return [int(token) for token in tokens]

    def _ends(self, stops: Sequence[str]) -> set[int]:
        """Stop strings that are a token without text, such as the end of a chat's message."""
        coded = (self.tokenizer.encode(stop, add_special_tokens=False) for stop in stops)
        return {ids[0] for ids in coded if len(ids) == 1 and not self.tokenizer.decode(ids)}

    def _check_prompt(self, tokens: Sequence[int]) -> None:
        if not tokens:
            raise GenerationError(
                "prompt: it is empty; give a text, or the token for the start of one"
            )
        check_ids("prompt", tokens, self.vocab_size)
        if isinstance(self.model, EncoderDecoder):
            longest, takes = self.model.max_prompt_length, "its encoder takes {}"
        else:
            longest = self.max_length - 1
            takes = f"the model takes {self.max_length}, of which one at least is to be generated"
        if len(tokens) > longest:
            told = takes.format(longest)
            raise GenerationError(f"prompt: it has {len(tokens)} tokens, and {told}; shorten it")

    def __repr__(self) -> str:
        chat = "with" if self.chat_template else "without"
        longest = "" if self.max_length == sys.maxsize else f", texts of up to {self.max_length}"
        return f"LanguageModel({self.vocab_size} tokens{longest}, {chat} a chat template)"


def _drained(stream: TextStream) -> Generation:
    for _ in stream:
        pass
    assert stream.result is not None
    return stream.result


def _drop(tokens: Sequence[int], session: Session) -> None:
    """Keeps nothing."""
