"""What tract fails to compute leaves a stream as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from harness import export
from torchtract import PulsedRunnable
from torchtract.errors import PoolError, RunError


class Words(nn.Module):
    """Ids of five words, remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 4)
        self.pairs = nn.Conv1d(4, 4, 2)
        self.memory = nn.GRU(4, 3, batch_first=True)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.pairs(self.words(ids).transpose(1, 2)).transpose(1, 2)
        y: torch.Tensor = self.memory(x)[0]
        return y


@pytest.fixture(scope="module")
def runnable() -> PulsedRunnable:
    torch.manual_seed(0)
    axes = {"ids": {0: "B", 1: "S"}}
    model = export(Words(), torch.tensor([[0, 1, 2, 3]]), dynamic_axes=axes, input_names=["ids"])
    return model.pulse(S=1).compile()


@pytest.mark.parametrize("before", [0, 1, 7, 15, 16, 17, 40], ids=str)
@pytest.mark.parametrize("where", [0, 2, 20], ids=str)
def test_a_failed_push_changes_nothing(runnable: PulsedRunnable, before: int, where: int) -> None:
    random = np.random.default_rng(before)
    bad = random.integers(0, 5, (1, 25))
    bad[0, where] = 99
    stream, unharmed = runnable.stream(), runnable.stream()
    for _ in range(before):
        ids = random.integers(0, 5, (1, 1))
        np.testing.assert_array_equal(stream.push(ids), unharmed.push(ids))
    for _ in range(2):
        with pytest.raises(RunError, match="tract panicked: range start index 396 out of range"):
            stream.push(bad)
    assert stream.position == before
    ids = random.integers(0, 5, (1, 9))
    expected = unharmed.push(ids)
    assert np.ptp(expected) > 0.01
    np.testing.assert_array_equal(stream.fork().push(ids), expected)
    np.testing.assert_array_equal(stream.push(ids), expected)
    np.testing.assert_array_equal(stream.flush(), unharmed.flush())


@pytest.mark.parametrize("where", [0, 2, 20], ids=str)
def test_a_failed_push_changes_nothing_in_a_pool(runnable: PulsedRunnable, where: int) -> None:
    random = np.random.default_rng(where)
    pool = runnable.streams(2, batched=True)
    harmed, other = pool.stream(), pool.stream()
    alone = [runnable.stream(), runnable.stream()]
    first = random.integers(0, 5, (2, 1, 3))
    bad = random.integers(0, 5, (1, 25))
    bad[0, where] = 99
    for stream, unharmed, ids in zip((harmed, other), alone, first, strict=True):
        np.testing.assert_allclose(stream.push(ids), unharmed.push(ids), atol=1e-6)
    more = random.integers(0, 5, (1, 25))
    with pytest.raises(PoolError, match="1 of 2 streams") as raised:
        pool.push({harmed: bad, other: more})
    np.testing.assert_allclose(raised.value.outputs[other], alone[1].push(more), atol=1e-6)
    with pytest.raises(RunError, match="tract panicked"):
        harmed.push(bad)
    assert (harmed.position, other.position) == (3, 28)
    for stream, unharmed in zip((harmed, other), alone, strict=True):
        np.testing.assert_allclose(stream.push(more), unharmed.push(more), atol=1e-6)
