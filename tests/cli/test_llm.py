"""`torchtract llm`: exporting, generating, talking and measuring."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from typer.testing import CliRunner, Result

from cli.conftest import Torchtract
from llm.families import tiny
from llm.texts import trained_tokenizer, write_language_model
from torchtract.cli import app
from torchtract.cli.output import show_piece
from torchtract.llm import LanguageModel, export, load

COMMANDS = ["export", "generate", "chat", "bench"]


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    return trained_tokenizer()


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory, bpe: Tokenizer) -> Path:
    folder = tmp_path_factory.mktemp("llm")
    return write_language_model(folder / "llama", bpe, folder / "texts")


@pytest.fixture(scope="module")
def lm(llama: Path) -> LanguageModel:
    return load(llama)


@pytest.fixture
def hf_llama(tmp_path: Path, bpe: Tokenizer) -> Path:
    """A folder of Hugging Face's format."""
    path = tmp_path / "hf_llama"
    tiny("LlamaForCausalLM", vocab_size=400).save_pretrained(path)
    bpe.save(str(path / "tokenizer.json"))
    return path


def talk(folder: Path, *messages: str, args: tuple[str, ...] = ()) -> Result:
    """Has a conversation through a pipe."""
    typed = "".join(f"{message}\n" for message in messages)
    return CliRunner().invoke(app, ["llm", "chat", str(folder), *args], input=typed)


def test_help_lists_the_commands(torchtract: Torchtract) -> None:
    result = torchtract("llm", "--help")

    commands = result.stdout.partition("Commands:\n")[2]
    assert [line.split()[0] for line in commands.strip().splitlines()] == COMMANDS
    assert "..." not in commands


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_in_the_help_works(
    torchtract: Torchtract,
    command: str,
    llama: Path,
    hf_llama: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(hf_llama.parent)
    if command != "export":
        shutil.copytree(llama, "llama")
    help_text = torchtract("llm", command, "--help").stdout
    program, *args = shlex.split(help_text.partition("Example:\n")[2])

    assert (program, *args[:2]) == ("torchtract", "llm", command)
    result = torchtract(*args)
    assert result.exit_code == 0, result.output


def test_generate(torchtract: Torchtract, llama: Path, lm: LanguageModel) -> None:
    expected = lm.generate("Models", max_new_tokens=12)

    result = torchtract("llm", "generate", llama, "Models", "--max-new-tokens", "12", "--timings")

    assert result.exit_code == 0
    assert result.stdout == f"{expected.text}\n"
    assert re.fullmatch(r"prompt: \d+ tokens, .+/s; new: 12 tokens, .+/s.*\n", result.stderr)


def test_generate_with_all_options(torchtract: Torchtract, llama: Path, lm: LanguageModel) -> None:
    expected = lm.generate(
        "Models",
        max_new_tokens=40,
        temperature=0.8,
        top_k=30,
        top_p=0.9,
        min_p=0.01,
        repetition_penalty=1.1,
        stop=["e", "zz"],
        seed=3,
    )

    options = "--max-new-tokens 40 --temperature 0.8 --top-k 30 --top-p 0.9 --min-p 0.01"
    more = "--repetition-penalty 1.1 --stop e --stop zz --seed 3 --json --threads 2"
    result = torchtract("llm", "generate", llama, "Models", *options.split(), *more.split())

    data = json.loads(result.stdout)
    assert (data["text"], data["tokens"]) == (expected.text, expected.tokens)
    assert (data["finish_reason"], data["prompt_tokens"]) == ("stop", expected.prompt_tokens)
    assert data["timings"]["prompt_tokens_per_second"] > 0


def test_a_prompt_may_come_from_a_pipe(llama: Path, lm: LanguageModel) -> None:
    args = ["llm", "generate", str(llama), "-", "--max-new-tokens", "5"]
    result = CliRunner().invoke(app, args, input="two\nlines")

    assert result.stdout == lm.generate("two\nlines", max_new_tokens=5).text + "\n"


def test_a_file_alone(torchtract: Torchtract, llama: Path, lm: LanguageModel) -> None:
    file = llama / "model.nnef.tar"
    expected = lm.generate([5, 6], max_new_tokens=5)

    ids = torchtract("llm", "generate", file, "5 6", "--max-new-tokens", "5")
    assert ids.stdout.split() == [str(token) for token in expected.tokens]

    text = torchtract("llm", "generate", file, "Hi", "--tokenizer", llama, "--max-new-tokens", "5")
    assert text.stdout == lm.generate("Hi", max_new_tokens=5).text + "\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["generate", "LLAMA", ""], "error: prompt: it is empty"),
        (["generate", "LLAMA", "x", "--temperature", "-1"], "error: temperature=-1.0"),
        (["generate", "LLAMA", "x", "--max-new-tokens", "0"], "error: max_new_tokens=0"),
        (["generate", "missing", "x"], "missing"),
        (["generate", ".", "x"], "it has no model.nnef.tar"),
        (["chat", "LLAMA/model.nnef.tar"], "without a chat template"),
        (["chat", "LLAMA", "--top-p", "0"], "error: top_p=0.0"),
        (["bench", "LLAMA", "--new-tokens", "512"], "may be 1023 at most: the model's longest"),
        (["bench", "missing"], "missing"),
        (["export", "missing", "out"], "missing"),
    ],
    ids=str,
)
def test_errors(
    torchtract: Torchtract,
    llama: Path,
    args: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)

    result = torchtract("llm", *(arg.replace("LLAMA", str(llama)) for arg in args))

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert words in result.stderr


def test_a_conversation(llama: Path, lm: LanguageModel) -> None:
    said: list[dict[str, str]] = [{"role": "system", "content": "Be brief."}]
    expected = ""
    for message in ("Hi", "And then?"):
        said.append({"role": "user", "content": message})
        answer = lm.chat(said, max_new_tokens=8).text
        said.append({"role": "assistant", "content": answer})
        expected += f"{answer}\n"

    args = ("--system", "Be brief.", "--max-new-tokens", "8")
    result = talk(llama, "Hi", "  ", "And then?", args=args)

    assert (result.exit_code, result.stdout, result.stderr) == (0, expected, "")


def test_what_was_said_can_be_forgotten(llama: Path) -> None:
    result = talk(llama, "Hi", "And then?", "/clear", "Hi", args=("--max-new-tokens", "8"))

    answers = result.stdout
    once = talk(llama, "Hi", args=("--max-new-tokens", "8")).stdout
    assert answers.startswith(once)
    assert answers.endswith(once)
    assert answers != once * 2


def test_a_conversation_that_gets_too_long(llama: Path) -> None:
    args = ("--max-new-tokens", "4")
    result = talk(llama, "many " * 1100, "Hi", args=args)

    assert result.exit_code == 0
    assert re.match(r"warning: prompt: .*1024.*\. The message is dropped", result.stderr)
    assert result.stdout == talk(llama, "Hi", args=args).stdout


def test_ctrl_c_stops_the_answer(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    presses = iter([True])
    handler = signal.getsignal(signal.SIGINT)

    def show_and_press(piece: str) -> None:
        show_piece(piece)
        if next(presses, False):
            signal.raise_signal(signal.SIGINT)

    whole = talk(llama, "Hi", args=("--max-new-tokens", "200")).stdout
    monkeypatch.setattr("torchtract.cli.llm.options.show_piece", show_and_press)
    result = talk(llama, "Hi", "/clear", "Hi", args=("--max-new-tokens", "200"))

    assert result.exit_code == 0
    begun, _, rest = result.stdout.partition("\n")
    assert whole.startswith(begun)
    assert 0 < len(begun) < 20
    assert rest == whole
    assert signal.getsignal(signal.SIGINT) == handler


def test_a_terminal_is_asked(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed: Iterator[str] = iter(["Hi"])

    def ask(*_: Any, **__: Any) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(sys.modules["torchtract.cli.llm.chat"], "_is_terminal", lambda: True)
    monkeypatch.setattr("builtins.input", ask)

    result = talk(llama, args=("--max-new-tokens", "8"))

    assert result.exit_code == 0
    assert result.stdout.startswith("Ctrl-C stops an answer")


@pytest.mark.parametrize("terminal", [True, False])
def test_a_text_does_not_control_the_terminal(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Output(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    output = Output()
    monkeypatch.setattr(sys, "stdout", output)

    show_piece("a\x1b[2J\tb\r\n\x9bc\x07\u00e9")

    shown = "a[2J\tb\nc\u00e9" if terminal else "a\x1b[2J\tb\r\n\x9bc\x07\u00e9"
    assert output.getvalue() == shown


def test_bench(torchtract: Torchtract, llama: Path) -> None:
    sizes = ("--prompt-tokens", "20", "--new-tokens", "6", "--rounds", "2")

    shown = torchtract("llm", "bench", llama, *sizes, "--threads", "2")
    assert shown.exit_code == 0
    title, _, *rows = shown.stdout.splitlines()
    assert title == "2 rounds, 2 threads"
    assert [row.split()[:2] for row in rows[1:3]] == [["prompt", "20"], ["generation", "6"]]

    data = json.loads(torchtract("llm", "bench", llama, *sizes, "--json").stdout)
    assert (data["rounds"], data["prompt_tokens"], data["new_tokens"]) == (2, 20, 6)
    for name in ("prompt", "generated"):
        speed = data[f"{name}_tokens_per_second"]
        assert 0 < speed["minimum"] <= speed["median"] <= speed["maximum"]


def test_bench_of_an_encoder_decoder(torchtract: Torchtract, tmp_path: Path) -> None:
    bart = tiny("BartForConditionalGeneration", max_position_embeddings=80)
    folder = export(bart, tmp_path / "bart", check_io=False)

    def bench(prompt: int, new: int) -> Result:
        sizes = ("--prompt-tokens", str(prompt), "--new-tokens", str(new), "--rounds", "1")
        return torchtract("llm", "bench", folder, *sizes, "--json")

    data = json.loads(bench(80, 78).stdout)
    assert (data["prompt_tokens"], data["new_tokens"]) == (80, 78)
    assert "the encoder reads 80 tokens at most" in bench(81, 1).stderr
    assert "--new-tokens 79: is refused, since it may be 78 at most" in bench(1, 79).stderr


def test_export(torchtract: Torchtract, hf_llama: Path, tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    options = ("--quantize", "q4_0", "--max-length", "64", "--no-check", "--dtype", "float32")

    result = torchtract("llm", "export", hf_llama, exported, *options)

    assert (result.exit_code, result.stdout) == (0, f"wrote {exported}\n")
    assert re.search(r"\d+ quantized weights lose \d+\.\d\d % on average; most: ", result.stderr)
    assert load(exported).max_length == 64
    assert load(exported).generate("Hi", max_new_tokens=3).tokens


def test_export_leaves_weights_as_they_are(
    torchtract: Torchtract, hf_llama: Path, tmp_path: Path
) -> None:
    sizes = []
    for name, options in {
        "all": (),
        "some": ("--leave", "*lm_head*", "--leave", "*embed*"),
    }.items():
        file = tmp_path / f"{name}.nnef.tar"
        arguments = ("llm", "export", hf_llama, file, "--quantize", "q4_0", "--no-check")
        assert torchtract(*arguments, *options).exit_code == 0
        sizes.append(file.stat().st_size)
    assert sizes[1] - sizes[0] > 400 * 32 * 3
    refused = torchtract("llm", "export", hf_llama, tmp_path / "m.nnef.tar", "--leave", "*lm_head*")
    assert refused.exit_code == 2
    assert "goes with --quantize" in refused.stderr
    unknown = torchtract(*arguments, "--leave", "*ffn*")
    assert unknown.exit_code == 2
    assert "fits no weight" in unknown.stderr


def test_export_without_torch(
    torchtract: Torchtract, hf_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)

    result = torchtract("llm", "export", hf_llama, hf_llama.parent / "out")

    assert result.exit_code == 1
    assert "pip install 'torchtract[export]'" in result.stderr
