"""Structures of tensors as torch.export sees them."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.utils import _pytree as pytree

__all__ = ["register_dataclasses"]


def register_dataclasses(tree: Any) -> None:
    """Tell pytree of all dataclasses in a structure, so that it finds the tensors in them.

    It takes dataclasses for leaves until it is told of them.
    """
    for leaf in pytree.tree_leaves(tree):
        if dataclasses.is_dataclass(leaf) and not isinstance(leaf, type):
            torch.export.register_dataclass(type(leaf))
            register_dataclasses(leaf)
