"""`check_stream` finds what a stream gives wrong, and says where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from graphs import archive
from torchtract import check_stream, load
from torchtract.check import stream
from torchtract.errors import EngineError, MismatchError, PulseError, RunError, UnequalStreamWarning

SMOOTH = """
extension tract_symbol B;
extension tract_symbol S;
graph net(x) -> (y) {
    x = tract_core_external(shape = [B, 1, S], datum_type = 'f32');
    y = conv(x, [[[0.25, WEIGHT, 0.25]]], 0.0, padding = [(1, 1)]);
}
"""
PAIRED = """
extension tract_symbol B;
extension tract_symbol S;
graph net(x, y) -> (a, b) {
    x = tract_core_external(shape = [B, S], datum_type = 'f32');
    y = tract_core_external(shape = [B, 2*S], datum_type = 'f32');
    a = x * 2.0;
    b = y * 3.0;
}
"""
BATCH = load(archive(SMOOTH.replace("WEIGHT", "0.5")))
#: The first and the last layer stream, and `head.weigh` looks at all frames.
WEIGHED = """
extension tract_symbol B;
extension tract_symbol S;
fragment tract_core_properties() -> (properties: (string, tensor<scalar>)[]) {
    properties = [("torchtract.modules", "head.weigh smooth")];
}
graph net(x) -> (y, smooth) {
    x = tract_core_external(shape = [B, 1, S], datum_type = 'f32');
    smooth = conv(x, [[[0.25, 0.5, 0.25]]], 0.0, padding = [(1, 1)]);
    head_weigh_softmax = softmax(smooth, axes = [2]);
    y = conv(head_weigh_softmax, [[[0.25, 0.5, 0.25]]], 0.0, padding = [(1, 1)]);
}
"""


def test_every_length_is_streamed_in_two_ways() -> None:
    report = check_stream(BATCH, S=4)
    lengths = [row.length for row in report.rows]
    assert {0, 1, 3, 4, 5, 8} <= set(lengths)
    assert max(lengths) > 24
    assert all(lengths.count(length) == 2 for length in lengths)
    assert all(row.frames == row.length for row in report.rows)
    assert report.max_abs < 1e-5
    assert not report.refused


def test_a_wrong_stream_is_found_with_its_first_wrong_frame() -> None:
    other = load(archive(SMOOTH.replace("WEIGHT", "0.6"))).pulse(S=4)
    with pytest.raises(MismatchError, match=r"output y differs from frame 0 on") as found:
        check_stream(BATCH, pulsed=other, lengths=[9])
    assert found.value.output == "y"
    assert found.value.max_abs > 0.01


def test_a_stream_of_another_length_is_found() -> None:
    longer = load(archive(SMOOTH.replace("WEIGHT", "0.5").replace("(1, 1)", "(1, 2)"))).pulse(S=4)
    with pytest.raises(MismatchError, match=r"\(2, 1, 10\), the batch model gives"):
        check_stream(BATCH, pulsed=longer, lengths=[9])


def test_given_inputs_are_used() -> None:
    x = np.zeros((2, 1, 20), np.float32)
    x[:, :, [0, 4]] = 8.0
    other = load(archive(SMOOTH.replace("[0.25, WEIGHT, 0.25]", "[0.25, 0.5, 0.26]")))
    with pytest.raises(MismatchError, match="differs from frame 3 on"):
        check_stream(BATCH, {"x": x}, pulsed=other.pulse(S=4), lengths=[9])


@pytest.mark.parametrize("frames", [0, 1, 7, 30])
def test_no_stream_is_longer_than_the_given_inputs(frames: int) -> None:
    x = np.random.default_rng(0).standard_normal((5, 1, frames)).astype(np.float32)
    lengths = {row.length for row in check_stream(BATCH, {"x": x}, S=4).rows}
    assert max(lengths) == frames
    assert lengths <= set(range(frames + 1))


def test_given_inputs_say_the_sizes_of_other_symbols() -> None:
    random = np.random.default_rng(0)
    x, y = (random.standard_normal((5, n)).astype(np.float32) for n in (30, 43))
    paired = load(archive(PAIRED))
    report = check_stream(paired, {"x": x, "y": y}, S=4)
    assert {(row.output, row.length, row.frames) for row in report.rows} >= {
        ("a", 21, 21),
        ("b", 21, 42),
    }
    assert not report.refused
    # Without the 5 of y, x would be random with two rows.
    assert check_stream(paired, {"y": y}, S=4).rows


def test_a_given_input_may_be_a_single_number() -> None:
    scaled = load(
        archive("""
        extension tract_symbol S;
        graph net(x, factor) -> (y) {
            x = tract_core_external(shape = [2, S], datum_type = 'f32');
            factor = tract_core_external(shape = [], datum_type = 'f32');
            factors = unsqueeze(factor, axes = [0, 1]);
            y = x * factors;
        }
        """)
    )
    inputs = {"x": np.ones((2, 9), np.float32), "factor": np.float32(3)}
    assert check_stream(scaled, inputs, S=4).rows


@pytest.mark.parametrize(
    ("inputs", "lengths", "message"),
    [
        ({"x": np.zeros((2, 1, 9), np.float32)}, [4, 10], "S=10 is too long .* which have S=9"),
        ({"z": np.zeros((2, 1, 9), np.float32)}, None, "input z: unknown, the model takes x"),
        ({"x": np.zeros((2, 9), np.float32)}, None, r"input x: B,1,S,F32: got the shape \[2, 9\]"),
        ({"x": np.zeros((2, 2, 9), np.float32)}, None, "axis 1 must be 1"),
        ({"x": np.zeros((2, 1, 9))}, None, "dtype must be float32"),
        ({"x": "frames"}, None, "input x: .*(no array|lacks)"),
    ],
    ids=str,
)
def test_given_inputs_must_fit(inputs: Any, lengths: list[int] | None, message: str) -> None:
    with pytest.raises(RunError, match=message):
        check_stream(BATCH, inputs, S=4, lengths=lengths)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"S": 0}, PulseError, "at least one frame"),
        ({"S": 4, "tolerance": "roughly"}, ValueError, "there is no such level"),
        ({"pulsed": BATCH}, PulseError, "it is no pulsed model"),
    ],
    ids=str,
)
def test_refuses(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        check_stream(BATCH, **arguments)  # type: ignore[arg-type]


def test_a_check_without_a_length_is_none() -> None:
    valid = load(archive(SMOOTH.replace("WEIGHT", "0.5").replace("(1, 1)", "(0, 0)")))
    with pytest.raises(RunError, match="the batch model refuses every length"):
        check_stream(valid, S=4, lengths=[1])


def test_the_first_layer_that_differs_is_named() -> None:
    batch = load(archive(WEIGHED))
    with (
        pytest.warns(UnequalStreamWarning),
        pytest.raises(MismatchError) as found,
    ):
        check_stream(batch, S=4, allow_unequal=True, lengths=[4, 6])
    message = str(found.value)
    # One pulse is all there is of a stream of four frames, so that is right.
    assert message.startswith("S=6 in chunks of ")
    assert "output y differs from frame 0 on" in message
    layer = "layer head.weigh (Softmax head_weigh_softmax), from frame 0 on: "
    assert f"\nThe first layer that differs: {layer}" in message
    assert (found.value.node, found.value.module) == ("head_weigh_softmax", "head.weigh")
    assert found.value.output == "y"


def test_a_pulsed_model_that_was_made_of_another_is_said_to_be() -> None:
    other = load(archive(SMOOTH.replace("WEIGHT", "0.6"))).pulse(S=4)
    with pytest.raises(MismatchError, match="check that the pulsed model was made of it") as found:
        check_stream(BATCH, pulsed=other, lengths=[9])
    assert found.value.node is None


def test_no_layer_is_named_where_the_pulsed_model_has_other_unequal_ones() -> None:
    with pytest.warns(UnequalStreamWarning):
        other = load(archive(WEIGHED)).pulse(S=4, allow_unequal=True)
    text = WEIGHED.replace("softmax(smooth, axes = [2])", "smooth * 2.0")
    with pytest.raises(MismatchError) as found:
        check_stream(load(archive(text)), pulsed=other, lengths=[9])
    assert "\n" not in str(found.value)


def test_a_search_that_fails_does_not_hide_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise EngineError("lost")

    monkeypatch.setattr(stream, "locate_in_stream", fail)
    other = load(archive(SMOOTH.replace("WEIGHT", "0.6"))).pulse(S=4)
    with pytest.raises(MismatchError, match=r"differs from frame 0 on: .* at \(.*\)$"):
        check_stream(BATCH, pulsed=other, lengths=[9])


def test_a_pulsed_model_is_no_batch_model() -> None:
    pulsed = BATCH.pulse(S=4)
    with pytest.raises(PulseError, match="give the batch model"):
        check_stream(pulsed, pulsed=pulsed)
