from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from torchtract.errors import FormatError
from torchtract.nnef import check_writable, reported, staged


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "m.nnef.tgz"
    with staged(target) as path:
        path.write_bytes(b"new")
        assert path.name == target.name
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["m.nnef.tgz"]


def test_file_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "m.nnef.tgz"
    target.write_bytes(b"old")
    with staged(target) as path:
        path.write_bytes(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["m.nnef.tgz", "model"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_of_a_failure(
    name: str, error: type[BaseException], tmp_path: Path
) -> None:
    def fail() -> None:
        with staged(tmp_path / name) as path:
            path.mkdir()
            (path / "graph.nnef").write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


def test_folder_replaces_an_earlier_export(tmp_path: Path) -> None:
    target = tmp_path / "model"
    (target / "layer").mkdir(parents=True)
    for name in ("graph.nnef", "old.dat", "layer/w.dat"):
        (target / name).touch()
    with staged(target) as path:
        path.mkdir()
        (path / "graph.nnef").write_text("new")
    assert names(target) == ["graph.nnef"]
    assert names(tmp_path) == ["model"]


def test_folder_that_can_not_be_put_in_place_keeps_the_earlier_one(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    (target / "graph.nnef").write_text("old")
    with pytest.raises(FormatError, match="model"), staged(target):
        pass  # nothing was written, so the last step fails
    assert (target / "graph.nnef").read_text() == "old"
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("content", [["thesis.txt"], ["graph.nnef", "thesis.txt"], ["w.dat"]])
def test_folder_with_other_things_is_refused(content: list[str], tmp_path: Path) -> None:
    for name in content:
        (tmp_path / name).touch()
    with pytest.raises(FormatError, match="something else than an exported model"):
        check_writable(tmp_path)
    assert names(tmp_path) == sorted(content)


def test_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    check_writable(tmp_path / "model")


def test_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    real = tmp_path / "store" / "v2"
    link = tmp_path / "m.nnef.tgz"
    link.symlink_to(real)
    with staged(link) as path:
        assert path.name == "m.nnef.tgz"
        path.write_bytes(b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("missing/m.nnef.tgz", "there is no folder"),
        ("file/m.nnef.tgz", "there is no folder"),
        ("folder.nnef.tgz", "a folder has this name"),
        ("file", "a file has this name"),
        (f"{'x' * 300}.nnef.tgz", "name too long"),
        ("m.zip", "another format"),
        ("m.onnx", "another format"),
        ("m.tar.xz", "another format"),
    ],
)
def test_path_that_can_not_be_written(path: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.nnef.tgz").mkdir()
    before = names(tmp_path)
    with pytest.raises(FormatError, match=f"(?i){why}") as caught:
        check_writable(tmp_path / path)
    assert str(tmp_path / path) in str(caught.value)
    assert names(tmp_path) == before


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs a device file")
def test_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.nnef.tgz").symlink_to("/dev/null")
    with pytest.raises(FormatError, match="no regular file"):
        check_writable(tmp_path / "m.nnef.tgz")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere"
)
def test_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FormatError, match="Permission denied"):
        check_writable(tmp_path / "m.nnef.tgz")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system without files")
def test_file_system_that_takes_no_files_is_refused() -> None:
    with pytest.raises(FormatError, match=r"'/proc/self/m\.nnef\.tgz': can't be written"):
        check_writable("/proc/self/m.nnef.tgz")


@pytest.mark.parametrize("path", ["m.nnef.tar", "model"])
def test_compression_level_goes_with_tgz_only(path: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"goes with a \.tgz only"):
        check_writable(tmp_path / path, compression_level=1)


@pytest.mark.parametrize("level", [-1, 10, 1.5, "9"])
def test_compression_level_is_0_to_9(level: int, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="the levels are 0"):
        check_writable(tmp_path / "m.tgz", compression_level=level)


def test_what_can_not_be_written_is_told_of_the_target(tmp_path: Path) -> None:
    target = tmp_path / "model.nnef.tar"
    refused = pytest.raises(FormatError)
    with refused as caught, staged(target) as outer, staged(outer) as inner, reported(inner):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value).startswith(f"{str(target)!r}: can't be written, since No space left")
