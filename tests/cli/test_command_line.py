"""What holds for every command: help, exit codes, errors, and what a terminal or a pipe gets."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import torchtract as package
from cli.conftest import GRAPH, Record, Torchtract, WriteWav
from torchtract.debug_bundle import write_debug_bundle

COMMANDS = [
    *("dump", "profile", "run", "check", "replay", "bench"),
    *("pulse", "check-stream", "stream"),
]
# A run of tests in a shell's background ignores Ctrl+C, and would hand that down.
LISTENING = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
MAIN = f"{LISTENING}; from torchtract.cli import main; main()"
WITHOUT_TORCH = f"import sys; sys.modules['torch'] = None; {MAIN}"
posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and pipes")


def start(*args: str | Path, program: str = MAIN) -> subprocess.Popen[str]:
    """Starts the command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_package_runs_as_the_command() -> None:
    arguments = [sys.executable, "-m", "torchtract", "--version"]
    told = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
    assert package.__version__ in told


def test_version(torchtract: Torchtract) -> None:
    result = torchtract("--version")

    assert result.exit_code == 0
    assert result.stdout == f"torchtract {package.__version__}\n"


def test_help_lists_the_commands(torchtract: Torchtract) -> None:
    result = torchtract("--help")

    assert result.exit_code == 0
    commands = result.stdout.partition("Commands:\n")[2]
    assert [line.split()[0] for line in commands.strip().splitlines()] == [*COMMANDS, "llm"]
    assert "..." not in commands


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_in_the_help_works(
    torchtract: Torchtract,
    command: str,
    model: Path,
    encoder: Path,
    record: Record,
    wav: WriteWav,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(model.parent)
    model.rename("vit.nnef.tgz")
    package.load(encoder).pulse(S=8).save("encoder_pulse8.nnef.tgz")
    wav("audio.wav", range(30))
    record("in.npz", **inputs)
    record("out.npz", **outputs)
    report = {"report.json": '{"tolerance": "close"}'}
    write_debug_bundle(Path("debug.tgz"), Path("vit.nnef.tgz"), inputs, outputs, {}, report)

    help_text = torchtract(command, "--help").stdout
    program, *args = shlex.split(help_text.partition("Example:\n")[2])

    assert program == "torchtract"
    assert args[0] == command
    result = torchtract(*args)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("args", [["dunp"], ["dump"], ["dump", "--no-such-option", "m"]])
def test_usage_errors(torchtract: Torchtract, args: list[str]) -> None:
    result = torchtract(*args)

    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")
    assert result.stdout == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_model(torchtract: Torchtract, command: str, record: Record, model: Path) -> None:
    missing = model / "missing.nnef.tgz"
    recording = str(record("x.npz", x=np.zeros(1)))
    others = {"check": recording, "stream": recording, "pulse": "S=8", "check-stream": "S=8"}

    result = torchtract(command, missing, *([others[command]] if command in others else []))

    assert result.exit_code == 1
    assert re.fullmatch(
        r"error: .*missing\.nnef\.tgz: no such file or .*\n", result.stderr, re.IGNORECASE
    )
    assert result.stdout == ""


def test_not_an_archive(torchtract: Torchtract, tmp_path: Path) -> None:
    text = tmp_path / "text.nnef.tgz"
    text.write_text("version 1.0;")

    result = torchtract("dump", text)

    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert str(text) in result.stderr


def test_debug_lets_the_exception_through(torchtract: Torchtract, tmp_path: Path) -> None:
    result = torchtract("dump", "--debug", tmp_path / "missing")

    assert result.exit_code == 1
    assert isinstance(result.exception, package.errors.LoadError)

    with start("dump", "--debug", tmp_path / "missing") as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr.startswith("Traceback")


@pytest.mark.parametrize(
    "args", [["pulse", "S=8"], ["check-stream", "S=8"], ["stream", "audio.wav", "S=8"]], ids=str
)
def test_streams_without_torch(encoder: Path, wav: WriteWav, args: list[str]) -> None:
    command, *words = args
    wav("audio.wav", range(30))
    words = [str(encoder.parent / word) if "wav" in word else word for word in words]
    with start(command, encoder, *words, program=WITHOUT_TORCH) as process:
        stdout, stderr = process.communicate(timeout=60)

    assert (process.returncode, stderr) == (0, "")
    assert "y" in stdout


def test_runs_without_torch(model: Path) -> None:
    with start("dump", model, program=WITHOUT_TORCH) as process:
        stdout, stderr = process.communicate(timeout=60)

    assert (process.returncode, stderr) == (0, "")
    assert "encoder_layer_tanh" in stdout


def test_a_pipe_gets_plain_lines_in_full(torchtract: Torchtract, model: Path) -> None:
    long_name = "encoder_" * 40 + "tanh"
    graph = GRAPH.replace("encoder_layer_tanh", long_name)
    (model / "graph.nnef").write_text(graph)

    result = torchtract("dump", model, COLUMNS="60")

    assert result.stdout.isascii()
    assert "\x1b" not in result.stdout
    row = next(line for line in result.stdout.splitlines() if long_name in line)
    assert row.split()[1:] == [long_name, "Tanh", "0", "B,4,F32"]


@pytest.mark.parametrize("width", [60, 80])
def test_a_terminal_gets_lines_that_fit(
    torchtract: Torchtract, model: Path, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torchtract.cli.profile.SECONDS", 0.05)
    name = "encoder_layers_encoder_layer_0_self_attention_tanh"
    modules = " ".join(f"encoder.layers.{i}" for i in range(500))
    graph = GRAPH.replace("encoder_layer_tanh", name).replace("encoder encoder.layer", modules)
    (model / "graph.nnef").write_text(graph)
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": str(width), "LINES": "40"}

    dump = torchtract("dump", model, **terminal)
    profile = torchtract("profile", "--set", "B=3", model, **terminal)

    assert "\x1b" in dump.stdout
    assert f"({len(modules)} characters)" in dump.stdout
    for result in (dump, profile):
        assert result.exit_code == 0
        lines = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", result.stdout).splitlines()
        assert any(name in line for line in lines)
        tables = [line for line in lines if "characters)" not in line]
        assert max(map(len, tables)) <= width


def test_names_that_the_output_cannot_encode(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    named = model.rename(model.with_name("mod\N{LATIN SMALL LETTER E WITH GRAVE}le"))

    with start("dump", "--no-nodes", named) as process:
        stdout, stderr = process.communicate(timeout=60)

    assert (process.returncode, stderr) == (0, "")
    assert stdout.startswith("mod\\xe8le\n")


@posix
def test_a_reader_that_leaves_early_is_no_error(model: Path) -> None:
    with start("dump", model) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()

        assert process.stderr.read() == ""


@posix
def test_inputs_may_come_through_a_pipe(
    model: Path, record: Record, inputs: dict[str, Any], tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe.npz"
    os.mkfifo(pipe)
    with start("run", model, pipe) as process:
        pipe.write_bytes(record("in.npz", **inputs).read_bytes())
        stdout, stderr = process.communicate(timeout=60)

    assert (process.returncode, stderr) == (0, "")
    assert "3,4,F32" in stdout


@posix
def test_ctrl_c_ends_quietly(model: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "in.npz"
    os.mkfifo(pipe)
    with start("run", model, pipe) as process, pipe.open("wb"):  # waits until the command reads
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)

    assert (process.returncode, stdout, stderr) == (130, "", "")
