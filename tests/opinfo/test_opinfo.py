"""Every operator of PyTorch's own database: its samples are right or refused as the table says.

By default two samples of each in float32; `make opinfo` tries all of them, in all element types.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from opinfo.exporters import EXPORTERS
from opinfo.record import summary
from opinfo.refused import REFUSED
from opinfo.samples import DTYPES, OPERATORS, has, samples
from opinfo.verdict import Kind, Verdict, expected_of, judge

pytestmark = [
    # PyTorch's about samples that are deprecated calls, and our exporter's about emptiness.
    pytest.mark.filterwarnings("ignore"),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "dtype" in metafunc.fixturenames:
        asked: str = metafunc.config.getoption("--dtypes", "float32")
        dtypes = list(DTYPES) if asked == "all" else asked.split(",")
        rows = [(n, d) for n in OPERATORS for d in dtypes if has(n, DTYPES[d])]
        metafunc.parametrize(("name", "dtype"), rows, ids=[f"{n}-{d}" for n, d in rows])


def test_operator(
    name: str,
    dtype: str,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    count: int | None = pytestconfig.getoption("--samples", 2) or None
    exporter = pytestconfig.getoption("--exporter", "torchtract")
    verdicts: list[Verdict] = []
    told = []
    for sample in samples(name, DTYPES[dtype], count):
        expected = expected_of(sample)
        if expected:
            verdicts.append(judge(name, sample, expected, EXPORTERS[exporter]))
            told.append(f"{verdicts[-1].kind.value}: {sample.text}: {verdicts[-1].reason}")
    if not verdicts:
        pytest.skip("PyTorch gives no tensors")
    record_property("samples", summary(verdicts))
    if exporter == "torchtract":
        unexpected = [
            *_surprises(name, dtype, verdicts, told),
            *_passes(name, dtype, verdicts, count is None),
        ]
        assert not unexpected, "\n".join(unexpected)


def _surprises(
    name: str, dtype: str, verdicts: Sequence[Verdict], told: Sequence[str]
) -> list[str]:
    """The samples that are neither right nor refused for a reason in the table."""
    reasons = [entry.reason for entry in REFUSED if entry.covers(name, dtype)]
    return [
        text
        for verdict, text in zip(verdicts, told, strict=True)
        if verdict.kind != Kind.RIGHT
        and not (verdict.kind == Kind.REFUSED and any(r in verdict.reason for r in reasons))
    ]


def _passes(name: str, dtype: str, verdicts: Sequence[Verdict], every: bool) -> list[str]:
    """The reasons in the table for which nothing was refused."""
    if dtype == "bfloat16":  # a type that tract lacks is seen ahead of all else
        return []
    refusals = [verdict.reason for verdict in verdicts if verdict.kind == Kind.REFUSED]
    return [
        f"the table says that it is refused, since {entry.reason!r}, and it is not"
        for entry in REFUSED
        if entry.covers(name, dtype) and (every or not entry.some)
        if not any(entry.reason in refusal for refusal in refusals)
    ]


def test_the_table_names_operators_of_the_database() -> None:
    assert [n for entry in REFUSED for n in entry.operators if n not in OPERATORS] == []
    assert [d for entry in REFUSED for d in entry.dtypes if d not in DTYPES] == []
