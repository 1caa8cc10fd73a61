"""The wheel, installed in fresh environments in another folder: prediction from it alone, the rest with extras.

The environments borrow the packages of this one, but only those that the wheel's metadata asks for: no network.
"""

import json
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from helpers.commands import ROOT
from packaging.requirements import Requirement
from PIL import Image

from flaxmark.data.drawn import draw_face

BORROW = '''
"""Borrows an environment's packages, but for those that may not be used: they cannot be found."""
import sys
from importlib.machinery import PathFinder

BLOCKED, find = {blocked!r}, PathFinder.find_spec


def find_spec(name, path=None, target=None):
    return None if name.split(".")[0] in BLOCKED else find(name, path, target)


PathFinder.find_spec = find_spec
sys.path.append({packages!r})
'''
TINY = [
    "--data.drawn-train", "24", "--data.drawn-validation", "8", "--data.drawn-size", "64", "--data.image-size", "64",
    "--train.epochs", "1", "--train.batch-size", "12", "--train.eval-batch-size", "8",
]  # fmt: skip


def key(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wanted(requirements: list[str], extra: str = "") -> set[str]:
    """Distributions of this environment that requirements lead to, directly or through others."""
    found: set[str] = set()
    todo = [(Requirement(text), extra) for text in requirements]
    while todo:
        requirement, extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        for own in ["", *requirement.extras]:
            if (name := f"{key(requirement.name)}[{own}]") not in found:
                found.add(name)
                try:
                    others = metadata.requires(requirement.name) or []
                except metadata.PackageNotFoundError:
                    others = []
                todo += [(Requirement(text), own) for text in others]
    return {name.split("[")[0] for name in found}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the checkout: a build leaves files in its folder."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "flaxmark", "configs", "pyproject.toml", "setup.py", "README.md", "LICENSE"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in listed:
        if (ROOT / name).exists():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "source" / name).write_bytes((ROOT / name).read_bytes())
    line = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    environment = {"FLAXMARK_REPOSITORY": "https://example.org/faces", "PATH": "/usr/bin:/bin"}
    subprocess.run([*line, "--wheel-dir", str(folder), str(folder / "source")], check=True, env=environment)
    (path,) = folder.glob("*.whl")
    return path


def install(wheel: Path, folder: Path, extra: str) -> Path:
    """A fresh environment with the wheel; its Python."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    line = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*line, str(wheel)], check=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    about = metadata.Distribution.at(next(packages.glob("flaxmark-*.dist-info")))
    allowed = wanted(about.requires or [], extra)
    blocked = {
        module
        for module, names in metadata.packages_distributions().items()
        if not {key(name) for name in names} & allowed
    }
    borrowed = BORROW.format(blocked=blocked - {"flaxmark"}, packages=sysconfig.get_path("purelib"))
    (packages / "borrowed.py").write_text(borrowed)
    (packages / "borrowed.pth").write_text("import borrowed\n")
    return python


def run(python: Path, folder: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [str(python.parent / arguments[0]), *arguments[1:]]
    return subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


def test_prediction_needs_the_wheel_alone(wheel: Path, environment: dict[str, str], tmp_path: Path) -> None:
    python = install(wheel, tmp_path / "env", "")
    image, landmarks = draw_face(1, 256)
    Image.fromarray(image).save(tmp_path / "photo.jpg")
    done = run(python, tmp_path, environment, "flaxmark", "predict", "photo.jpg", "--draw", "drawn.png")
    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout)["faces"]
    assert abs(landmarks - face["landmarks"]).mean() < 8
    assert (tmp_path / "drawn.png").exists()
    code = "import flaxmark; (face,) = flaxmark.predict('photo.jpg'); print(face.landmarks.shape, flaxmark.__file__)"
    done = run(python, tmp_path, environment, "python", "-c", code)
    assert done.stdout.startswith("(68, 2)"), done.stderr
    assert str(tmp_path) in done.stdout
    done = run(python, tmp_path, environment, "flaxmark", "train", "--config", "quickstart", *TINY)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "flaxmark[train]" in done.stderr


def test_training_needs_its_extra(wheel: Path, environment: dict[str, str], tmp_path: Path) -> None:
    python = install(wheel, tmp_path / "env", "train")
    for line in (
        ("flaxmark", "train", "--config", "resnet18_mae", "--data.name", "drawn_faces", *TINY, "--workdir", "run"),
        ("flaxmark", "evaluate", "--workdir", "run"),
        ("python", "-m", "flaxmark", "export", "--workdir", "run", "--format", "savedmodel", "--out", "saved"),
        ("flaxmark", "export", "--workdir", "run", "--format", "stablehlo", "--out", "x.stablehlo"),
    ):
        done = run(python, tmp_path, environment, *line)
        assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "run" / "result.json").read_text())["config"]["loss"]["name"] == "mae"


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    line = ["git", "ls-files", "flaxmark"]
    listed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    with zipfile.ZipFile(wheel) as packed:
        assert not {name for name in listed if (ROOT / name).exists()} - set(packed.namelist())


def test_the_description_has_absolute_links(wheel: Path, tmp_path: Path) -> None:
    install(wheel, tmp_path / "env", "")
    (path,) = (tmp_path / "env").rglob("flaxmark-*.dist-info/METADATA")
    text = path.read_text(encoding="utf-8")
    assert "(https://example.org/faces/raw/main/docs/astronaut.jpg)" in text
    assert not re.search(r"\]\((?!https?://|#)", text)
    assert "Typing :: Typed" in text
