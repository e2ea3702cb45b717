"""Settings that hold for every test, and a way to make an export go wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import hypothesis
import pytest

if TYPE_CHECKING:
    from torch._ops import OpOverload

    from torchtract.lower import Builder, Value

#: Gives an overload another lowering for the length of a test.
Lower: TypeAlias = "Callable[[OpOverload, Callable[..., Value]], None]"

# The first example pays for imports and caches, so a time limit per example fails by chance.
hypothesis.settings.register_profile("torchtract", deadline=None)
hypothesis.settings.load_profile("torchtract")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-models", action="store_true", help="test all models, not one of each family"
    )


@pytest.fixture
def lower_wrongly(monkeypatch: pytest.MonkeyPatch) -> Lower:
    """Lets a function change what the lowering of an overload gives: `change(builder, right)`."""
    from torchtract.lower import registry

    def lower(overload: OpOverload, change: Callable[[Builder, Value], Value]) -> None:
        lowering = registry._LOWERINGS[overload]

        def wrong(b: Builder, **arguments: Any) -> Value:
            return change(b, lowering.function(b, **arguments))

        replaced = dataclasses.replace(lowering, function=wrong)
        monkeypatch.setitem(registry._LOWERINGS, overload, replaced)

    return lower
