"""`python -m models.table` exports every model by each exporter and writes `docs/models.md`.

Each export runs in a process of its own, with a time limit. What came of it is kept in
`build/models/`, and not done again until that is removed; names of models after the command
do those again, `--exporter` by that one alone, and `--limit` gives the time limit in seconds. The
exit status is 1 if a model is neither right nor refused as expected.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from models.cases import ModelCase
from models.every import CASES, LIBRARIES, REFUSED
from models.measure import EXPORTERS, OURS, Outcome, outcome_of

ROOT = Path(__file__).parents[2]
_RESULTS = ROOT / "build" / "models"
_TABLE = ROOT / "docs" / "models.md"
_ORDER = ("right", "refused", "wrong", "fails", "crash", "timeout")

_HEAD = """\
# Models

What became of each model of torchvision, torchaudio and transformers when it was exported: with
random weights, none of which is left at zero or one, and the axes named here dynamic. The file was
loaded and run by tract {tract} at the traced sizes and at the others, and compared with PyTorch.
`make models` writes this page.

- **right**: at all sizes.
- **refused**: with an error and without a file.
- **wrong**: a file whose shapes or numbers differ from PyTorch's, at one of the sizes at least.
- **fails**: a file that doesn't load, or doesn't run at one of the sizes, or an error that is none
  of the exporter's own (for torch-to-nnef, any exception counts as a refusal).
- **crash**, **timeout**: the process ended, or did not within the seconds given.

"""


def main(arguments: Sequence[str]) -> int:
    """Do what is left to do, or these models again, and write the page."""
    options = _parser().parse_args(arguments)
    _RESULTS.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torchtract.export", "models.every"])
    for exporter in options.exporter or EXPORTERS:
        for case in CASES.values():
            path = _path(case, exporter)
            if case.name in options.names or (not options.names and not path.exists()):
                _run(context, case.name, exporter, path, options.limit)
                print(f"{case.name}, {exporter}: {_read(path).result}", flush=True)  # noqa: T201
    _TABLE.write_text(_HEAD.format(tract=_tract()) + "\n".join(_page()))
    return int(any(_unexpected(case) for case in CASES.values()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.table")
    parser.add_argument("names", nargs="*", metavar="model")
    parser.add_argument("--exporter", action="append", choices=EXPORTERS)
    parser.add_argument("--limit", type=float, default=600, metavar="SECONDS")
    return parser


def _run(
    context: multiprocessing.context.ForkServerContext,
    name: str,
    exporter: str,
    path: Path,
    limit: float,
) -> None:
    path.unlink(missing_ok=True)
    process = context.Process(target=_keep_outcome, args=(name, exporter, path))
    process.start()
    process.join(limit)
    if process.is_alive():
        process.kill()
        process.join()
        _write(path, Outcome("timeout", f"{limit:g} s"))
    elif not path.exists():
        _write(path, Outcome("crash", f"exit status {process.exitcode}"))


def _keep_outcome(name: str, exporter: str, path: Path) -> None:
    sys.stderr = sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    torch.set_num_threads(1)
    _write(path, outcome_of(CASES[name], exporter))


def _page() -> Iterator[str]:
    yield f"| | {' | '.join(_ORDER)} |"
    yield f"|---|{'---|' * len(_ORDER)}"
    for exporter in EXPORTERS:
        for library, cases in [*LIBRARIES.items(), ("all", tuple(CASES.values()))]:
            outcomes = [_read(p) for c in cases if (p := _path(c, exporter)).exists()]
            count = Counter(outcome.result for outcome in outcomes)
            numbers = " | ".join(str(count[result]) for result in _ORDER)
            yield f"| {exporter}, {library} | {numbers} |"
    for library, cases in LIBRARIES.items():
        yield f"\n## {library}\n"
        yield f"| model | symbols | sizes | {' | s | '.join(EXPORTERS)} | s |"
        yield f"|---|---|---|{'---|---:|' * len(EXPORTERS)}"
        for case in cases:
            cells = [_cells(_path(case, exporter)) for exporter in EXPORTERS]
            symbols = ", ".join(case.traced) or "none"
            yield f"| {case.name} | {symbols} | {_sizes(case)} | {' | '.join(cells)} |"
    yield ""


def _sizes(case: ModelCase) -> str:
    sizes = [case.traced, *case.sizes] if case.traced else []
    return ", ".join("×".join(map(str, at.values())) for at in sizes)


def _cells(path: Path) -> str:
    if not path.exists():
        return "not run | "
    outcome = _read(path)
    seconds = "" if outcome.seconds is None else f"{outcome.seconds:.1f}"
    why = outcome.why.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
    why = re.sub(r"/tmp/\w+/", "", why)  # where the file was
    return f"{outcome.result}{': ' if why else ''}{why[:160]} | {seconds}"


def _unexpected(case: ModelCase) -> bool:
    expected = "refused" if case.name in REFUSED else "right"
    path = _path(case, OURS)
    return path.exists() and _read(path).result != expected


def _path(case: ModelCase, exporter: str) -> Path:
    name = "".join(c if c.isalnum() or c in "._-" else "_" for c in case.name)
    return _RESULTS / f"{name}.{exporter}.json"


def _read(path: Path) -> Outcome:
    return Outcome(**json.loads(path.read_text()))


def _write(path: Path, outcome: Outcome) -> None:
    path.write_text(json.dumps(asdict(outcome)))


def _tract() -> str:
    from torchtract.nnef import schema

    return schema.EMBEDDED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
