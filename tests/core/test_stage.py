"""``stage``: what DVC does not guard. Real processes, real DVC, in workspaces of their own."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from bitsandbytes.backends.cpu import ops

from tasks.core.errors import TunesmithError
from tasks.core.stage import Stage, quieten_bitsandbytes
from tests.core.stages import ROOT, finished, names, repro, script


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


def test_bitsandbytes_suggests_no_download_in_the_log() -> None:
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
