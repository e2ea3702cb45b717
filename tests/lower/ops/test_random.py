"""Random operators: refused, or drawn by tract, in the distribution that PyTorch documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import dropout

from harness import Function
from torchtract import TractNNEF, export_model_to_nnef, load
from torchtract.errors import CaptureError, UnsupportedOpError

COUNT = 200_000
HALF = torch.full((COUNT,), 0.5)


def drawn(path: Path, draw: Callable[..., Any], *args: torch.Tensor, **axes: int) -> Any:
    """A runnable that draws, with the first axis of each input free."""
    names = [f"x{i}" for i in range(len(args))]
    export_model_to_nnef(
        Function(draw).eval(),
        args,
        path / "random.nnef.tar",
        TractNNEF(
            random=True, check_io=False, dynamic_axes={name: {0: "N"} for name in names if axes}
        ),
        input_names=names,
    )
    return load(path / "random.nnef.tar").compile()


# What is drawn, and the mean, deviation, least and largest that it has.
DISTRIBUTIONS: dict[str, tuple[Callable[..., Any], float, float, float, float]] = {
    "rand": (lambda _: torch.rand(COUNT), 0.5, 12**-0.5, 0, 1),
    "rand_like": (torch.rand_like, 0.5, 12**-0.5, 0, 1),
    "uniform_": (lambda x: torch.empty_like(x).uniform_(2, 5), 3.5, 3 * 12**-0.5, 2, 5),
    "randn": (lambda _: torch.randn(COUNT), 0, 1, -9, 9),
    "randn_like": (torch.randn_like, 0, 1, -9, 9),
    "normal": (lambda x: torch.normal(x, x * 4), 0.5, 2, -20, 20),
    "normal of numbers": (lambda _: torch.normal(1.0, 2.0, (COUNT,)), 1, 2, -20, 20),
    "normal_": (lambda x: torch.empty_like(x).normal_(1, 2), 1, 2, -20, 20),
    "randint": (lambda _: torch.randint(-1, 4, (COUNT,)), 1, 2**0.5, -1, 3),
    "randint_like": (lambda x: torch.randint_like(x, 2), 0.5, 0.5, 0, 1),
    "bernoulli": (lambda x: torch.bernoulli(x / 2), 0.25, 3**0.5 / 4, 0, 1),
    "bernoulli of a number": (lambda x: torch.bernoulli(x, 0.25), 0.25, 3**0.5 / 4, 0, 1),
    "exponential_": (lambda x: torch.empty_like(x).exponential_(2), 0.5, 0.5, 0, 20),
    "geometric_": (lambda x: torch.empty_like(x).geometric_(0.5), 2, 2**0.5, 1, 60),
    "log_normal_": (
        lambda x: torch.log(torch.empty_like(x).log_normal_(1, 0.5)),
        *(1, 0.5, -9, 9),
    ),
    "dropout": (lambda x: dropout(x, 0.5, training=True), 0.5, 0.5, 0, 1),
    "multinomial": (
        lambda _: torch.multinomial(torch.tensor([1.0, 0.0, 3.0]), COUNT, replacement=True),
        *(1.5, 3**0.5 / 2, 0, 2),
    ),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_tract_draws_from_the_distribution(name: str, tmp_path: Path) -> None:
    draw, mean, deviation, least, largest = DISTRIBUTIONS[name]
    # PyTorch's own draws show that the expected figures are those of the distribution.
    runnable = drawn(tmp_path, draw, HALF)
    first = runnable(HALF)
    for numbers in (first, draw(HALF).numpy()):
        assert numbers.shape == (COUNT,)
        assert numbers.dtype == first.dtype
        assert numbers.mean() == pytest.approx(mean, abs=6 * deviation / COUNT**0.5)
        assert numbers.std() == pytest.approx(deviation, rel=0.03)
        assert least <= numbers.min() <= numbers.max() <= largest
    assert (runnable(HALF) != first).any()


def test_two_draws_are_not_one(tmp_path: Path) -> None:
    a, b = drawn(tmp_path, lambda x: (torch.rand_like(x), torch.rand_like(x)), HALF)(HALF)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.02


def test_cauchy_has_its_median_and_quartiles(tmp_path: Path) -> None:
    runnable = drawn(tmp_path, lambda x: torch.empty_like(x).cauchy_(1, 2), HALF)
    np.testing.assert_allclose(np.quantile(runnable(HALF), [0.25, 0.5, 0.75]), [-1, 1, 3], atol=0.1)


def test_the_size_may_be_a_symbol(tmp_path: Path) -> None:
    runnable = drawn(tmp_path, lambda x: torch.rand(x.shape[0], 2), HALF, N=0)
    for size in (0, 1, 5, 1000):
        assert runnable(np.zeros(size, np.float32)).shape == (size, 2)


def test_a_permutation_has_each_number_once(tmp_path: Path) -> None:
    order = drawn(tmp_path, lambda _: torch.randperm(1000), HALF)(HALF)
    assert (order != np.arange(1000)).any()
    assert sorted(order) == list(range(1000))


def test_draws_without_replacement_differ(tmp_path: Path) -> None:
    weights = torch.tensor([[1.0, 0.0, 3.0, 2.0]]).repeat(2000, 1)
    picked = drawn(tmp_path, lambda w: torch.multinomial(w, 2), weights)(weights.numpy())
    assert (picked[:, 0] != picked[:, 1]).all()
    assert not (picked == 1).any()
    assert (picked[:, 0] == 2).mean() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_random_operators_are_refused_unless_asked_for(name: str, tmp_path: Path) -> None:
    draw = Function(DISTRIBUTIONS[name][0]).eval()
    with pytest.raises(UnsupportedOpError, match="it is random; make the noise an input"):
        export_model_to_nnef(draw, HALF, tmp_path / "random.nnef.tar", TractNNEF())
    assert list(tmp_path.iterdir()) == []


def test_an_input_filled_at_random_is_refused_for_that(tmp_path: Path) -> None:
    fill = Function(lambda x: x.exponential_()).eval()
    with pytest.raises(UnsupportedOpError, match="it is random; make the noise an input"):
        export_model_to_nnef(fill, HALF, tmp_path / "random.nnef.tar", TractNNEF())


def test_what_is_drawn_cant_be_checked(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="set check_io=False"):
        export_model_to_nnef(
            Function(torch.rand_like).eval(),
            HALF,
            tmp_path / "random.nnef.tar",
            TractNNEF(random=True),
        )
    assert list(tmp_path.iterdir()) == []


def test_dropout_of_everything_gives_zeros(tmp_path: Path) -> None:
    x = torch.tensor([1.0, torch.inf, -2.0])
    runnable = drawn(tmp_path, lambda x: dropout(x, 1.0, training=True), x)
    np.testing.assert_array_equal(runnable(x), np.zeros(3))
