"""The flaxmark command: its help, the ways to start it, its exit statuses and its errors."""

import json
import os
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import ROOT, Environment, as_command, command_line, run_command

from flaxmark.cli import main
from flaxmark.cli.main import COMMANDS
from flaxmark.cli.own_process import HUGE_PAGES
from flaxmark.errors import EXTRAS, ConfigError, DataError, FlaxmarkError, explain

PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
DOORS = {
    "command": [str(Path(sys.executable).with_name("flaxmark"))],
    "module": [sys.executable, "-m", "flaxmark"],
    "script": [sys.executable],
}


def line_of(capsys: pytest.CaptureFixture[str]) -> str:
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line.removesuffix("\n")


def test_any_failure_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(RuntimeError("first\n  second")) == 1
    assert line_of(capsys) == "error: RuntimeError: first second (--debug shows where)"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("too small", field="data.image_size", value=12), "--data.image-size 12: too small"),
        (ConfigError("give one", field="losses", value=""), "--losses: give one"),
        (ConfigError("must be on", field="model.sigma", value=False), "--model.sigma: must be on"),
        (ConfigError("must not fall", field="x", value=(5, 4)), "--x 5 4: must not fall"),
        (DataError("line 3: no number", file="faces.csv"), "faces.csv: line 3: no number"),
        (ConfigError("x.py: gone", field="FLAXMARK_EXTENSIONS"), "FLAXMARK_EXTENSIONS: x.py: gone"),
    ],
)
def test_an_error_names_the_flag_and_the_file(
    error: FlaxmarkError, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(error) == 2
    assert line_of(capsys) == f"error: {line}"


@pytest.mark.parametrize(("package", "extra"), EXTRAS.items())
def test_a_missing_package_names_its_extra(package: str, extra: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(ModuleNotFoundError(f"No module named '{package}.inner'", name=f"{package}.inner")) == 2
    line = line_of(capsys)
    assert package in line
    assert f"pip install 'flaxmark[{extra}]'" in line


BLOCKED = """
import sys
sys.modules[sys.argv.pop(1)] = None  # as if it were not installed
from flaxmark.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("tensorflow", ["train", "--config", "quickstart"]),
        ("tensorflow_datasets", ["train", "--config", "quickstart"]),
        ("matplotlib", ["train", "--config", "quickstart"]),
        ("tensorboardX", ["train", "--config", "quickstart"]),
        ("jinja2", ["report", "."]),
        ("av", ["predict", "film.mp4"]),
        ("onnx", ["export", "--format", "onnx", "--out", "x.onnx"]),
        ("gradio", ["demo"]),
    ],
)
def test_commands_without_their_packages(
    environment: Environment, tmp_path: Path, package: str, arguments: list[str]
) -> None:
    line = [sys.executable, "-c", BLOCKED, package, *arguments]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.endswith(f": pip install 'flaxmark[{EXTRAS[package]}]'\n")
    assert package.lower().removeprefix("av") in done.stderr.lower()
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_overview_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        monkeypatch.setattr(sys, "argv", ["flaxmark", *arguments])
        with pytest.raises(SystemExit) as end:
            main.main()
        assert end.value.code == 0
        text = capsys.readouterr().out
        assert text.startswith("usage: flaxmark COMMAND")
        assert [line.split()[0] for line in text.splitlines() if line.startswith("  ")] == list(COMMANDS)


@pytest.mark.parametrize(("name", "hint"), [("trian", "mean train?"), ("xyz", "fit-detector"), ("", "is empty")])
def test_an_unknown_command(
    name: str, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["flaxmark", name])
    with pytest.raises(SystemExit) as end:
        main.main()
    assert end.value.code == 2
    assert hint in line_of(capsys)


def test_the_overview_loads_nothing_heavy() -> None:
    shown = "import sys; from flaxmark.cli.main import overview; overview(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, timeout=60, check=True)
    assert not {"numpy", "jax", "tyro", "tensorflow", "absl"} & set(done.stdout.split())


def scripts() -> dict[str, str]:
    """Each wrapper in scripts/ -> its command."""
    names = {"draw_faces": "draw", "fit_detector": "fit-detector"}
    return {p.stem: names.get(p.stem, p.stem) for p in (ROOT / "scripts").glob("*.py") if p.stem != "first_run"}


def test_every_command_has_its_script() -> None:
    assert set(scripts().values()) == set(COMMANDS)


@pytest.mark.parametrize(("script", "command"), sorted(scripts().items()))
def test_a_script_is_its_command(script: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(main, "run", lambda *call: calls.append(call))
    path = ROOT / "scripts" / f"{script}.py"
    monkeypatch.setattr(sys, "argv", [str(path), "--some", "flag"])
    runpy.run_path(str(path), run_name="__main__")
    assert calls == [(command, ["--some", "flag"])]


def test_all_doors_lead_to_the_same(environment: Environment) -> None:
    for script, name, arguments, status in (
        ("draw_faces", "draw", ["--out", "nowhere/sheet.jpg"], 2),
        ("pack", "pack", ["--help"], 0),
    ):
        found = set()
        for door, start in DOORS.items():
            line = [*start, *([f"scripts/{script}.py"] if door == "script" else [name]), *arguments]
            done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
            found.add((done.returncode, done.stdout, done.stderr))
        assert len(found) == 1
        assert found.pop()[0] == status


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"]])
def test_a_closed_pipe_ends_it_quietly(environment: Environment, arguments: list[str]) -> None:
    """As `flaxmark --help | head -1` does."""
    with subprocess.Popen([*DOORS["module"], *arguments], cwd=ROOT, env=environment, **PIPES) as process:  # type: ignore[call-overload]
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, said) == (128 + 13, "")


OWN_FILE = """
import sys
from flaxmark.cli.main import run_main
def write(arguments):
    with open(arguments[0], "w") as file:
        print(file.fileno(), sys.stderr.isatty(), file=file)
run_main(write, sys.argv[1:])
"""


def test_files_take_no_number_of_a_closed_standard_file(environment: Environment, tmp_path: Path) -> None:
    """Libraries would print into them; some schedulers start programs so."""
    line = shlex.join([*as_command(tmp_path, OWN_FILE), str(tmp_path / "out")]) + " <&- >&- 2>&-"
    assert subprocess.run(line, shell=True, env=environment, timeout=100).returncode == 0
    number, terminal = (tmp_path / "out").read_text().split()
    assert (int(number) > 2, terminal) == (True, "False")


SHOW = """
import json, os, sys
from flaxmark.cli.main import run_main
run_main(lambda arguments: print(json.dumps([os.getpid(), os.environ["GLIBC_TUNABLES"], arguments])), sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a matter of glibc")
@pytest.mark.parametrize("already", [None, "glibc.malloc.arena_max=4"])
def test_commands_start_themselves_with_huge_pages(already: str | None, tmp_path: Path) -> None:
    """In the same process and with the same arguments; what the user has set stays."""
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    if already:
        environment["GLIBC_TUNABLES"] = already
    line = [*as_command(tmp_path, SHOW), "--name", "two words"]
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True) as process:
        output, _ = process.communicate()
    assert json.loads(output) == [process.pid, already or HUGE_PAGES, ["--name", "two words"]]


@pytest.mark.parametrize(
    ("arguments", "about"),
    [
        (["a.png", "--workdir", ""], "--workdir: "),
        (["a.png", "--max-megapixels="], "--max-megapixels: "),
        (["a.png", ""], "the argument after a.png "),
        ([""], "the first argument "),
    ],
)
def test_an_unset_variable_does_not_pass_for_a_flag_left_out(
    arguments: list[str], about: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        main._refuse_empty(arguments)
    assert explain(caught.value) == 2
    assert line_of(capsys).startswith(f"error: {about}is empty")


def test_an_empty_argument_ends_a_command(environment: Environment) -> None:
    done = run_command(environment, "predict", "a.png", "--workdir", "")
    assert done.returncode == 2
    assert done.stderr == "error: --workdir: is empty; is a variable of the shell not set?\n"


LOSS = """
import dataclasses
from flaxmark.models.losses import MAE

@dataclasses.dataclass(frozen=True)
class Scaled(MAE):
    name = "scaled"
    factor: float = 2.0
"""


def test_extensions_are_loaded_before_flags_are_parsed(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(LOSS)
    line = command_line("train", "--loss.name", "scaled", "--help")
    for name, status, text in (("mine.py", 0, "--loss.factor"), ("other.py", 2, "error: FLAXMARK_EXTENSIONS")):
        own = environment | {"FLAXMARK_EXTENSIONS": str(tmp_path / name)}
        done = subprocess.run(line, cwd=ROOT, env=own, capture_output=True, text=True, timeout=100)
        assert done.returncode == status, done.stderr
        assert text in done.stdout + done.stderr
