"""Config files by name and by path, their parameters, and extensions."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import ROOT

from flaxmark.config import MAE, MSE, AugmentConfig, Config, Head, Loss, ModelConfig, SmoothL1
from flaxmark.config.checks import check_config
from flaxmark.config.files import extensions, find_config, load_config, load_extensions, named_extensions
from flaxmark.data.data_sets import find_data_set
from flaxmark.errors import ConfigError

CONFIGS = ROOT / "configs"
NAMES = sorted(path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.rglob("*.py"))

TAKES_BOTH = """
from flaxmark.config import Config
from flaxmark.config.recipes import strong

def get_config(depth=34, loss="mae"):
    return strong(depth, loss)
"""

HINGE = """
import dataclasses
from flaxmark.config import Loss, bounded

@dataclasses.dataclass(frozen=True)
class Hinge(Loss):
    name = "hinge_of_a_test"
    margin: float = bounded(0.1, "(0, 1]")
"""


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith("__init__")])
def test_every_shipped_config_has_a_name_and_holds_together(name: str) -> None:
    assert find_config(name).samefile(CONFIGS / f"{name}.py")
    assert find_config(f"configs/{name}.py").samefile(CONFIGS / f"{name}.py")
    check_config(load_config(name))


def test_a_file_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickstart").write_text(TAKES_BOTH)
    monkeypatch.chdir(tmp_path)
    assert find_config("quickstart") == Path("quickstart")


def test_depth_and_loss_reach_the_files_that_take_them(tmp_path: Path) -> None:
    (tmp_path / "both.py").write_text(TAKES_BOTH)
    both = load_config(tmp_path / "both.py")
    assert (both.model.variant, both.loss) == ("resnet34", MAE())
    other = load_config(tmp_path / "both.py", 152, "smooth_l1")
    assert (other.model.variant, other.loss) == ("resnet152", SmoothL1(beta=0.02))
    assert load_config(tmp_path / "both.py", loss=SmoothL1(beta=0.5)).loss == SmoothL1(beta=0.5)
    with pytest.raises(ConfigError):
        load_config(tmp_path / "both.py", loss="no_such_loss")


def test_table_takes_a_depth_and_quickstart_its_own() -> None:
    assert load_config("table", 152).model.variant == "resnet152"
    assert load_config("quickstart", 152, MSE()) == load_config("quickstart")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "def get_config(): return {}['x']",
        "def get_config(): return 3",
        "import nothing_like_this",
        "def (",
        "import sys; sys.exit()",
    ],
)  # fmt: skip
def test_a_file_that_is_no_config(text: str, tmp_path: Path) -> None:
    (tmp_path / "c.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "c.py")
    assert (caught.value.field, caught.value.value) == ("config", tmp_path / "c.py")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["", ".", "..", "/", "no_such_config", "../configs/x", "x\0y", "x" * 5000, "a.b.c"])
def test_a_name_without_a_config(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_config(name)
    assert caught.value.field == "config"


def test_a_missing_config_lists_its_neighbours(tmp_path: Path) -> None:
    (tmp_path / "near.py").write_text("")
    for path in (tmp_path / "far.py", tmp_path):
        with pytest.raises(ConfigError) as caught:
            find_config(path)
        assert "near.py" in caught.value.reason
    with pytest.raises(ConfigError) as caught:
        find_config("quickstrat")
    assert "quickstart" in caught.value.reason


def test_an_extension_adds_a_loss(tmp_path: Path) -> None:
    file = tmp_path / "hinge.py"
    file.write_text(HINGE)
    load_extensions([str(file)])
    try:
        assert Loss.member("hinge_of_a_test")().margin == 0.1  # type: ignore[attr-defined]
        assert str(file) in extensions()
        load_extensions(extensions())  # as another process does, or this one again
        assert extensions().count(str(file)) == 1
    finally:
        del Loss.members["hinge_of_a_test"]


def test_the_environment_names_extensions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLAXMARK_EXTENSIONS", raising=False)
    assert named_extensions() == []
    monkeypatch.setenv("FLAXMARK_EXTENSIONS", f"a.py:{tmp_path / 'b.py'}::own.losses")
    assert named_extensions() == ["a.py", str(tmp_path / "b.py"), "own.losses"]


def test_a_command_knows_the_losses_of_extensions(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "hinge.py").write_text(HINGE)
    code = (
        "from flaxmark.config.files import load_extensions, named_extensions; load_extensions(named_extensions()); "
        "from flaxmark.config import Config, Loss; from flaxmark.schema import from_dict, to_dict; "
        "print(from_dict({'loss': {'name': 'hinge_of_a_test', 'margin': 0.5}}, Config).loss.margin)"
    )
    own = environment | {"FLAXMARK_EXTENSIONS": str(tmp_path / "hinge.py")}
    done = subprocess.run([sys.executable, "-c", code], env=own, capture_output=True, text=True)
    assert done.stdout == "0.5\n", done.stderr


@pytest.mark.parametrize(
    "text", ["raise RuntimeError('first\\nsecond')", "import nothing_like_this", "def (", "import sys; sys.exit()"]
)
def test_an_extension_that_fails_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.py").write_text(text)
    for name in (str(tmp_path / "broken.py"), str(tmp_path / "missing.py"), "no_such_module_at_all"):
        with pytest.raises(ConfigError) as caught:
            load_extensions([name])
        assert (caught.value.field, caught.value.value) == ("FLAXMARK_EXTENSIONS", name)
        assert "\n" not in str(caught.value)


def test_a_config_file_may_define_its_own_loss(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(HINGE + "\n" + "from flaxmark.config import Config\n"
                                     "def get_config(): return Config(loss=Hinge(0.2))\n")  # fmt: skip
    try:
        config = load_config(tmp_path / "own.py")
        assert isinstance(config, Config)
        assert config.loss.title == "hinge_of_a_test (margin 0.2)"
        assert str(tmp_path / "own.py") in extensions()
    finally:
        del Loss.members["hinge_of_a_test"]


def test_a_missing_extension_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_extensions([str(tmp_path / "missing.py")])
    assert caught.value.reason == "no such file"


def test_an_extension_without_a_dataclass_is_named_and_forgotten(tmp_path: Path) -> None:
    for number, family in enumerate(("Loss", "ModelConfig", "Head", "AugmentConfig")):
        file = tmp_path / f"bare{number}.py"
        file.write_text(
            f"from flaxmark.config import {family}\nclass Bare({family}):\n    name = 'bare'\n    x: int = 3\n"
        )
        with pytest.raises(ConfigError) as caught:
            load_extensions([str(file)])
        assert (caught.value.field, caught.value.value) == ("FLAXMARK_EXTENSIONS", str(file))
        assert "Bare" in caught.value.reason
    assert all("bare" not in family.members for family in (Loss, ModelConfig, Head, AugmentConfig))


def test_an_unknown_name_points_to_extensions() -> None:
    for find in (Loss.member, find_data_set):
        with pytest.raises(ConfigError) as caught:
            find("of_an_extension")
        assert "FLAXMARK_EXTENSIONS" in caught.value.reason
