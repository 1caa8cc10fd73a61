"""flaxmark train --distributed as clusters start it: one process is preempted or dies, the run goes on elsewhere."""

import signal
import subprocess
import time
from pathlib import Path

import pytest
from helpers.commands import ROOT, Environment
from helpers.ports import free_port
from helpers.runs import LINE, finish, metric_lines, start, steps, wait

pytestmark = pytest.mark.torture


def slurm(process: int, processes: int, port: int) -> Environment:
    return {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": str(processes),
        "SLURM_PROCID": str(process),
        "SLURM_LOCALID": str(process),
        "JAX_COORDINATOR_PORT": str(port),
    }


def open_mpi(process: int, processes: int, port: int) -> Environment:
    return {
        "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://127.0.0.1:34911",
        "OMPI_COMM_WORLD_SIZE": str(processes),
        "OMPI_COMM_WORLD_RANK": str(process),
        "OMPI_COMM_WORLD_LOCAL_RANK": str(process),
        "JAX_COORDINATOR_PORT": str(port),
    }


def by_hand(process: int, processes: int, port: int) -> Environment:
    """As an indexed Job of Kubernetes sets it."""
    return {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",  # in every pod; JAX asks for the package `kubernetes`, needlessly here
        "JAX_COORDINATOR_ADDRESS": f"localhost:{port}",
        "JAX_NUM_PROCESSES": str(processes),
        "JAX_PROCESS_ID": str(process),
    }


CLUSTERS = {"slurm": slurm, "open_mpi": open_mpi, "by_hand": by_hand}


def start_all(environment: Environment, workdir: Path, cluster: str, processes: int) -> list[subprocess.Popen[str]]:
    port, line = free_port(), [*LINE, "--distributed", "--workdir", str(workdir)]
    return [
        subprocess.Popen(
            line,
            cwd=ROOT,
            env=environment | CLUSTERS[cluster](process, processes, port),
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for process in range(processes)
    ]


def losses(workdir: Path) -> list[float]:
    return [line["loss"] for line in metric_lines(workdir) if line["kind"] == "train"]


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_every_cluster_is_found(environment: Environment, tmp_path: Path, cluster: str) -> None:
    for process in start_all(environment, tmp_path / "two", cluster, 2):
        finish(process)
    finish(start(environment, tmp_path / "one"))
    assert losses(tmp_path / "two")[:2] == pytest.approx(losses(tmp_path / "one")[:2], rel=1e-4)
    assert len(losses(tmp_path / "two")) == 12
    names = [{path.name for path in (tmp_path / run).iterdir()} for run in ("one", "two")]
    assert names[0] == names[1]


def test_one_is_told_to_stop_and_both_save(environment: Environment, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    processes = start_all(environment, workdir, "slurm", 2)
    assert wait(processes[0], lambda: steps(workdir) >= 2)
    processes[1].send_signal(signal.SIGTERM)
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [75, 75], said
    assert all("the same command resumes" in text for text in said)
    before = steps(workdir)
    assert before < 12
    finish(start(environment, workdir))  # one process goes on with what two have begun
    assert steps(workdir) == 12


@pytest.mark.parametrize("victim", [0, 1])
def test_one_is_killed_and_the_other_ends(environment: Environment, tmp_path: Path, victim: int) -> None:
    workdir = tmp_path / "run"
    processes = start_all(environment, workdir, "slurm", 2)
    assert wait(processes[0], lambda: steps(workdir) >= 4)
    processes[victim].kill()
    since = time.monotonic()
    _, said = processes[1 - victim].communicate(timeout=60)
    print(f"the other one ended after {time.monotonic() - since:.0f} s")
    assert processes[1 - victim].returncode not in (0, None)
    assert "another task died" in said or "error: " in said
    processes[victim].communicate()
    for process in start_all(environment, workdir, "slurm", 4 if victim else 1):
        finish(process)
    assert steps(workdir) == 12
    assert (workdir / "result.json").exists()
