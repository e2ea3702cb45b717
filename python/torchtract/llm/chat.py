"""Messages to a prompt, by the chat template that came with the model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from torchtract.errors import GenerationError, LoadError

if TYPE_CHECKING:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["ChatTemplate", "check_template_options"]


_FAILURES = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, RecursionError)
"""What code in a template can raise, besides jinja2's own errors."""


class ChatTemplate:
    """A template in Jinja, run in a sandbox: it comes with the weights, from anywhere.

    Args:
        templates: their texts by name: ``default``, and ``tool_use`` for chats with tools.
        special_tokens: what the template knows them by, such as ``bos_token``.
        origin: where it was found, for errors.
    """

    def __init__(
        self, templates: Mapping[str, str], special_tokens: Mapping[str, str], origin: str
    ) -> None:
        self._templates = templates
        self._special_tokens = special_tokens
        self._origin = origin
        self._compiled: dict[str, jinja2.Template] = {}

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """Gives the prompt.

        Args:
            messages: each with ``role``, ``content`` and what else the template reads.
            tools: JSON schemas of functions that the model may call.
            add_generation_prompt: whether what comes next is the assistant's answer.
            variables: more that the template reads, such as ``enable_thinking``.

        Raises:
            GenerationError: there are no messages, or they are not of plain data; the template
                refuses them, or it fails.
            LoadError: jinja2 is not installed, or the template is none.
        """
        import_jinja2()
        from jinja2 import TemplateError

        given = {
            "messages": _plain_messages(messages),
            "tools": _plain(tools, "tools"),
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            **self._special_tokens,
            **_plain(variables, "options of the template"),
        }
        template = self._template("tool_use" if tools else "default")
        try:
            return template.render(given)
        except (TemplateError, *_FAILURES) as error:
            raise GenerationError(f"the chat template refuses the messages: {error}") from error

    def _template(self, name: str) -> jinja2.Template:
        from jinja2 import TemplateError

        if name not in self._templates:
            name = "default" if "default" in self._templates else next(iter(self._templates))
        if name not in self._compiled:
            try:
                self._compiled[name] = _environment().from_string(self._templates[name])
            except TemplateError as error:
                raise LoadError(f"{self._origin}: no template can be read: {error}") from error
        return self._compiled[name]


def import_jinja2() -> None:
    """Raises LoadError where jinja2 is not installed."""
    try:
        import jinja2  # noqa: F401
    except ImportError as error:
        raise LoadError(
            "chat needs jinja2 for the model's template, which is not installed; "
            "pip install 'torchtract[llm]'."
        ) from error


def check_template_options(options: Any) -> dict[str, Any]:
    """What a template reads besides the messages and tools, by its name.

    Raises:
        GenerationError: it is no dict of such names, or has one that is given otherwise.
    """
    given = {} if options is None else options
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise GenerationError(
            f"template_options: a dict from names to plain data is needed, not {str(given)[:40]!r}"
        )
    for name in ("messages", "tools", "self"):
        if name in given:
            raise GenerationError(
                f"template_options: {name} can't be among them, since what the template knows by "
                "that name is not an option; messages and tools are arguments of their own."
            )
    return dict(given)


def _plain_messages(messages: Any) -> list[dict[str, Any]]:
    plain = _plain(list(messages) if isinstance(messages, Sequence) else messages, "messages")
    if not isinstance(plain, list) or not all(isinstance(message, dict) for message in plain):
        raise GenerationError(
            f"messages: a list of dicts with role and content is needed, not {str(messages)[:40]!r}"
        )
    if not plain:
        raise GenerationError("messages: there are none, so there is nothing to answer")
    for number, message in enumerate(plain):
        # Most templates write nothing for a key that is missing.
        if not isinstance(message.get("role"), str):
            raise GenerationError(
                f"messages[{number}]: its role is no text, such as 'user'; it has {list(message)}"
            )
    # Templates test whether a key is there: a `content` of None would be written as a word.
    return [
        {key: value for key, value in message.items() if value is not None} for message in plain
    ]


def _plain(value: Any, what: str) -> Any:
    """A copy of JSON's types only: the sandbox does not know what methods of others do."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError) as error:
        raise GenerationError(f"{what}: plain data is needed, as in JSON: {error}") from error


def _environment() -> ImmutableSandboxedEnvironment:
    """Where templates of transformers run: its globals, filters and tags."""
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}`` marks what the assistant said, which matters in training only."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _raise_exception(message: str) -> NoReturn:
    raise ValueError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Not jinja2's own, which writes ``<`` as HTML does."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
