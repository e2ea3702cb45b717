"""The NNEF format: graphs as data, their text, tensors and archives. No torch, no engine."""

from __future__ import annotations

from torchtract.nnef import schema
from torchtract.nnef.archive import write_archive
from torchtract.nnef.graph import Argument, Dim, Graph, Operation, Ref, Variable
from torchtract.nnef.identifiers import Names, check_identifier, identifier
from torchtract.nnef.schema import EMBEDDED, check_version, known_versions
from torchtract.nnef.staging import check_writable, is_folder, reported, staged
from torchtract.nnef.tensors import read_tensor, write_tensor
from torchtract.nnef.text import format_graph

__all__ = [
    "EMBEDDED",
    "Argument",
    "Dim",
    "Graph",
    "Names",
    "Operation",
    "Ref",
    "Variable",
    "check_identifier",
    "check_version",
    "check_writable",
    "format_graph",
    "identifier",
    "is_folder",
    "known_versions",
    "read_tensor",
    "reported",
    "schema",
    "staged",
    "write_archive",
    "write_tensor",
]
