"""Comparing arrays by tract's tolerance levels."""

from __future__ import annotations

import numpy as np
import pytest

from torchtract.check.compare import LEVELS, compare, tolerance_for

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("actual", "expected", "ok"),
    [
        (1.0, 1.0, True),
        (1.0 + 5.9e-4, 1.0, True),  # 1e-4 + 5e-4 * 1
        (1.0 + 6.1e-4, 1.0, False),
        (NAN, NAN, True),
        (NAN, 1.0, False),
        (1.0, NAN, False),
        (INF, INF, True),
        (INF, -INF, False),
        (INF, 1e30, False),
        (1e30, INF, False),
        (0.0, -0.0, True),
    ],
)
def test_one_element(actual: float, expected: float, ok: bool) -> None:
    result = compare(
        np.array([0, actual], np.float32),
        np.array([0, expected], np.float32),
        LEVELS["approximate"],
    )
    assert result.ok is ok
    if not ok:
        assert result.index == (1,)
        assert result.outliers == 0.5
        assert result.max_abs > 0


@pytest.mark.parametrize(
    ("actual", "expected", "ok"),
    [
        (complex(1, 2), complex(1, 2), True),
        (complex(1e-5, 2), complex(0, 2), True),  # 1e-4 + 5e-4 * 2 for both parts
        (complex(1, 2), complex(1, -2), False),
        (complex(NAN, 2), complex(NAN, 2.0001), True),
        (complex(NAN, 2), complex(NAN, 3), False),
        (complex(NAN, 2), complex(2, NAN), False),
        (complex(INF, 2), complex(INF, 2.00001), True),
        (complex(INF, 2), complex(-INF, 2), False),
        (complex(INF, NAN), complex(INF, INF), False),
    ],
)
def test_complex_numbers(actual: complex, expected: complex, ok: bool) -> None:
    pair = np.array([0, actual], np.complex64), np.array([0, expected], np.complex64)
    result = compare(*pair, LEVELS["approximate"])
    assert result.ok is ok
    if not ok:
        assert result.index == (1,)
        assert result.max_abs > 0


def test_the_worst_element_is_the_one_farthest_outside_its_own_tolerance() -> None:
    expected = np.array([[1000.0, 0.0]], np.float32)
    result = compare(
        expected + np.array([[0.4, 0.01]], np.float32), expected, LEVELS["approximate"]
    )
    assert result.index == (0, 1)
    assert (result.expected, result.actual) == (0.0, pytest.approx(0.01))
    assert result.max_abs == pytest.approx(0.4, rel=1e-3)


def test_integers_and_booleans_are_exact_at_every_level() -> None:
    for dtype in (np.int64, np.uint8, np.bool_):
        assert tolerance_for("ultra", np.dtype(dtype)) == LEVELS["exact"]
    large = np.array([2**53])
    assert not compare(large + 1, large, LEVELS["exact"]).ok


def test_half_precision_has_levels_of_its_own() -> None:
    assert tolerance_for("approximate", np.dtype(np.float16)).rtol == 5e-3
    assert tolerance_for("very", np.dtype(np.float16)) == LEVELS["very"]


def test_looser_levels_allow_a_share_of_outliers() -> None:
    expected = np.ones(100_000, np.float32)
    actual = expected.copy()
    actual[:9] = 2
    assert compare(actual, expected, LEVELS["super"]).ok
    actual[:11] = 2
    assert not compare(actual, expected, LEVELS["super"]).ok


def test_scalars() -> None:
    one, other = np.array(1.0, np.float32), np.array(2.0, np.float32)
    assert compare(one, one, LEVELS["close"]).ok
    result = compare(one, other, LEVELS["close"])
    assert (result.ok, result.index, result.max_abs) == (False, (), 1.0)


def test_nothing_equals_nothing() -> None:
    assert compare(np.zeros((0, 3)), np.zeros((0, 3)), LEVELS["exact"]).ok
