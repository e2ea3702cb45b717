"""Which of several lowerings of one operator holds, where and until when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from torchtract.errors import LoweringError
from torchtract.lower import lowering_of, lowers, registered, scoped_lowerings
from torchtract.lower.entries import outside_of_scopes

aten = torch.ops.aten
UNKNOWN = aten._test_optional_floatlist.default  # of PyTorch's own tests: nobody lowers it


@pytest.fixture(autouse=True)
def registrations() -> Iterator[None]:
    """Takes back what a test registers."""
    with scoped_lowerings():
        yield


def function_of(overload: Any) -> Callable[..., Any] | None:
    lowering = lowering_of(overload)
    return None if lowering is None else lowering.function


def first(_: Any, values: Any, addends: Any) -> Any:
    return values, addends


def second(_: Any, values: Any, addends: Any) -> Any:
    return addends, values


def test_a_block_forgets_what_was_registered_in_it() -> None:
    with scoped_lowerings():
        lowers(UNKNOWN)(first)
        with scoped_lowerings():
            lowers(UNKNOWN, replace=True)(second)
            assert function_of(UNKNOWN) is second
        assert function_of(UNKNOWN) is first
        assert UNKNOWN in registered()
    assert function_of(UNKNOWN) is None
    assert UNKNOWN not in registered()


def test_a_block_that_fails_forgets_too() -> None:
    def fail() -> None:
        with scoped_lowerings():
            lowers(UNKNOWN)(first)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert function_of(UNKNOWN) is None


def test_a_block_replaces_on_purpose_only() -> None:
    with scoped_lowerings(), pytest.raises(LoweringError, match="replace=True"):
        lowers(aten.relu.default)(lambda _, x: x)
    lowers(UNKNOWN)(first)
    with scoped_lowerings(), pytest.raises(LoweringError, match="first lowers it already"):
        lowers(UNKNOWN)(second)


def test_a_block_holds_in_its_thread_alone() -> None:
    found: list[Any] = []
    lowers(UNKNOWN)(first)
    other = threading.Thread(target=lambda: found.append(function_of(UNKNOWN)))
    other.start()
    other.join()
    assert found == [None]


@pytest.fixture
def for_good(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registers outside of blocks, and takes that back too."""
    from torchtract.lower import entries

    for table in ("_ENTRIES", "_REPLACEMENTS"):
        monkeypatch.setattr(entries, table, dict(getattr(entries, table)))
    with outside_of_scopes():
        yield


@pytest.mark.usefixtures("for_good")
def test_a_replacement_holds_whichever_was_registered_first() -> None:
    lowers(UNKNOWN, replace=True)(second)
    lowers(UNKNOWN)(first)  # as a package may that is loaded later
    assert function_of(UNKNOWN) is second
    with pytest.raises(LoweringError, match="first lowers it already"):
        lowers(UNKNOWN)(second)


@pytest.mark.usefixtures("for_good")
def test_the_last_replacement_holds() -> None:
    builtin = function_of(aten.relu.default)
    lowers(aten.relu.default, replace=True)(lambda _, x: x)
    last = lowers(aten.relu.default, replace=True)(lambda _, x: x)
    assert function_of(aten.relu.default) is last is not builtin


@pytest.mark.usefixtures("for_good")
def test_a_function_that_is_defined_again_takes_its_own_place() -> None:
    cell = "@lowers(UNKNOWN)\ndef mine(_, values, addends): return values, {}"
    for version in (1, 2):
        namespace: dict[str, Any] = {"lowers": lowers, "UNKNOWN": UNKNOWN, "__name__": "__main__"}
        exec(cell.format(version), namespace)
        assert function_of(UNKNOWN) is namespace["mine"]
