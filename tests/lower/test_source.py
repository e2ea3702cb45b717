"""Which line of a traced call is the user's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from torchtract.lower.source import file_line

TORCH = Path(torch.__file__).parent


@pytest.mark.parametrize(
    ("innermost", "wanted"),
    [
        (f"{TORCH}/nn/modules/linear.py", "user.py:1"),
        (f"{TORCH}vision/models/vgg.py", f"{TORCH}vision/models/vgg.py:2"),
        ("library.py", "library.py:2"),
    ],
)
def test_the_innermost_line_outside_of_torch(innermost: str, wanted: str) -> None:
    node = torch.fx.Graph().placeholder("x")
    files = ("user.py", innermost)
    node.meta["stack_trace"] = "\n".join(
        f'  File "{file}", line {line}, in forward' for line, file in enumerate(files, 1)
    )

    assert file_line(node) == wanted


def test_a_call_without_a_line() -> None:
    assert file_line(torch.fx.Graph().placeholder("x")) == "unknown line"
