"""The examples of docs/guide/extend.md, run as they stand there: each trains, and is found in help and report."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide" / "extend.md"


def examples() -> dict[str, str]:
    """File name -> program, of every Python block of the guide."""
    blocks = re.findall(r"^```python\n# (\S+)\n(.*?)^```", GUIDE.read_text(encoding="utf-8"), re.M | re.S)
    return dict(blocks)


def test_the_guide_has_an_example_of_each_kind() -> None:
    assert list(examples()) == ["huber.py", "convnet.py", "soft_argmax.py", "face_list.py", "solarize.py"]
