"""The command line: a thin layer over loading, running, measuring and comparing.

Exit codes: 0, 1 for an error or a failed check, 2 for a call that makes no sense, 130 after Ctrl-C.
"""

from torchtract.cli.commands import app, main

__all__ = ["app", "main"]
