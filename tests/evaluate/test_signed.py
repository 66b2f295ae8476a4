"""A registered model is signed when it becomes a version, and verified before it generates."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flows.commands.explain import explain_model, model_lines
from flows.commands.predict import predict_text
from flows.commands.registered import registered_model
from flows.commands.sign import sign_version
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.model.signatures import SIGNATURE, SIGNING_KEY, VERIFYING_KEY
from tasks.tracking.client import VARIABLE
from tests.evaluate.evaluated_workspace import register
from tests.model.keys import make_keys

CHAMPION = "models:/tunesmith@champion"


def silent(line: str) -> None:
    """Nobody reads it."""


def answer(paths: Paths) -> str:
    return predict_text(paths.root, [CHAMPION], "hello", None, silent, silent)[CHAMPION]


def test_a_version_is_signed_and_a_changed_setting_is_refused(
    evaluated: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_keys(tmp_path, "own")
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv(SIGNING_KEY, str(private))
    paths = register(Paths(Path(shutil.copytree(evaluated.root, tmp_path / "workspace"))))
    write_yaml(paths.params / "registration.yaml", {"registration": {}})
    unverified = answer(paths)
    monkeypatch.setenv(VERIFYING_KEY, str(public))
    assert answer(paths) == unverified
    lines = model_lines(explain_model(paths.root, None))
    assert any(line.startswith("  weights: ") and "; signed" in line for line in lines)
    with registered_model(paths, CHAMPION, silent) as folder:
        assert "model-signing==" in (folder / "requirements.txt").read_text()
    settings = files.read_json(folder / "inference.json")
    files.write_json(folder / "inference.json", settings | {"experiment": "renamed"})
    with pytest.raises(TunesmithError, match=r"must be signed by the key .*; changed since: inference.json; restore"):
        answer(paths)
    files.write_json(folder / "inference.json", settings)
    (folder / SIGNATURE).unlink()
    with pytest.raises(TunesmithError, match="it has no signature; the owner of the key runs `tunesmith sign VERSION`"):
        answer(paths)
    assert sign_version(paths.root, "lora") == "models:/tunesmith/1"
    assert answer(paths) == unverified
    weights = next(folder.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(TunesmithError, match="a model is signed only if its weights are those that were evaluated"):
        sign_version(paths.root, "1")
    monkeypatch.delenv(SIGNING_KEY)
    with pytest.raises(TunesmithError, match="sign: the environment variable TUNESMITH_SIGNING_KEY must name"):
        sign_version(paths.root, "1")
