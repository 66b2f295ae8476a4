"""Errors of a stage: one line on stderr, and exit code 1."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.core.stages import environment, finished, names, script


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
    assert "a file is where a folder is needed" in done.stderr


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
