from __future__ import annotations

import getpass
import os
import re
import socket
import sys
import tarfile
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO
from unittest.mock import Mock

import numpy as np
import pytest

import torchtract
from graphs import linear, variable
from torchtract.errors import FormatError
from torchtract.nnef import Graph, Variable, read_tensor, write_archive

FORMS = ["model.nnef.tgz", "model.tar.gz", "model.nnef.tar", "model"]


@pytest.mark.parametrize("form", FORMS)
def test_tract_loads_and_runs_it(form: str, tmp_path: Path) -> None:
    write_archive(linear(), tmp_path / form)
    x = np.array([[1, 2, 3], [0, -1, 0]], dtype=np.float32)
    weight = np.arange(12, dtype=np.float32).reshape(4, 3)
    expected = x @ weight.T + np.array([0.5, -1, 0, 2], dtype=np.float32)
    np.testing.assert_array_equal(torchtract.load(tmp_path / form).compile()(x), expected)
    assert [path.name for path in tmp_path.iterdir()] == [form]


@pytest.mark.parametrize("form", FORMS[:3])
def test_order_and_headers_of_the_files(form: str, tmp_path: Path) -> None:
    write_archive(linear(), tmp_path / form)
    with tarfile.open(tmp_path / form) as tar:
        members = tar.getmembers()
        assert [m.name for m in members] == ["graph.nnef", "fc.weight.dat", "fc.bias.dat"]
        headers = {(m.mtime, m.mode, m.uid, m.gid, m.uname, m.gname, m.type) for m in members}
        assert headers == {(315532800, 0o644, 0, 0, "", "", tarfile.REGTYPE)}
        weight = tar.extractfile("fc.weight.dat")
        assert weight is not None
        np.testing.assert_array_equal(read_tensor(weight), np.arange(12).reshape(4, 3))


def test_gnu_tar_reads_it(tmp_path: Path) -> None:
    graph = linear()
    label = f"{'very.' * 40}long"
    graph.variables["fc_bias"] = replace(graph.variables["fc_bias"], label=label)
    write_archive(graph, tmp_path / "m.nnef.tgz")
    with tarfile.open(tmp_path / "m.nnef.tgz") as tar:
        assert tar.getnames()[-1] == f"{label}.dat"
    torchtract.load(tmp_path / "m.nnef.tgz")


@pytest.mark.parametrize("form", FORMS)
def test_equal_graphs_give_equal_bytes(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    write_archive(linear(), tmp_path / "a" / form)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    write_archive(linear(), tmp_path / "b" / form)
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert first == second
    assert first


@pytest.mark.parametrize("form", FORMS[:3])
def test_nothing_of_the_machine_is_written(form: str, tmp_path: Path) -> None:
    write_archive(linear(), tmp_path / form)
    with tarfile.open(tmp_path / form) as tar:
        text = b"".join(m.tobuf() for m in tar.getmembers())
    written = (tmp_path / form).read_bytes() + text
    for secret in (socket.gethostname(), getpass.getuser(), str(tmp_path), sys.executable):
        assert not re.search(rf"\b{re.escape(secret)}\b".encode(), written)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_shared_variable_is_written_once(tmp_path: Path) -> None:
    graph = linear()
    load = Mock(return_value=graph.variables["fc_weight"].load())
    shared = replace(graph.variables["fc_weight"], load=load)
    graph.variables |= {"fc_weight": shared, "tied_weight": shared}
    write_archive(graph, tmp_path / "m.nnef.tar")
    with tarfile.open(tmp_path / "m.nnef.tar") as tar:
        assert tar.getnames() == ["graph.nnef", "fc.weight.dat", "fc.bias.dat"]
    load.assert_called_once_with()
    torchtract.load(tmp_path / "m.nnef.tar")


def test_two_variables_with_one_label_are_refused(tmp_path: Path) -> None:
    graph = linear()
    graph.variables["other"] = variable("fc.weight", np.zeros(3, np.float32))
    with pytest.raises(FormatError, match=r"'fc\.weight'.*two different variables"):
        write_archive(graph, tmp_path / "m.nnef.tgz")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("label", ["", ".hidden", "a/.b", "../a", "/a", "a//b", "a\\b", "a/"])
def test_label_that_is_no_file_for_tract_is_refused(label: str, tmp_path: Path) -> None:
    graph = Graph(outputs=["w"], variables={"w": variable(label, np.zeros(3, np.float32))})
    with pytest.raises(FormatError, match="tract reads no file of that name"):
        write_archive(graph, tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "label", ["a/b.c", "weight", "layers.0.weight", "naïve", "with space", "a'b"]
)
@pytest.mark.parametrize("form", FORMS)
def test_label_that_tract_reads(label: str, form: str, tmp_path: Path) -> None:
    array = np.arange(3, dtype=np.float32)
    write_archive(Graph(outputs=["w"], variables={"w": variable(label, array)}), tmp_path / form)
    (output,) = torchtract.load(tmp_path / form).compile().run({}).values()
    np.testing.assert_array_equal(output, array)


class Broken(Exception):
    pass


@pytest.mark.parametrize("form", FORMS)
def test_a_variable_that_can_not_be_loaded_leaves_nothing_behind(form: str, tmp_path: Path) -> None:
    def fail() -> np.ndarray:
        raise Broken

    graph = linear()
    write_archive(graph, tmp_path / form)
    before = contents(tmp_path)
    graph.variables["fc_bias"] = replace(graph.variables["fc_bias"], load=fail)
    with pytest.raises(Broken):
        write_archive(graph, tmp_path / form)
    assert contents(tmp_path) == before  # the earlier export stays
    with pytest.raises(Broken):
        write_archive(graph, tmp_path / f"new_{form}")
    assert contents(tmp_path) == before


def test_several_threads_may_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "m.nnef.tgz"
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(write_archive, linear(), path) for _ in range(20)]:
            done.result()
    assert list(tmp_path.iterdir()) == [path]
    torchtract.load(path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("form", FORMS)
def test_full_disk_is_reported_with_the_path(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Path.open

    def full(path: Path, mode: str) -> IO[bytes]:  # noqa: ARG001
        return plain(Path("/dev/full"), "wb")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(FormatError, match="No space left on device") as caught:
        write_archive(linear(), tmp_path / form)
    assert str(tmp_path / form) in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["model.nnef.tgz", "model.nnef.tar", "model"])
def test_memory_is_one_tensor_and_a_little(form: str, tmp_path: Path) -> None:
    mebibytes = 64
    shape = (mebibytes, 1 << 18)
    variables = {
        name: Variable(name, "f32", shape, lambda: np.ones(shape, np.float32)) for name in "abc"
    }
    tracemalloc.start()
    write_archive(Graph(outputs=["a"], variables=variables), tmp_path / form)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert mebibytes <= peak / 2**20 < 1.6 * mebibytes
