"""Settings that hold for every test, and a way to make an export go wrong."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import hypothesis
import pytest

if TYPE_CHECKING:
    from torch._ops import OpOverload

    from torchtract.lower import Builder, Value

#: Gives an overload another lowering for the length of a test.
Lower: TypeAlias = "Callable[[OpOverload, Callable[..., Value]], None]"

# Workers share the cores: with threads of its own, each would wait for those of others. Programs
# that tests start take it over.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The first example pays for imports and caches, so a time limit per example fails by chance.
hypothesis.settings.register_profile("torchtract", deadline=None)
hypothesis.settings.load_profile("torchtract")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-models", action="store_true", help="test all models, not a few of each kind"
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow tests first, so that no worker has them left when the others are done."""
    # pytest listens to loggers that don't propagate, and to one that is listened to, torch tells
    # each symbol and graph at length: that took a fifth of the time.
    logging.getLogger("torch.__trace").propagate = True
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def lower_wrongly() -> Iterator[Lower]:
    """Lets a function change what the lowering of an overload gives: `change(builder, right)`."""
    from torchtract.lower import entries, lowering_of, scoped_lowerings

    def lower(overload: OpOverload, change: Callable[[Builder, Value], Value]) -> None:
        lowering = lowering_of(overload)
        assert lowering is not None

        def wrong(b: Builder, **arguments: Any) -> Value:
            return change(b, lowering.function(b, **arguments))

        changed = dataclasses.replace(lowering, function=wrong)
        entries.register((overload, False), changed, True, "a test")

    with scoped_lowerings():
        yield lower
