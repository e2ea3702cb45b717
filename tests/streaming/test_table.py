"""Every small module streams as the batch model computes, or is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from harness import export
from streaming.attention import ATTENTION, UNLIMITED
from streaming.pooled import assert_pool_is_right
from streaming.refused import REFUSED
from streaming.streamable import STREAMABLE, Case
from torchtract import Model, PulsedModel, check_stream, load
from torchtract.errors import MismatchError, PulseError, SymbolError, UnequalStreamWarning

FRAMES = torch.rand(2, 8, 3, generator=torch.Generator().manual_seed(0))
#: What tract 0.23.9 streams but has no way to write.
UNWRITTEN = {
    "concat_token",
    "conv_then_transposed",
    "down_and_up",
    "plus_shifted",
    "plus_zero_tail",
    "shift_right",
    "transposed_kernel_3",
    "transposed_overlap",
    "transposed_stride_2",
    "zero_tail",
}
#: Refused ones that tract streams by computing something else, and a pulse at which it shows.
UNEQUAL = {
    "attention": 4,
    "attention_beyond_table": 4,
    "attention_causal_heads": 4,
    "attention_far": 4,
    "attention_far_chunks": 4,
    "attention_future": 4,
    "attention_hidden_by_number": 4,
    "attention_is_causal": 4,
    "attention_logarithms": 4,
    "attention_of_fewer": 4,
    "attention_over_queries": 4,
    "attention_padded_by_number": 4,
    "attention_sink": 4,
    "attention_triangle": 4,
    "attention_weak_mask": 4,
    "bidirectional_gru": 4,
    "bidirectional_lstm": 4,
    "bidirectional_rnn": 4,
    "deep_bidirectional": 4,
    "frames_with_features": 4,
    "head_of_perhaps_fewer": 1,
    "indices_of_maxima": 4,
    "scaled_dot_product": 4,
    "softmax_over_frames": 4,
    "softmax_over_frames_last": 4,
    "weights_over_frames": 4,
}
#: What counts frames for all streams of a turn alike, and images without an axis for a batch, and
#: spectra and channels that are filtered alike, in which tract sees no axis for it.
APART = {
    *(case.name for case in ATTENTION),
    "averaged_images",
    "avg_pool_2d",
    "avg_pool_ceil",
    "avg_pool_padded_strided",
    "avg_pool_padding_left_out",
    "conv_reflect",
    "conv_then_reflect",
    "embedding_of_positions",
    "filter_of_channels",
    "images",
    "pooled_images",
    "positions",
    "reflect_head",
    "reflect_tail",
    "running_maximum",
    "running_mean",
    "stft",
    "stft_centred",
    "stft_centred_in_zeros",
    "table_of_positions",
}


def exported(case: Case) -> Model:
    names = [f"x{i}" for i in range(len(case.args))]
    axes = dict(zip(names, case.axes, strict=True))
    lines = [f"tract_assert {text}" for text in case.asserts]
    return export(
        case.module, *case.args, dynamic_axes=axes, input_names=names, custom_extensions=lines
    )


def named(cases: list[Case]) -> list[object]:
    return [pytest.param(case, id=case.name) for case in cases]


def test_the_table_is_large_enough() -> None:
    streamable, refused = [*STREAMABLE, *ATTENTION], [*REFUSED, *UNLIMITED]
    assert len({case.name for case in streamable}) == len(streamable) >= 80
    assert len({case.name for case in refused}) == len(refused) >= 60


@pytest.mark.parametrize("case", named([*STREAMABLE, *ATTENTION]))
def test_streams(case: Case, tmp_path: Path) -> None:
    model = exported(case)
    for pulse in case.pulses:
        report = check_stream(model, S=pulse)
        assert max(row.frames for row in report.rows) >= 2
        saved = tmp_path / f"pulse{pulse}.nnef.tgz"
        pulsed = model.pulse(S=pulse)
        pool = assert_pool_is_right(model, pulsed)
        assert (pool.apart is not None) == (case.name in APART)
        if case.name in UNWRITTEN:
            with pytest.raises(PulseError, match="tract can't write"):
                pulsed.save(saved)
            continue
        pulsed.save(saved)
        check_stream(model, pulsed=load(saved))


@pytest.mark.parametrize("case", named([*REFUSED, *UNLIMITED]))
def test_is_refused(case: Case) -> None:
    model = exported(case)
    for pulse in case.pulses:
        with pytest.raises(PulseError, match=f"^S={pulse}: "):
            model.pulse(S=pulse)
        if case.name not in UNEQUAL:
            with pytest.raises(PulseError, match=f"^S={pulse}: "):
                model.pulse(S=pulse, allow_unequal=True)


@pytest.mark.parametrize("name", UNEQUAL)
def test_is_let_through_as_unequal_and_found_to_be_so(name: str, tmp_path: Path) -> None:
    model = exported(next(case for case in [*REFUSED, *UNLIMITED] if case.name == name))
    pulse = UNEQUAL[name]
    with pytest.raises(PulseError) as refused:
        model.pulse(S=pulse)
    with pytest.warns(UnequalStreamWarning) as warned:
        pulsed = model.pulse(S=pulse, allow_unequal=True)
    reason = str(refused.value).partition(": ")[2].replace("'", "\u2019")
    assert reason.startswith(pulsed.unequal[0])
    assert all(layer in str(warned[0].message) for layer in pulsed.unequal)
    models: list[Model] = [pulsed]
    if name != "indices_of_maxima":  # tract writes a pooling with indices as one without
        pulsed.save(tmp_path / "m.nnef.tgz")
        models.append(load(tmp_path / "m.nnef.tgz"))
    for one in models:
        with pytest.raises(MismatchError, match=r"\nThe first layer that differs: ") as found:
            check_stream(model, pulsed=one)
        named = str(found.value).partition("The first layer that differs: ")[2]
        layers = [layer.partition(": ")[0] for layer in pulsed.unequal]
        assert any(named.startswith(f"{layer}, ") for layer in layers)
        assert found.value.node


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("attention_is_causal", "frames before it, perhaps all.*a window of the past"),
        ("attention_future", "frames after it, perhaps all.*a window of the past"),
        ("attention_hidden_by_number", "a frame may see none at all.*hide frames by -inf"),
        ("attention_beyond_table", r"its table of 90 rows.*\(i - j\).clamp\(0, 89\)"),
        ("attention_weights", "it sets every frame against every other"),
    ],
)
def test_attention_without_limits_is_told_how_to_stream(name: str, told: str) -> None:
    case = next(case for case in UNLIMITED if case.name == name)
    with pytest.raises(PulseError, match=told):
        exported(case).pulse(S=4)


def test_a_stream_too_short_for_its_parts_to_meet() -> None:
    case = next(case for case in STREAMABLE if case.name == "plus_shifted")
    batch = exported(case)
    stream = batch.pulse(S=2).compile().stream()
    x = np.random.default_rng(0).standard_normal((2, 12, 3)).astype(np.float32)
    # Of one frame, the batch model makes five: the shifted part is as long as its padding.
    assert batch.compile()(x[:, :1]).shape == (2, 5, 3)
    first = stream.push(x[:, :1])
    with pytest.raises(SymbolError, match="S=1 is not allowed: of so short a stream"):
        stream.flush()
    whole = np.concatenate([first, stream.push(x[:, 1:]), stream.flush()], axis=1)
    np.testing.assert_allclose(whole, batch.compile()(x), atol=1e-6)


def test_a_stream_ends_at_a_multiple_where_the_batch_model_needs_one(tmp_path: Path) -> None:
    case = Case("pairs", lambda x: x.view(x.shape[0], x.shape[1] // 2, 6) + 1, (FRAMES,))
    batch = exported(case)
    x = np.random.default_rng(0).standard_normal((2, 9, 3)).astype(np.float32)
    saved = tmp_path / "pairs.nnef.tgz"
    batch.pulse(S=4).save(saved)
    for pulsed in (batch.pulse(S=4), load(saved)):
        assert isinstance(pulsed, PulsedModel)
        stream = pulsed.compile().stream()
        parts = [stream.push(x[:, :7])]
        with pytest.raises(SymbolError, match="S=7 is not allowed"):
            stream.flush()
        parts += [stream.push(x[:, 7:8]), stream.flush()]
        whole = np.concatenate(parts, axis=1)
        np.testing.assert_allclose(whole, batch.compile()(x[:, :8]), atol=1e-6)
