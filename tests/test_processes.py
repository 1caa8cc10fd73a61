"""Two processes give what one gives."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

PROGRAM = Path(__file__).parent / "one_of_many.py"


def start(process: int, processes: int, devices: int, port: int, folder: Path) -> subprocess.Popen:
    line = [sys.executable, str(PROGRAM), *map(str, (process, processes, devices, port)), str(folder)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_processes_equal_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    started = [start(0, 1, 4, port, tmp_path), start(0, 2, 2, port, tmp_path), start(1, 2, 2, port, tmp_path)]
    for process in started:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    alone = np.load(tmp_path / "0_of_1.npz")
    assert alone["losses"].shape == (4,)
    assert alone["landmarks"].shape == (22, 68, 2)  # 22 faces in batches of 8: the last one is padded
    for name in ("0_of_2.npz", "1_of_2.npz"):
        shared = np.load(tmp_path / name)
        for key in alone.files:
            np.testing.assert_allclose(shared[key], alone[key], rtol=1e-5, err_msg=f"{name}: {key}")
