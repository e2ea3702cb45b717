"""`allow_unequal`: what tract streams by computing something else, and how that is told."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from graphs import archive
from torchtract import PulsedModel, load
from torchtract.errors import PulseError, UnequalStreamWarning

GRAPH = """
extension tract_symbol B;
extension tract_symbol S;
fragment tract_core_properties() -> (properties: (string, tensor<scalar>)[]) {
    properties = [("torchtract.modules", "head.weigh smooth")];
}
graph net(x) -> (y) {
    x = tract_core_external(shape = [B, 1, S], datum_type = 'f32');
    smooth = conv(x, [[[0.25, 0.5, 0.25]]], 0.0, padding = [(1, 1)]);
    head_weigh_softmax = softmax(smooth, axes = [2]);
    y = head_weigh_softmax * 10.0;
}
"""
TOTAL = """
extension tract_symbol S;
graph net(x) -> (y) {
    x = tract_core_external(shape = [S, 2], datum_type = 'f32');
    y = sum_reduce(x, axes = [0]);
}
"""
TABLE = """
extension tract_symbol S;
graph net(x) -> (y) {
    x = tract_core_external(shape = [S], datum_type = 'f32');
    table = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
    y = x * tract_core_dyn_slice(table, start = 7 - S, end = 7, len = S, axis = 0);
}
"""
LAYER = "layer head.weigh (Softmax head_weigh_softmax): it takes all frames at once"

Array = npt.NDArray[Any]


@pytest.fixture
def pulsed() -> PulsedModel:
    with pytest.warns(UnequalStreamWarning):
        return load(archive(GRAPH)).pulse(S=4, allow_unequal=True)


def signal(frames: int) -> Array:
    return np.random.default_rng(0).standard_normal((2, 1, frames)).astype(np.float32)


def streamed(pulsed: PulsedModel, x: Array) -> Array:
    stream = pulsed.compile().stream()
    return np.concatenate([stream.push(x[:, :, :5]), stream.push(x[:, :, 5:]), stream.flush()], 2)


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(2, keepdims=True))
    weights: Array = powers / powers.sum(2, keepdims=True)
    return weights


def test_is_refused_unless_it_is_allowed_and_then_warned_of() -> None:
    batch = load(archive(GRAPH))
    with pytest.raises(PulseError) as refused:
        batch.pulse(S=4)
    assert str(refused.value).startswith(f"S=4: {LAYER}")
    with pytest.warns(UnequalStreamWarning) as warned:
        batch.pulse(S=4, allow_unequal=True)
    (one,) = warned
    assert one.filename == __file__
    assert f"S=4: streams may give other numbers than the batch model, by\n  {LAYER}" in str(
        one.message
    )


def test_what_streams_as_it_should_is_no_other(recwarn: pytest.WarningsRecorder) -> None:
    batch = load(archive(GRAPH.replace("softmax(smooth, axes = [2])", "softmax(smooth, [1])")))
    allowed, strict = batch.pulse(S=4, allow_unequal=True), batch.pulse(S=4)
    assert repr(allowed) == repr(strict)
    assert allowed.unequal == strict.unequal == ()
    assert not recwarn.list


def test_what_tract_has_no_way_to_stream_is_refused_still() -> None:
    for text in (TOTAL, GRAPH.replace("padding = [(1, 1)]", "stride = [3]")):
        with pytest.raises(PulseError, match=r"^S=4: "):
            load(archive(text)).pulse(S=4, allow_unequal=True)


def test_computes_each_pulse_by_itself_without_frames_from_before_the_first(
    pulsed: PulsedModel,
) -> None:
    assert pulsed.delay == 4  # of which the convolution needs 1
    x = signal(12)
    smooth = 0.5 * x
    smooth[:, :, 1:] += 0.25 * x[:, :, :-1]
    smooth[:, :, :-1] += 0.25 * x[:, :, 1:]
    by_pulse = [10 * softmax(smooth[:, :, at : at + 4]) for at in range(0, 12, 4)]
    for _ in range(3):
        np.testing.assert_allclose(streamed(pulsed, x), np.concatenate(by_pulse, axis=2), rtol=1e-5)


def test_a_table_that_is_cut_from_its_end_begins_anew_with_each_pulse() -> None:
    with pytest.warns(UnequalStreamWarning, match="it cuts a tensor of its own"):
        pulsed = load(archive(TABLE)).pulse(S=2, allow_unequal=True)
    stream = pulsed.compile().stream()
    ones = np.ones(5, np.float32)
    assert [*stream.push(ones), *stream.flush()] == [32, 64, 32, 64, 32]
    with pytest.raises(PulseError, match=r"^S=8: "):  # more than the table has
        load(archive(TABLE)).pulse(S=8, allow_unequal=True)


def test_it_is_seen_wherever_the_model_is_shown(pulsed: PulsedModel) -> None:
    (told,) = pulsed.unequal
    assert told.startswith(LAYER)
    for one in (pulsed, pulsed.compile(), pulsed.set(B=2)):
        assert repr(one).splitlines()[-1] == f"  unequal to the batch model: {told}"
        assert told in one._repr_html_()


def test_it_stays_with_the_model(
    pulsed: PulsedModel, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    pulsed.save(tmp_path / "m.nnef.tgz")
    loaded = load(tmp_path / "m.nnef.tgz")
    assert isinstance(loaded, PulsedModel)
    assert loaded.properties["torchtract.pulse.unequal"] == list(pulsed.unequal)
    x = signal(11)
    for one in (loaded, pulsed.set(B=2), copy.copy(pulsed), *pickled(pulsed), *pickled(loaded)):
        assert one.unequal == pulsed.unequal
        np.testing.assert_array_equal(streamed(one, x), streamed(pulsed, x))
    # Who made it was told.
    assert not recwarn.list


def pickled(model: PulsedModel) -> tuple[PulsedModel, PulsedModel]:
    model, runnable = pickle.loads(pickle.dumps((model, model.compile())))
    return model, runnable.model
