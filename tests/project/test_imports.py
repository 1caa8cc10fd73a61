"""Importing flaxmark is cheap, and the arrows between modules point one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOUNDATION = {"landmarks", "markups", "geometry", "config"}
# Module -> what it may import of ours, besides the foundation.
ALLOWED = {
    "landmarks": set(),
    "geometry": set(),
    "markups": {"landmarks"},
    "config": {"geometry", "landmarks", "markups"},
    "remote": {"metric_writer"},
    "workdir": {"metric_writer", "remote"},
    "storage": set(),
    "exit_status": set(),
    "interrupts": {"exit_status"},
    "sweep_progress": {"progress"},
    "config_rules": set(),
    "conv": set(),
    "batch_norm": {"conv"},
    "models": {"batch_norm", "conv"},
    "metrics": set(),
    "losses": {"models"},
    "optimizer": set(),
    "train_state": {"models"},
    "steps": {"losses", "models", "train_state"},
    "sharding": set(),
    "metric_writer": set(),
    "plotting": {"metrics"},
    "profiling": set(),
    "progress": set(),
    "recipes": set(),
    "command": {"exit_status"},
    "regions": {"sampler"},
    "augment": {"sampler"},
    "face_images": {"augment", "regions", "sampler"},
    "cores": set(),
    "feed": {"cores", "data", "face_images", "regions", "sharding"},
    "clock": {"progress"},
    "memory": {"cores", "face_images", "programs", "regions", "sharding", "train_state"},
    "chips": set(),
    "aot": {"chips", "face_images", "memory", "programs", "regions", "sharding"},
    "programs": {
        "conv",
        "face_images",
        "face_traits",
        "losses",
        "models",
        "optimizer",
        "sharding",
        "steps",
        "train_state",
    },
    "checksum": set(),
    "checkpoint": {"checksum", "models", "remote", "sharding", "train_state"},
    "face_traits": {"drawing"},
    "cell_processes": {"command", "cores", "exit_status", "metric_writer", "sweep_progress", "training"},
    "sweep": {"cell_processes", "config_rules", "data", "sweep_progress", "workdir"},
    "boxes": set(),
    "smoothing": set(),
    "tracking": {"boxes", "detection", "inference", "smoothing"},
    "video": {"inputs"},
    "inputs": {"data"},
    "drawings": {"command", "data", "face_writers", "inputs"},
    "api": {"boxes", "data", "detection", "inference", "remote"},
    "face_writers": {"inference", "inputs", "metric_writer"},
    "painting": set(),
    "web_demo": {"data", "face_writers", "inference", "painting"},
    "systems": {"boxes", "data", "inference", "sampler"},
    "compare": {"boxes", "data", "face_traits", "metrics", "progress", "systems"},
    "predict_files": {
        "boxes",
        "data",
        "face_writers",
        "inference",
        "inputs",
        "painting",
        "progress",
        "tracking",
        "video",
    },
    "detection": {"boxes"},
    "network": {
        "batch_norm",
        "checkpoint",
        "config_rules",
        "conv",
        "face_images",
        "face_score",
        "models",
        "packed",
        "sharding",
    },
    "face_score": set(),
    "packed": {"models"},
    "array_library": set(),
    "sampler": {"array_library"},
    "exported_crop": {"array_library", "sampler"},
    "onnx_graph": {"exported_crop", "models", "network"},
    "saved_model": {"data"},
    "agreement": {"drawing", "inference", "network"},
    "export": {"agreement", "conv", "exported_crop", "inference", "network", "onnx_graph", "saved_model"},
    "inference": {"boxes", "data", "detection", "network"},
}
ONLY_IMPORTERS = {
    "flax.linen": {"batch_norm", "models"},
    "orbax": {"checkpoint"},
    "matplotlib": {"plotting", "plots"},
    "tyro": {"command"},
    "tensorboardX": {"metric_writer"},
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def ours(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.startswith("flaxmark.")}


@pytest.mark.parametrize("module", sorted(ALLOWED))
def test_arrows(module: str) -> None:
    allowed = ALLOWED[module] | (set() if module in FOUNDATION else FOUNDATION)
    assert ours(ROOT / "flaxmark" / f"{module}.py") <= allowed


def test_drawing_stands_alone() -> None:
    for path in (ROOT / "flaxmark" / "drawing").glob("*.py"):
        assert ours(path) <= {"drawing", "landmarks", "geometry"}
        others = {name.split(".")[0] for name in imports(path)} - {"flaxmark"} - set(sys.stdlib_module_names)
        assert others <= {"numpy"}


def test_nothing_points_back_from_data() -> None:
    for path in (ROOT / "flaxmark" / "data").glob("*.py"):
        assert ours(path) <= {"cores", "data", "drawing", "progress", "regions", "storage"} | FOUNDATION


@pytest.mark.parametrize("library", sorted(ONLY_IMPORTERS))
def test_each_library_has_its_place(library: str) -> None:
    for path in (ROOT / "flaxmark").rglob("*.py"):
        used = any(name == library or name.startswith(f"{library}.") for name in imports(path))
        assert not used or path.stem in ONLY_IMPORTERS[library]


def test_tensorflow_stays_in_data() -> None:
    for path in (ROOT / "flaxmark").glob("*.py"):
        assert not any(name.startswith("tensorflow") for name in imports(path))


def test_importing_flaxmark_loads_neither_tensorflow_nor_a_device() -> None:
    code = (
        "import sys, flaxmark; assert 'jax' not in sys.modules; flaxmark.predict; "
        "assert 'tensorflow' not in sys.modules; "
        "from jax._src import xla_bridge; assert not xla_bridge._backends"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


def test_files_and_functions_are_short() -> None:
    for path in [*ROOT.glob("flaxmark/**/*.py"), *ROOT.glob("scripts/*.py"), *ROOT.glob("tests/*.py")]:
        source = path.read_text()
        assert len(source.splitlines()) <= 300, path
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                documented = len((ast.get_docstring(node) or "").splitlines())
                assert node.end_lineno - node.lineno + 1 - documented <= 60, f"{path}: {node.name}"
