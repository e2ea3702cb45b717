"""What check_io adds to the runs that it cannot do without."""

from __future__ import annotations

from collections.abc import Callable

import torch

import torchtract as tt
from benchmarks.archives import Archives
from benchmarks.measure import race
from benchmarks.models import images
from benchmarks.report import Comparison, Report


def test_check_io(
    report: Report, rounds: Callable[[int], int], vit: torch.nn.Module, archives: Archives
) -> None:
    model = tt.load(archives.torchtract)
    sample = images(1)
    sizes = [row.sizes["B"] for row in tt.check_io(vit, model, sample).rows]
    batches = [images(size) for size in sizes]
    runnable = model.compile()  # as check_io does

    def runs() -> None:
        for batch in batches:
            with torch.no_grad():
                vit(batch)
            runnable(batch)

    seconds = race(
        {
            "check_io": lambda: tt.check_io(vit, model, sample),
            "load + check_io": lambda: tt.check_io(vit, tt.load(archives.torchtract), sample),
            "runs": runs,
        },
        rounds(5),
    )
    what = f"check at B = {', '.join(map(str, sizes))}"
    report.add(
        Comparison(what, seconds["check_io"], seconds["runs"], excess_target=1.5),
        Comparison(what, seconds["load + check_io"], seconds["runs"]),
    )
