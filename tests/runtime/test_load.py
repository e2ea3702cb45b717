from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from torchtract import load
from torchtract.errors import LoadError


def archive(folder: Path, *, compressed: bool = False) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for file in sorted(folder.iterdir()):
            tar.add(file, arcname=file.name)
    return gzip.compress(packed.getvalue()) if compressed else packed.getvalue()


def refused(source: Path | bytes) -> str:
    with pytest.raises(LoadError) as caught:
        load(source)
    return str(caught.value)


@pytest.mark.parametrize("compressed", [False, True])
def test_folder_archive_and_bytes_give_the_same_model(linear: Path, *, compressed: bool) -> None:
    packed = archive(linear, compressed=compressed)
    file = linear.parent / "any name will do"
    file.write_bytes(packed)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    expected = np.repeat([[3.0], [12.0]], 4, axis=1)
    for source in (linear, str(linear), file, packed, bytearray(packed)):
        np.testing.assert_array_equal(load(source).compile()(x), expected)


def test_no_such_file(tmp_path: Path) -> None:
    message = refused(tmp_path / "m.nnef.tgz")
    assert message == f"{tmp_path}/m.nnef.tgz: no such file or folder"


def test_a_file_of_zero_bytes(tmp_path: Path) -> None:
    (tmp_path / "m.nnef.tgz").touch()
    assert "m.nnef.tgz: empty, not an archive" in refused(tmp_path / "m.nnef.tgz")


@pytest.mark.parametrize("content", [b"x", b"\x1f", b"\x1f\x8b", b"PK\3\4" * 500, b"\0" * 2000])
def test_not_an_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.nnef.tgz").write_bytes(content)
    message = refused(tmp_path / "m.nnef.tgz")
    assert "m.nnef.tgz: " in message
    assert "not an archive" in message or "damaged or cut short" in message


def test_gzip_of_something_else() -> None:
    assert "not an archive" in refused(gzip.compress(b"hello" * 1000))


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_tgz(linear: Path, part: float) -> None:
    packed = archive(linear, compressed=True)
    message = refused(packed[: int(len(packed) * part)])
    assert "damaged or cut short" in message


def test_a_tgz_without_its_last_byte(linear: Path) -> None:
    assert "damaged or cut short" in refused(archive(linear, compressed=True)[:-1])


def test_any_flipped_bit_that_changes_the_contents_is_noticed(linear: Path) -> None:
    whole = archive(linear, compressed=True)
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 0x10
        if not unpacks_to(flipped, gzip.decompress(whole)):
            refused(bytes(flipped))


def unpacks_to(packed: bytes | bytearray, contents: bytes) -> bool:
    try:
        return gzip.decompress(packed) == contents
    except (OSError, EOFError, zlib.error):
        return False


def test_a_truncated_tar(linear: Path) -> None:
    message = refused(archive(linear)[:600])
    assert "600 bytes: " in message


@pytest.mark.parametrize("compressed", [False, True])
def test_an_archive_without_a_graph(linear: Path, *, compressed: bool) -> None:
    (linear / "graph.nnef").unlink()
    assert "graph.nnef" in refused(archive(linear, compressed=compressed))


def test_a_folder_without_a_graph(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: a folder without a graph.nnef"


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        ("output = relu(input;", "line 8, column 9"),
        ("output = relu(input) }", "line 8, column 9"),
        ("output = relu(input;);", "line 8, column 9"),
        ("output = 'unclosed;", "line 8, column 9"),
    ],
)
def test_a_syntax_error_has_line_and_column(relu: Path, broken: str, where: str) -> None:
    graph = relu / "graph.nnef"
    graph.write_text(graph.read_text().replace("output = relu(input);", broken))
    message = refused(relu)
    assert f"graph.nnef, {where}: syntax error at `{broken}" in message


def test_a_graph_that_ends_too_early(relu: Path) -> None:
    graph = relu / "graph.nnef"
    graph.write_text(graph.read_text().rstrip().removesuffix("}"))
    assert "graph.nnef, line 9, column 5: syntax error at the end" in refused(relu)


def test_an_empty_graph(relu: Path) -> None:
    (relu / "graph.nnef").write_text("")
    assert "graph.nnef, line 1, column 1: syntax error at the end" in refused(relu)


def test_a_graph_that_is_no_text(relu: Path) -> None:
    (relu / "graph.nnef").write_bytes(b"version 1.0;\xff\xfe")
    assert "graph.nnef" in refused(relu)


def test_a_missing_weight_is_named(linear: Path) -> None:
    (linear / "fc.weight.dat").unlink()
    assert "fc.weight" in refused(linear)


@pytest.mark.parametrize(("length", "says"), [(0, "shorter"), (100, "shorter"), (170, "shorter")])
def test_a_weight_that_is_cut_is_named(linear: Path, length: int, says: str) -> None:
    weight = linear / "fc.weight.dat"
    weight.write_bytes(weight.read_bytes()[:length])
    assert f"weight file fc.weight.dat: {says} than its header says" in refused(linear)


def test_a_weight_that_is_too_long_is_named(linear: Path) -> None:
    weight = linear / "fc.weight.dat"
    weight.write_bytes(weight.read_bytes() + b"\0")
    assert "weight file fc.weight.dat: longer than its header says" in refused(linear)


def test_a_weight_of_another_shape_is_named(linear: Path) -> None:
    graph = linear / "graph.nnef"
    graph.write_text(graph.read_text().replace("[4, 3]", "[3, 4]"))
    assert "fc.weight" in refused(linear)


def test_a_weight_that_is_no_weight_is_named(linear: Path) -> None:
    (linear / "fc.weight.dat").write_bytes(b"\0" * 200)
    assert "weight file fc.weight.dat: Wrong magic number" in refused(linear)


def test_an_unknown_registry_is_named(relu: Path) -> None:
    graph = relu / "graph.nnef"
    graph.write_text(graph.read_text().replace("tract_core;", "tract_unheard_of;", 1))
    assert "tract_unheard_of" in refused(relu)


def test_an_unknown_operator_is_named(relu: Path) -> None:
    graph = relu / "graph.nnef"
    graph.write_text(graph.read_text().replace("relu(", "unheard_of("))
    message = refused(relu)
    assert "unheard_of" in message
    assert "output" in message


@pytest.mark.parametrize(
    "registry",
    ["tract_core", "tract_extra", "tract_transformers", "tract_onnx", "tract_pulse",
     "tract_resource"],
)  # fmt: skip
def test_all_registries_are_there(relu: Path, registry: str) -> None:
    graph = relu / "graph.nnef"
    graph.write_text(
        graph.read_text().replace("graph net", f"extension tract_registry {registry};\ngraph net")
    )
    assert load(relu).symbols == ("B",)


def test_a_panic_of_tract_is_an_error(relu: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # tract's parser takes an assignment to nothing, and its builder does not expect one.
    graph = relu / "graph.nnef"
    graph.write_text(graph.read_text().replace("output = relu", "[] = relu"))
    message = refused(relu)
    assert "tract panicked: index out of bounds" in message
    assert "tract-nnef" in message
    assert capfd.readouterr().err == ""


def test_padding_of_an_empty_weight_is_allowed(linear: Path) -> None:
    weight = linear / "empty.dat"
    header = bytearray((linear / "fc.weight.dat").read_bytes()[:128])
    header[4:8] = (1).to_bytes(4, "little")  # one byte of data
    header[8:16] = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")  # shape [0]
    header[44:52] = (8).to_bytes(4, "little") + bytes([5, 0, 0, 0])  # logical
    weight.write_bytes(header + b"\0")
    assert load(linear).outputs[0].shape == (2, 4)
