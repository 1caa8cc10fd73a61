"""What comes with the code: the lock file, its bill of materials, the container file."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers.commands import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
LOCKED = {canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.M)}


@pytest.mark.parametrize("text", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"])
def test_what_is_asked_for_is_locked(text: str) -> None:
    wanted = Requirement(text)
    if wanted.name == PROJECT["name"]:  # a bundle of its own extras
        assert wanted.extras <= PROJECT["optional-dependencies"].keys()
        return
    if wanted.marker is None or wanted.marker.evaluate({"platform_system": "Linux", "sys_platform": "linux"}):
        assert wanted.specifier.contains(LOCKED[canonicalize_name(wanted.name)])


def test_everything_locked_has_hashes() -> None:
    entries = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.M)[1:]
    assert len(entries) == len(LOCKED) > 50
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_bill_of_materials_is_of_the_lock() -> None:
    bill = json.loads((ROOT / "docs" / "sbom.cdx.json").read_text())
    assert {canonicalize_name(part["name"]): part["version"] for part in bill["components"]} == LOCKED


def test_the_container_file_is_sound() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
