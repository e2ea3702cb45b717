"""Text in pieces: whole characters, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from torchtract.llm.pieces import Decoder, Stops, Text

ALPHABET = "ab€🙂\ufffd "


def pieces_of(decode: Decoder, tokens: Sequence[int]) -> list[str]:
    return [*(decode.push(token) for token in tokens), decode.flush()]


def with_bytes() -> Tokenizer:
    """Words, blanks before them as ``▁``, and bytes for what there is no word for: as Llama 2."""
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁a", "▁the", "b", "▁", "€"]
    tokenizer = Tokenizer(
        models.BPE({word: i for i, word in enumerate(words)}, [], unk_token="<unk>")
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


@given(prompt=st.text(ALPHABET), text=st.text(ALPHABET))
def test_pieces_are_the_text(bpe: Tokenizer, prompt: str, text: str) -> None:
    before = bpe.encode(prompt, add_special_tokens=False).ids
    tokens = bpe.encode(text, add_special_tokens=False).ids

    pieces = pieces_of(Decoder(bpe.decode, before), tokens)

    assert "".join(pieces) == text


@given(st.lists(st.integers(0, 399), max_size=40))
def test_pieces_of_tokens_that_are_no_text(bpe: Tokenizer, tokens: list[int]) -> None:
    pieces = pieces_of(Decoder(bpe.decode, ()), tokens)

    assert "".join(pieces) == bpe.decode(tokens)


def test_a_character_comes_whole(bpe: Tokenizer) -> None:
    tokens = bpe.encode("a🙂b", add_special_tokens=False).ids
    assert len(tokens) == 6

    pieces = pieces_of(Decoder(bpe.decode, ()), tokens)

    assert pieces == ["a", "", "", "", "🙂", "b", ""]


def test_half_a_character_comes_at_the_end(bpe: Tokenizer) -> None:
    tokens = bpe.encode("a🙂", add_special_tokens=False).ids[:-1]

    assert pieces_of(Decoder(bpe.decode, ()), tokens) == ["a", "", "", "", "\ufffd"]


def test_a_prompt_that_ends_in_half_a_character(bpe: Tokenizer) -> None:
    tokens = bpe.encode("a🙂b", add_special_tokens=False).ids

    for half in (2, 3, 4):
        pieces = pieces_of(Decoder(bpe.decode, tokens[:half]), tokens[half:])

        assert "".join(pieces) == bpe.decode(tokens[half:])


def test_a_replacement_character_of_the_text_itself(bpe: Tokenizer) -> None:
    tokens = bpe.encode("a\ufffdb", add_special_tokens=False).ids

    pieces = pieces_of(Decoder(bpe.decode, ()), tokens)

    assert "".join(pieces) == "a\ufffdb"


def test_many_broken_characters_are_not_held_back(bpe: Tokenizer) -> None:
    [*_, last] = bpe.encode("€", add_special_tokens=False).ids
    decoder = Decoder(bpe.decode, ())

    pieces = [decoder.push(last) for _ in range(10)]

    assert "".join(pieces) == "\ufffd" * 7
    assert decoder.flush() == "\ufffd" * 3


def test_the_blank_between_prompt_and_text_is_text() -> None:
    tokenizer = with_bytes()
    ids = tokenizer.get_vocab()
    the, a, b = (ids[word] for word in ("▁the", "▁a", "b"))

    assert pieces_of(Decoder(tokenizer.decode, [the, b]), [a, b, the]) == [" a", "b", " the", ""]
    assert pieces_of(Decoder(tokenizer.decode, []), [a, b, the]) == ["a", "b", " the", ""]


@given(st.lists(st.sampled_from(["€", "🙂", "é", "▁a", "▁the", "b"])))
def test_pieces_of_characters_by_their_bytes(parts: list[str]) -> None:
    tokenizer = with_bytes()
    ids = tokenizer.get_vocab()
    tokens: list[int] = []
    for part in parts:
        known = ids.get(part)
        coded = [ids[f"<0x{byte:02X}>"] for byte in part.encode()]
        tokens += coded if known is None or part == "€" else [known]

    pieces = pieces_of(Decoder(tokenizer.decode, [ids["▁a"]]), tokens)

    assert "".join(pieces) == "".join(parts).replace("▁", " ")
    assert not any("\ufffd" in piece for piece in pieces)


@given(text=st.text("abc", max_size=30), stops=st.lists(st.text("abc", min_size=1, max_size=4)))
@pytest.mark.parametrize("size", [1, 2, 5, 30])
def test_a_stop_is_found_however_the_text_is_cut(size: int, text: str, stops: list[str]) -> None:
    cut = Stops(stops)
    shown, stopped = "", False
    for start in range(0, len(text), size):
        piece, stopped = cut.push(text[start : start + size])
        shown += piece
        if stopped:
            break
    shown += cut.flush()

    # As if every character came alone.
    ends = [end for end in range(len(text) + 1) if text[:end].endswith(tuple(stops))]
    assert stopped == bool(ends and stops)
    if not stopped:
        assert shown == text
    else:
        longest = max(len(stop) for stop in stops if text[: ends[0]].endswith(stop))
        assert shown == text[: ends[0] - longest]


def test_what_may_be_a_stop_is_held_back() -> None:
    stops = Stops(["\n\nUser:", "END"])

    assert stops.push("Hello\n") == ("Hello", False)
    assert stops.push("\nUse") == ("", False)
    assert stops.push("d E") == ("\n\nUsed ", False)
    assert stops.push("NDED") == ("", True)


def test_nothing_comes_behind_a_stop(bpe: Tokenizer) -> None:
    tokens = bpe.encode("one. two", add_special_tokens=False).ids
    text = Text(bpe.decode, (), [". "])

    shown = ""
    for token in tokens:
        shown += text.push(token)
        if text.stopped:
            break

    assert shown + text.flush() == "one"
    assert text.stopped
