"""``torchtract llm``: language models at a terminal."""

from torchtract.cli.llm.commands import app

__all__ = ["app"]
