"""All commands for language models, put together."""

from __future__ import annotations

from collections.abc import Callable

import typer

from torchtract.cli.llm.bench import bench
from torchtract.cli.llm.chat import chat
from torchtract.cli.llm.export import export
from torchtract.cli.llm.generate import generate

__all__ = ["app"]

_EXAMPLES: dict[Callable[..., None], str] = {
    export: "torchtract llm export hf_llama llama",
    generate: 'torchtract llm generate llama "Once upon a time" --temperature 0.7',
    chat: "torchtract llm chat llama",
    bench: "torchtract llm bench llama --threads 2",
}

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Export language models, and generate text with them.",
)
for _command, _example in _EXAMPLES.items():
    app.command(epilog=f"\b\nExample:\n  {_example}")(_command)
