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
from tasks.registry.registry import Registry
from tasks.tracking.client import VARIABLE, open_store
from tasks.tracking.sync import sync
from tests.evaluate.evaluated_workspace import register
from tests.model.keys import make_keys

CHAMPION = "models:/tunesmith@champion"


def silent(line: str) -> None:
    """Discard a line of progress."""


def completion(paths: Paths) -> str:
    return predict_text(paths.root, [CHAMPION], "hello", None, silent, silent)[CHAMPION]


def test_a_version_is_signed_and_a_changed_setting_is_refused(
    evaluated: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = make_keys(tmp_path, "own")
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv(SIGNING_KEY, str(private))
    paths = register(Paths(Path(shutil.copytree(evaluated.root, tmp_path / "workspace"))))
    write_yaml(paths.params / "registration.yaml", {"registration": {}})
    unverified = completion(paths)
    monkeypatch.setenv(VERIFYING_KEY, str(public))
    assert completion(paths) == unverified
    lines = model_lines(explain_model(paths.root, None))
    assert any(line.startswith("  weights: ") and "; signed" in line for line in lines)
    with registered_model(paths, CHAMPION, silent) as folder:
        assert "model-signing==" in (folder / "requirements.txt").read_text()
    settings = files.read_json(folder / "inference.json")
    files.write_json(folder / "inference.json", settings | {"experiment": "renamed"})
    with pytest.raises(TunesmithError, match=r"these files differ from the signed ones: inference.json; restore"):
        completion(paths)
    files.write_json(folder / "inference.json", settings)
    stored = files.read_json(paths.report("lora") / "inference.json")
    next(iter(stored["templates"].values()))["validation_loss_per_byte"] = 0.5
    files.write_json(paths.report("lora") / "inference.json", stored)
    runs = {result.run_id for result in sync(paths)}
    with pytest.raises(TunesmithError, match=r"differ from the signed ones: inference.json"):
        completion(paths)
    registry = Registry(open_store(paths.root), "tunesmith", "champion")
    registry.restore_serving(runs)
    assert completion(paths) == unverified
    signed_at = (folder / SIGNATURE).stat().st_mtime_ns
    registry.restore_serving(runs)
    assert (folder / SIGNATURE).stat().st_mtime_ns == signed_at, "an unchanged model keeps its signature"
    (folder / "MLmodel").unlink()
    registry.restore_serving(runs)
    assert completion(paths) == unverified, "new serving files are signed"
    (folder / SIGNATURE).unlink()
    with pytest.raises(TunesmithError, match="it has no signature; the owner of the key runs `tunesmith sign VERSION`"):
        completion(paths)
    assert sign_version(paths.root, "lora") == "models:/tunesmith/1"
    assert completion(paths) == unverified
    weights = next(folder.glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(TunesmithError, match=r"Tunesmith signs only evaluated weights \(sha256"):
        sign_version(paths.root, "1")
    monkeypatch.delenv(SIGNING_KEY)
    with pytest.raises(TunesmithError, match="sign: the environment variable TUNESMITH_SIGNING_KEY must name"):
        sign_version(paths.root, "1")
