"""The quickstart notebook runs as it stands."""

from pathlib import Path

import pytest
from helpers.commands import ROOT

pytest.importorskip("skimage")


# Jupyter's client and kernel leave sockets and event loops to the garbage collector.
@pytest.mark.filterwarnings("ignore")
def test_the_quickstart_notebook_runs(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbclient
    import nbformat

    for name, value in environment.items():
        if not name.startswith("PYTHON"):  # the kernel is not ours to warn about
            monkeypatch.setenv(name, value)
    notebook = nbformat.read(ROOT / "examples" / "quickstart.ipynb", as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert kinds.count("image/png") == 4  # two photographs, curves and test faces
    assert any("mean face" in output.get("data", {}).get("text/markdown", "") for output in outputs)
