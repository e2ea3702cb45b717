"""Language models whose caches stay inside of tract."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from graphs import archive
from torchtract import load
from torchtract.errors import EngineError, RunError, SymbolError
from torchtract.runtime.causal import CausalModel

#: Its logits count how often it has read each token.
COUNTS = """
extension tract_symbol P;
extension tract_symbol S;
extension tract_assert P >= 0;
extension tract_assert S >= 1;
extension tract_assert S + P < 10;
graph net(input_ids, in_cache_key_0) -> (logits, out_cache_key_0) {
    input_ids = tract_core_external(shape = [1, S], datum_type = 'i64');
    in_cache_key_0 = tract_core_external(shape = [1, 1, P, 3], datum_type = 'f32');
    table = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    rows = unsqueeze(tract_core_gather(table, input_ids, axis = 0), axes = [1]);
    out_cache_key_0 = concat([in_cache_key_0, rows], axis = 2);
    logits = squeeze(sum_reduce(out_cache_key_0, axes = [2]), axes = [1]);
}
"""


@pytest.fixture(scope="module")
def counts() -> CausalModel:
    return load(archive(COUNTS)).causal()


def test_a_session_remembers_what_it_read(counts: CausalModel) -> None:
    session = counts.session()
    np.testing.assert_array_equal(session.push([0, 2, 2]), [1, 0, 2])
    np.testing.assert_array_equal(session.push(np.array([1], np.int32)), [1, 1, 2])
    assert session.length == 4
    assert session.push([1]).dtype == np.float32


def test_what_the_file_tells(counts: CausalModel) -> None:
    assert (counts.max_length, counts.vocab_size, counts.eos_token_ids) == (9, 3, ())
    assert repr(counts) == "CausalModel(3 tokens, 9 at most, threads=1)"
    unbounded = load(archive(COUNTS.replace("extension tract_assert S + P < 10;\n", "")))
    assert repr(unbounded.causal(threads=2)) == "CausalModel(3 tokens, threads=2)"
    told = """fragment tract_core_properties() -> (properties: (string, tensor<scalar>)[]) {
        properties = [("torchtract.llm", "{\\"eos_token_id\\": [1, 2]}")];
    }"""
    assert load(
        archive(COUNTS.replace("graph net", f"{told}\ngraph net"))
    ).causal().eos_token_ids == (1, 2)


def test_what_is_read_at_once(counts: CausalModel) -> None:
    assert counts.allows(3, 6)
    assert not counts.allows(3, 7)
    scenarios = "extension tract_assert tg: S==1;\nextension tract_assert pp: P==0;\ngraph net"
    alone = load(archive(COUNTS.replace("graph net", scenarios))).causal()
    assert [alone.allows(*sizes) for sizes in ((0, 5), (5, 1), (5, 2))] == [True, True, False]
    session = alone.session()
    session.push([1, 2])
    with pytest.raises(SymbolError, match="P=2, S=2"):
        session.push([1, 2])


@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_session_forgets(counts: CausalModel, length: int) -> None:
    session = counts.session()
    session.push([0, 2, 2, 1])
    session.truncate(length)
    assert session.length == length
    expected = np.bincount([0, 2, 2, 1][:length], minlength=3)
    np.testing.assert_array_equal(session.push([1]), expected + np.eye(3)[1])


def test_forks_go_on_by_themselves(counts: CausalModel) -> None:
    session = counts.session()
    session.push([0, 1])
    fork = session.fork()
    np.testing.assert_array_equal(fork.push([2]), [1, 1, 1])
    np.testing.assert_array_equal(session.push([0]), [2, 1, 0])
    fork.truncate(1)
    np.testing.assert_array_equal(session.push([0]), [3, 1, 0])


def test_a_fork_forgets_before_it_reads(counts: CausalModel) -> None:
    session = counts.session()
    session.push([0, 1, 1])
    fork = session.fork()
    fork.truncate(2)
    np.testing.assert_array_equal(fork.push([2]), [1, 1, 1])
    np.testing.assert_array_equal(session.push([2]), [1, 2, 1])


@pytest.mark.parametrize(
    ("tokens", "says"),
    [
        ([], "at least one id"),
        ([[1]], r"not \[1, 1\]"),
        ([[1], [1, 2]], r"a row of ids is read, not '\[\[1\], \[1, 2\]\]'"),
        ([0.5], "not float64"),
        ([True], "not bool"),
        ([3], "3 is no token, the ids are 0 to 2"),
        ([-1], "-1 is no token"),
        ([0] * 8, "10 tokens long, and the model reads 9 at most"),
    ],
)
def test_what_it_does_not_read(counts: CausalModel, tokens: Any, says: str) -> None:
    session = counts.session()
    session.push([1, 2])
    with pytest.raises(RunError, match=says):
        session.push(tokens)
    np.testing.assert_array_equal(session.push([0]), [1, 1, 1])


def test_a_text_as_long_as_can_be(counts: CausalModel) -> None:
    session = counts.session()
    session.push([0] * 8)
    np.testing.assert_array_equal(session.push([1]), [8, 1, 0])
    with pytest.raises(RunError, match="10 tokens"):
        session.push([1])


@pytest.mark.parametrize("length", [-1, 3])
def test_what_it_does_not_forget(counts: CausalModel, length: int) -> None:
    session = counts.session()
    session.push([1, 2])
    with pytest.raises(RunError, match="has read 2 tokens"):
        session.truncate(length)


def test_a_model_without_caches_is_refused() -> None:
    text = """
extension tract_symbol S;
graph net(x) -> (y) { x = tract_core_external(shape = [1, S], datum_type = 'f32'); y = x * 2.0; }
"""
    with pytest.raises(EngineError, match="no causal language model"):
        load(archive(text)).causal()


def test_threads_have_sessions_of_their_own(counts: CausalModel) -> None:
    wrong: list[int] = []

    def run(token: int) -> None:
        session = counts.session()
        for turn in range(9):
            logits = session.push([token])
            if logits[token] != turn + 1 or logits.sum() != turn + 1:
                wrong.append(token)

    threads = [threading.Thread(target=run, args=(i % 3,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
