from __future__ import annotations

import gzip
import io
import zlib

import numpy as np
import pytest

from torchtract.nnef.gzip_stream import GzipStream

RANDOM = np.random.default_rng(0)
WEIGHTS = (RANDOM.standard_normal(3 << 18, dtype=np.float32) * 0.02).tobytes()
TEXT = b"".join(b"x%d = mul(x%d, 2.0);\n" % (i, i - 1) for i in range(100_000))
INPUTS = {
    "empty": b"",
    "byte": b"x",
    "text": TEXT,
    "weights": WEIGHTS,
    "zeros": bytes(5 << 19),
    "block": bytes(1 << 20),
    "mixed": TEXT + WEIGHTS + bytes(100),
}


def compress(
    data: bytes, level: int | None = None, threads: int = 2, piece: int = 1 << 30
) -> bytes:
    file = io.BytesIO()
    with GzipStream(file, level, threads) as stream:
        for start in range(0, len(data), piece):
            assert stream.write(data[start : start + piece]) == len(data[start : start + piece])
    return file.getvalue()


@pytest.mark.parametrize("level", [None, 0, 1, 9])
@pytest.mark.parametrize("name", INPUTS)
def test_one_gzip_member_gives_the_input_back(name: str, level: int | None) -> None:
    compressed = compress(INPUTS[name], level)
    assert gzip.decompress(compressed) == INPUTS[name]
    member = zlib.decompressobj(31)
    assert member.decompress(compressed) == INPUTS[name]
    assert member.eof
    assert not member.unused_data


def test_bytes_do_not_depend_on_threads_or_pieces() -> None:
    data = INPUTS["mixed"]
    expected = compress(data, threads=1)
    assert compress(data, threads=7) == expected
    assert compress(data, threads=2, piece=12_345) == expected


def test_levels() -> None:
    sizes = [len(compress(TEXT, level)) for level in (0, 1, 9)]
    assert sizes[0] > len(TEXT) > sizes[1] > sizes[2]


def test_by_default_only_what_shrinks_is_compressed() -> None:
    assert len(compress(WEIGHTS)) > len(WEIGHTS) > len(compress(WEIGHTS, 1))
    assert len(compress(TEXT)) < len(TEXT) / 5
    assert len(compress(bytes(1 << 22))) < 10_000


def test_header_says_nothing_of_the_machine() -> None:
    assert compress(b"x")[:10] == b"\x1f\x8b\x08" + bytes(6) + b"\xff"


def test_blocks_in_flight_are_bounded() -> None:
    class Slow(io.BytesIO):
        """Counts what was written before the stream was closed."""

    file = Slow()
    stream = GzipStream(file, 0, threads=1)
    for _ in range(10):
        stream.write(bytes(1 << 20))
    assert file.tell() >= 7 << 20
    stream.close()


def test_an_error_of_the_file_comes_through() -> None:
    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            if self.tell():
                raise OSError(28, "No space left on device")
            return super().write(data)  # type: ignore[arg-type]

    def fill() -> None:
        with GzipStream(Full(), 1, 2) as stream:
            stream.write(WEIGHTS * 20)

    with pytest.raises(OSError, match="No space left"):
        fill()
