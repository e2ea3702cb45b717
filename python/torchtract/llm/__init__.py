"""Language models: exported with their caches, and generating text in Python.

Exporting needs PyTorch and transformers and imports them when it is first used; generating
does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torchtract.llm.adapters import swap_adapter
from torchtract.llm.causal import CausalModel, Session
from torchtract.llm.chat import ChatTemplate
from torchtract.llm.encoder_decoder import EncoderDecoder
from torchtract.llm.generation import Generation, TextStream, Timings
from torchtract.llm.language_model import GenerationOptions, LanguageModel
from torchtract.llm.load import load
from torchtract.llm.perplexity import perplexity
from torchtract.llm.sampling import Sampling
from torchtract.llm.settings import Settings
from torchtract.llm.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torchtract.llm.exporter import export

__all__ = [
    "CausalModel",
    "ChatTemplate",
    "EncoderDecoder",
    "Generation",
    "GenerationOptions",
    "LanguageModel",
    "Sampling",
    "Session",
    "Settings",
    "TextStream",
    "Timings",
    "Tokenizer",
    "export",
    "load",
    "perplexity",
    "swap_adapter",
]


def __getattr__(name: str) -> Any:
    if name != "export":
        raise AttributeError(f"module 'torchtract.llm' has no attribute {name!r}")
    try:
        from torchtract.llm.exporter import export
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers"):
            raise
        raise ImportError(
            f"torchtract.llm.export: can't be used, since it needs {error.name}, which is not "
            "installed; pip install 'torchtract[export]' transformers."
        ) from error
    return export
