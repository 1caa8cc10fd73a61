"""Home folders: `~` in paths, and users without one."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from helpers.commands import ROOT, as_command

from flaxmark.config.files import find_config
from flaxmark.data.config import DataConfig
from flaxmark.data.prepare.sources import find_data_dir
from flaxmark.errors import CheckpointError, ConfigError, ImageError
from flaxmark.storage.remote import local_workdir
from flaxmark.system.files import _temporary_cache, cache_dir, user_path

NOBODY = """
import pwd, sys
def getpwuid(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")
pwd.getpwuid = getpwuid
"""


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user without a home folder or an entry in passwd; the folder for temporary files."""
    pwd = pytest.importorskip("pwd")

    def getpwuid(number: int) -> None:
        raise KeyError(number)

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _temporary_cache.cache_clear()
    return tmp_path


def test_the_cache_of_a_user_without_a_home_is_temporary_and_private(nobody: Path) -> None:
    found = cache_dir()
    assert found.parent == nobody
    assert found.stat().st_mode & 0o077 == 0
    assert cache_dir() == found
    _temporary_cache.cache_clear()
    assert cache_dir() == found  # of the next process
    found.chmod(0o777)  # whose would its files be?
    _temporary_cache.cache_clear()
    assert cache_dir() != found
    assert cache_dir().parent == nobody


def test_the_cache_is_temporary_where_the_home_is_none(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nobody / "file").touch()
    for home in ("not/absolute", "", str(nobody / "file")):
        monkeypatch.setenv("HOME", home)
        if home:
            monkeypatch.setattr(os, "access", lambda path, mode: False)  # as for anyone but root
        assert cache_dir().parent == nobody


def test_variables_choose_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "new"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_dir() == tmp_path / "new" / ".cache" / "flaxmark"
    monkeypatch.setenv("XDG_CACHE_HOME", "~/other")
    assert cache_dir() == tmp_path / "new" / "other" / "flaxmark"


def test_a_tilde_is_the_home_folder_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.py").touch()
    assert user_path("~/a") == local_workdir("~/a") == local_workdir(Path("~/a")) == tmp_path / "a"
    assert user_path("a~") == Path("a~")
    assert find_config("~/mine.py") == tmp_path / "mine.py"
    assert find_data_dir(DataConfig(name="pts", dir="~")) == tmp_path
    from flaxmark import Predictor, predict

    with pytest.raises(ImageError) as image:
        predict("~/a.jpg", "image")
    assert image.value.file == tmp_path / "a.jpg"
    for load in (lambda: Predictor("~/run"), lambda: predict("~/a.jpg", checkpoint="~/run")):
        with pytest.raises(CheckpointError) as checkpoint:
            load()
        assert str(checkpoint.value.file) == str(tmp_path / "run")


def test_a_tilde_without_a_home_is_refused(nobody: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        user_path("~/runs/x")
    assert caught.value.value == "~/runs/x"


@pytest.mark.parametrize("home", ["home", None])
def test_commands_of_a_user_in_a_container(home: str | None, tmp_path: Path) -> None:
    """`--out=~/x.png` is expanded, and what needs a cache works without a home folder."""
    pytest.importorskip("pwd")
    kept = {name: os.environ[name] for name in ("PATH",)}
    environment = kept | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    if home:
        (tmp_path / home).mkdir()
        environment["HOME"] = str(tmp_path / home)
    code = NOBODY + "from flaxmark.cli.main import main\nmain()"
    arguments = ["draw", "--out=~/x.png" if home else "--out=x.png"]
    line = [*as_command(tmp_path, code), *arguments]
    done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / (home or "") / "x.png").is_file()
    assert not (tmp_path / "~").exists()
    if home is None:
        line = [sys.executable, "-c", code, "draw", "--out=~/x/y.png"]
        done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100)
        assert (done.returncode, done.stderr.split()[:3]) == (2, ["error:", "--out", "~/x/y.png:"])
        image = str(tmp_path / "x.png")
        line = [sys.executable, "-c", code, "predict", image, "--crop"]
        done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        assert '"landmarks"' in done.stdout
