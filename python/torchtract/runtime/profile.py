"""Where the time of a run goes: per node, per operator, per PyTorch module."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from torchtract.runtime.tables import Table, plain

ROOT = "(root)"
"""Stands for the module path of nodes that belong to no submodule."""


@dataclass(frozen=True)
class NodeTime:
    """One node of the compiled network.

    Attributes:
        name: its name; it begins with that of the node in the file it was made from.
        op: the operator's name.
        module: path of the PyTorch module that it belongs to, ``"(root)"`` if to none.
        seconds: mean time per run.
        share: that time as a part of the whole run's, 0 to 1.
        flops: floating-point operations per run, where tract knows them.
    """

    name: str
    op: str
    module: str
    seconds: float
    share: float
    flops: int | None


@dataclass(frozen=True)
class GroupTime:
    """Some nodes of the compiled network together.

    Attributes:
        name: what they have in common: the operator's name or the module's path.
        nodes: how many they are.
        seconds: mean time per run.
        share: that time as a part of the whole run's, 0 to 1.
        flops: floating-point operations per run of those nodes where tract knows them, ``None``
            where it knows none.
    """

    name: str
    nodes: int
    seconds: float
    share: float
    flops: int | None


class Profile:
    """Where the time of a run goes. Printed, it is a table; in a notebook too.

    Attributes:
        nodes: one entry per node, in the order in which they run.
        entire: mean time of a whole run, in seconds.
        iterations: how many runs were measured.
    """

    def __init__(
        self,
        nodes: Iterable[tuple[str, str, float, int | None]],
        *,
        entire: float,
        iterations: int,
        modules: Iterable[str] = (),
    ) -> None:
        find = _module_finder(modules)
        self.entire = entire
        self.iterations = iterations
        self.nodes = tuple(
            NodeTime(name, op, find(name), seconds, _share(seconds, entire), flops)
            for name, op, seconds, flops in nodes
        )

    @property
    def unaccounted(self) -> float:
        """Seconds per run that were spent between the nodes."""
        return max(0.0, self.entire - sum(node.seconds for node in self.nodes))

    @cached_property
    def by_op(self) -> tuple[GroupTime, ...]:
        """Times per operator, the longest first."""
        return self._grouped(lambda node: node.op)

    @cached_property
    def by_module(self) -> tuple[GroupTime, ...]:
        """Times per PyTorch module, the longest first; a module's do not hold its children's.

        Empty when the file does not say which modules it was made from.
        """
        if all(node.module == ROOT for node in self.nodes):
            return ()
        return self._grouped(lambda node: node.module)

    def _grouped(self, key: Callable[[NodeTime], str]) -> tuple[GroupTime, ...]:
        groups: dict[str, list[NodeTime]] = {}
        for node in self.nodes:
            groups.setdefault(key(node), []).append(node)
        times = []
        for name, nodes in groups.items():
            seconds = sum(node.seconds for node in nodes)
            known = [node.flops for node in nodes if node.flops is not None]
            flops = sum(known) if known else None
            times.append(GroupTime(name, len(nodes), seconds, _share(seconds, self.entire), flops))
        return tuple(sorted(times, key=lambda group: -group.seconds))

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain data: times in seconds, shares from 0 to 1."""
        return {
            "entire": self.entire,
            "unaccounted": self.unaccounted,
            "iterations": self.iterations,
            "by_op": [asdict(group) for group in self.by_op],
            "by_module": [asdict(group) for group in self.by_module],
            "nodes": [asdict(node) for node in self.nodes],
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def tables(self, *, rows: int = 10) -> tuple[Table, ...]:
        """The tables that are printed, each cut after its first `rows` rows."""
        slowest = sorted(self.nodes, key=lambda node: -node.seconds)
        tables = [
            _table(("operator",), [((group.name,), group) for group in self.by_op], rows),
            _table(("module",), [((group.name,), group) for group in self.by_module], rows),
            _table(("node", "operator"), [((node.name, node.op), node) for node in slowest], rows),
        ]
        return tuple(table for table in tables if table.rows)

    def summary(self) -> str:
        """One line: the time of a run, of how many runs, and what is not accounted for."""
        share = _share(self.unaccounted, self.entire)
        return (
            f"{_duration(self.entire)} per run (mean of {self.iterations}), "
            f"{share:.1%} of it not accounted for"
        )

    def __str__(self) -> str:
        return f"{self.summary()}\n{plain(self.tables())}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<p>{self.summary()}</p>" + "".join(table.html() for table in self.tables())


def _module_finder(modules: Iterable[str]) -> Callable[[str], str]:
    """Gives the function from a node's name to the deepest module whose path it starts with.

    Names in a graph have ``_`` where module paths have ``.``.
    """
    paths = {path.replace(".", "_"): path for path in modules}

    def find(name: str) -> str:
        for end in range(len(name), 0, -1):
            if (end == len(name) or name[end] in "_.") and name[:end] in paths:
                return paths[name[:end]]
        return ROOT

    return find


def _table(
    names: tuple[str, ...],
    entries: Sequence[tuple[tuple[str, ...], NodeTime | GroupTime]],
    rows: int,
) -> Table:
    left = len(entries) - rows
    title = f"by {names[0]}" if left <= 0 else f"by {names[0]}, {left} more not shown"
    columns = (*names, ">time", ">share", ">GFLOP", ">GFLOP/s")
    shown = [(*texts, *_numbers(time)) for texts, time in entries[:rows]]
    return Table(title, columns, tuple(shown))


def _numbers(time: NodeTime | GroupTime) -> tuple[str, str, str, str]:
    flops, rate = "", ""
    if time.flops is not None:
        flops = f"{time.flops / 1e9:.3f}"
        rate = f"{time.flops / time.seconds / 1e9:.1f}" if time.seconds else ""
    return _duration(time.seconds), f"{time.share:.1%}", flops, rate


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.1f} us"
