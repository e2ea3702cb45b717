"""Models of torchvision, torchaudio and transformers: a few of each kind, or all of them.

`pytest tests/models --all-models` runs all; `make models` does too, beside torch-to-nnef.
"""

from __future__ import annotations

import pytest

from models.every import CASES, QUICK, REFUSED
from models.measure import outcome_of


@pytest.mark.parametrize("name", CASES)
def test_model(name: str, request: pytest.FixtureRequest) -> None:
    case = CASES[name]
    if name not in QUICK and not request.config.getoption("--all-models", False):
        pytest.skip("--all-models runs it")

    outcome = outcome_of(case, "torchtract")

    if name in REFUSED:
        assert outcome.result == "refused", f"{name} works: take it out of REFUSED"
        assert REFUSED[name] in outcome.why
    else:
        assert outcome.result == "right", outcome.why


def test_the_lists_name_cases() -> None:
    assert [name for name in (*REFUSED, *QUICK) if name not in CASES] == []
