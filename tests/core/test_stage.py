"""``stage``: what DVC does not guard. Real processes, real DVC, in workspaces of their own."""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from bitsandbytes.backends.cpu import ops

from tasks.core.errors import TunesmithError
from tasks.core.stage import PARENT_VARIABLE, Stage, quieten_bitsandbytes

ROOT = Path(__file__).parents[2]

WORK = """
import os, sys, time
from pathlib import Path
from tasks.core.stage import main

def work(stage):
    with stage.outputs(Path("out/a"), Path("out/b")) as (a, b):
        a.write_text("new")
        b.mkdir()
        (b / "file").write_text("new")
{body}

main({address!r}, work)
"""
WAIT = """
        Path("started").write_text(str(os.getpid()))
        while True:
            time.sleep(0.05)
"""


def environment(**more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    kept = {key: value for key, value in os.environ.items() if key != PARENT_VARIABLE}
    return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), **more}


def script(root: Path, body: str = "", address: str = "work") -> list[str]:
    """A command that runs ``body`` (indented by 8) inside the outputs ``out/a`` and ``out/b`` of a stage."""
    (root / "work.py").write_text(WORK.format(body=body, address=address))
    return [sys.executable, "work.py"]


def finished(command: list[str], root: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=root, env=environment(**more), capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command, waits until its stage has written its temporary outputs, and ends it after the test."""
    running: list[subprocess.Popen[str]] = []

    def start(command: list[str], ignore_sigint: bool = False, **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignore_sigint else None,
        )
        running.append(process)
        wait_for(lambda: (tmp_path / "started").exists() and (tmp_path / "started").read_text() != "")
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


# outputs


def test_outputs_are_put_in_their_places_together(tmp_path: Path) -> None:
    done = finished(script(tmp_path), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert names(tmp_path / "out") == ["a", "b"]
    assert (tmp_path / "out/b/file").read_text() == "new"


def test_an_error_leaves_old_outputs_and_nothing_temporary(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a").write_text("old")
    with pytest.raises(ValueError, match="stop"), Stage("s", tmp_path).outputs(tmp_path / "out/a") as (path,):
        path.write_text("new")
        raise ValueError("stop")
    assert names(tmp_path / "out") == ["a"]
    assert (tmp_path / "out/a").read_text() == "old"


def test_inputs_that_are_code_are_no_data_inputs(tmp_path: Path) -> None:
    stage = Stage("s", tmp_path, {"tasks/core/files.py": "1", "data/x": "2", "params/p.yaml: a": "3"})
    assert stage.data_inputs() == {"data/x": "2", "params/p.yaml: a": "3"}


# DVC

DVC_YAML = """
stages:
  work:
    cmd: python work.py
    deps: [folder, input.txt, work.py]
    params:
      - p.yaml: [used]
    outs: [out/a, out/b]
"""


@pytest.fixture(scope="session")
def initialised(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dvc")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    return root


@pytest.fixture
def workspace(initialised: Path, tmp_path: Path) -> Path:
    shutil.copytree(initialised, tmp_path, dirs_exist_ok=True)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    (tmp_path / "p.yaml").write_text("used: {a: 1, b: [x, 2e-3]}\nunused: 1\n")
    (tmp_path / "input.txt").write_text("one")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/x").write_text("x")
    script(tmp_path)
    return tmp_path


def repro(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return finished([sys.executable, "-m", "dvc", "repro", *arguments], root)


def test_a_stage_whose_inputs_stay_is_built_and_then_cached(workspace: Path) -> None:
    script(workspace, body='        Path("p.yaml").write_text("unused: 2\\nused: {b: [x, 0.002], a: 1}\\n")\n')
    done = repro(workspace)
    assert done.returncode == 0, done.stderr
    assert (workspace / "out/a").read_text() == "new"
    assert "didn't change, skipping" in repro(workspace).stdout


def write(name: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(text)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (write("input.txt", "two"), "input.txt"),
        (lambda root: (root / "input.txt").unlink(), "input.txt"),
        (write("folder/y", ""), "folder"),
        (write("p.yaml", "used: {a: 1, b: [x, 3e-3]}"), "p.yaml: used"),
        (write("p.yaml", "unused: 1"), "p.yaml: used"),
        (lambda root: (write("input.txt", "two")(root), write("folder/x", "")(root)), "folder, input.txt"),
    ],
)
def test_a_stage_whose_input_changes_while_it_runs_fails_and_names_it(
    workspace: Path, change: Callable[[Path], object], named: str
) -> None:
    stage = Stage.start("work", workspace)
    assert set(stage.inputs) == {"folder", "input.txt", "work.py", "p.yaml: used"}
    with pytest.raises(TunesmithError) as caught, stage.outputs(workspace / "out/a") as (path,):
        path.write_text("new")
        change(workspace)
    assert str(caught.value) == (
        f"work: inputs must not change while a stage runs; changed: {named}. "
        "Its outputs were discarded; run again to build them from the new inputs"
    )
    assert names(workspace / "out") == []


def test_dvc_repro_fails_too_and_records_nothing_and_the_next_run_is_whole(workspace: Path) -> None:
    script(workspace, body='        Path("input.txt").write_text("two")\n')
    done = repro(workspace)
    assert done.returncode != 0
    assert "changed: input.txt. Its outputs were discarded" in done.stderr
    assert names(workspace / "out") in ([], [".gitignore"])
    assert not (workspace / "dvc.lock").exists()
    assert repro(workspace).returncode == 0, "the same text written again is no change"
    assert (workspace / "out/a").read_text() == "new"


def test_a_stage_that_dvc_yaml_does_not_have_is_named(workspace: Path) -> None:
    done = finished(script(workspace, address="nosuch"), workspace)
    assert done.returncode == 1
    assert done.stderr.startswith("nosuch: error: dvc.yaml: nosuch: ")
    assert len(done.stderr.splitlines()) == 1


# errors


def test_each_problem_is_one_line_on_stderr_and_the_exit_code_is_1(tmp_path: Path) -> None:
    body = (
        "        from tasks.core.errors import TunesmithError\n"
        '        raise TunesmithError("f: a: wrong\\nf: b: wrong")\n'
    )
    done = finished(script(tmp_path, body), tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "work: error: f: a: wrong\nwork: error: f: b: wrong\n"
    assert names(tmp_path / "out") == []


def test_an_error_of_the_code_keeps_its_traceback(tmp_path: Path) -> None:
    done = finished(script(tmp_path, "        {}['x']\n"), tmp_path)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError: 'x'" in done.stderr


@pytest.mark.parametrize("in_the_way", ["out", "out/a/deeper"])
def test_a_file_where_a_folder_is_needed_is_one_line(tmp_path: Path, in_the_way: str) -> None:
    if in_the_way == "out":
        (tmp_path / "out").write_text("a file")
        command = script(tmp_path)
    else:
        command = script(tmp_path, '        (a / "deeper").mkdir()\n')
    done = finished(command, tmp_path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("work: error: ")
    assert "a file stands where a folder is needed" in done.stderr


def test_a_folder_that_is_not_writable_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o555)
    # Root may write anywhere as long as it has this capability.
    drop = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.geteuid() == 0 else []
    done = finished([*drop, *script(tmp_path)], tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "not accessible (Permission denied); give this user access" in done.stderr


def test_a_disk_that_takes_no_more_is_one_line(tmp_path: Path) -> None:
    """/dev/full answers every write with ENOSPC, as a full disk does.

    It is opened by descriptor, without O_CREAT: a library that is given its *name* may delete it after the error.
    """
    assert Path("/dev/full").is_char_device()
    done = finished(script(tmp_path, '        os.write(os.open("/dev/full", os.O_WRONLY), b"x")\n'), tmp_path)
    assert done.returncode == 1
    assert done.stderr == "work: error: workspace: the disk is full; free space (`tunesmith clean`, `dvc gc -w`)\n"
    assert names(tmp_path / "out") == []


def test_weights_that_a_disk_does_not_take_are_one_line(tmp_path: Path) -> None:
    """safetensors raises no OSError; its message quotes the number that the system gave."""
    body = """
        import resource, signal, numpy, safetensors.numpy
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        a.unlink()
        a.mkdir()
        safetensors.numpy.save_file({"w": numpy.zeros(100_000)}, a / "model.safetensors")
"""
    done = finished(script(tmp_path, body), tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
    assert "work: error: weights: the file is larger than this user or this disk may have it" in done.stderr
    assert names(tmp_path / "out") == []


PARQUET = """
        import pyarrow as pa, pyarrow.parquet as pq
        a.unlink()
        pq.write_table(pa.table({"x": [str(i) for i in range(100_000)]}), a)
"""


@pytest.mark.parametrize("body", ["        a.write_bytes(bytes(1_000_000))\n", PARQUET])
def test_a_file_over_the_limit_of_this_user_is_one_line(tmp_path: Path, body: str) -> None:
    command = script(tmp_path, body)
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        "work: error: workspace: the file is larger than this user or this disk may have it ("
    )
    assert done.stderr.endswith("); see `ulimit -f`\n")
    assert len(done.stderr.splitlines()) == 1
    assert names(tmp_path / "out") == []


# signals

Started = Callable[..., subprocess.Popen[str]]


def test_sigterm_leaves_nothing_temporary(tmp_path: Path, started: Started) -> None:
    process = started(script(tmp_path, WAIT))
    assert len(names(tmp_path / "out")) == 2, "the temporaries"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 143
    assert process.stderr is not None
    assert process.stderr.read() == "work: error: ended by SIGTERM; nothing half-written was left\n"
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize("ignore_sigint", [False, True])
def test_sigint_leaves_nothing_temporary_even_where_the_parent_ignored_it(
    tmp_path: Path, started: Started, ignore_sigint: bool
) -> None:
    process = started(script(tmp_path, WAIT), ignore_sigint=ignore_sigint)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) == 130
    assert process.stderr is not None
    assert process.stderr.read() == "work: interrupted; nothing half-written was left\n"
    assert names(tmp_path / "out") == []


def test_what_a_killed_stage_left_is_removed_by_the_next_run(tmp_path: Path, started: Started) -> None:
    process = started(script(tmp_path, WAIT))
    process.kill()
    process.wait()
    assert len(names(tmp_path / "out")) == 2
    assert finished(script(tmp_path), tmp_path).returncode == 0
    assert names(tmp_path / "out") == ["a", "b"]


def test_a_stage_ends_with_the_flow_that_started_it(tmp_path: Path, started: Started) -> None:
    flow = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        process = started(script(tmp_path, WAIT), **{PARENT_VARIABLE: str(flow.pid)})
        assert process.poll() is None
    finally:
        flow.kill()
        flow.wait()
    assert process.wait(timeout=10) == 143
    assert names(tmp_path / "out") == []


def test_a_stage_whose_flow_is_gone_already_does_nothing(tmp_path: Path) -> None:
    flow = subprocess.Popen([sys.executable, "-c", ""])
    flow.wait()
    done = finished(script(tmp_path), tmp_path, **{PARENT_VARIABLE: str(flow.pid)})
    assert done.returncode == 143
    assert names(tmp_path / "out") == []


@pytest.mark.slow
def test_a_stage_whose_dvc_is_killed_ends_itself(workspace: Path, started: Started) -> None:
    script(workspace, WAIT)
    dvc = started([sys.executable, "-m", "dvc", "repro"])
    stage = psutil.Process(int((workspace / "started").read_text()))
    assert dvc.pid in {parent.pid for parent in stage.parents()}
    dvc.kill()
    dvc.wait()
    wait_for(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE, seconds=5)
    assert [name for name in names(workspace / "out") if name != ".gitignore"] == []


def test_bitsandbytes_asks_for_no_download_in_the_log() -> None:
    """By the name of its logger, which another version may change."""
    quieten_bitsandbytes()
    assert not ops.logger.isEnabledFor(logging.WARNING)


def test_a_training_quietens_bitsandbytes_before_it_is_imported(tmp_path: Path) -> None:
    """It warns as it is imported, on some processors only, so the test looks at the level at that moment."""
    code = """
import importlib.abc, logging, runpy, sys
class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "bitsandbytes":
            print("level", logging.getLogger("bitsandbytes.backends.cpu.ops").level)
sys.meta_path.insert(0, Watch())
sys.argv = ["", "none"]
runpy.run_module("tasks.train", run_name="__main__")
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert "level 40" in done.stdout.splitlines(), done.stderr
