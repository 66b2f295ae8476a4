"""Signatures of registered models: what is signed, what is refused, and what is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.core.errors import TunesmithError
from tasks.model.registered import files_hash
from tasks.model.signatures import PASSWORD, SIGNATURE, SIGNING_KEY, VERIFYING_KEY, sign, signing_key, verify
from tests.model.keys import make_keys


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signed model of three files; both keys are configured."""
    private, public = make_keys(tmp_path, "own")
    monkeypatch.setenv(SIGNING_KEY, str(private))
    monkeypatch.setenv(VERIFYING_KEY, str(public))
    folder = tmp_path / "model"
    (folder / "code/__pycache__").mkdir(parents=True)
    for name in ("MLmodel", "adapter.safetensors", "code/load.py", "code/__pycache__/load.pyc"):
        (folder / name).write_text(name)
    assert sign(folder) == folder / SIGNATURE
    return folder


def test_a_signed_model_is_accepted_also_after_python_and_mlflow_wrote_files(model: Path) -> None:
    verify(model)
    (model / "registered_model_meta").write_text("version: 1")
    (model / "code/__pycache__/load.pyc").write_text("compiled anew")
    verify(model)
    sign(model)
    verify(model)


def test_every_changed_file_is_named(model: Path) -> None:
    (model / "adapter.safetensors").write_text("another adapter")
    (model / "code/load.py").write_text("import os")
    with pytest.raises(TunesmithError, match=r"signed ones: adapter.safetensors, code/load.py; restore"):
        verify(model)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda model: (model / SIGNATURE).unlink(), "it has no signature; the owner of the key runs `tunesmith sign"),
        (lambda model: (model / SIGNATURE).write_text("{}"), "verificationMaterial"),
        (lambda model: (model / "code/load.py").unlink(), "code/load.py"),
    ],
)
def test_a_lost_or_damaged_signature_or_file_is_refused(model: Path, damage: object, reason: str) -> None:
    assert callable(damage)
    damage(model)
    with pytest.raises(TunesmithError, match=reason):
        verify(model)


def test_an_added_file_is_refused_and_named(model: Path) -> None:
    (model / "code/torch.py").write_text("import os")
    with pytest.raises(TunesmithError, match=r"differ from the signed ones: code/torch.py; restore"):
        verify(model)


def test_the_signed_folder_of_another_version_is_refused(model: Path) -> None:
    verify(model, files_hash(model))
    with pytest.raises(TunesmithError, match="the version's weights must have sha256 000000000000; they have"):
        verify(model, "0" * 64)


def test_another_key_is_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VERIFYING_KEY, str(make_keys(tmp_path, "other")[1]))
    with pytest.raises(TunesmithError, match="Key mismatch"):
        verify(model)


def test_without_a_public_key_nothing_is_verified(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (model / SIGNATURE).unlink()
    monkeypatch.delenv(VERIFYING_KEY)
    verify(model)


def test_a_key_with_a_password_and_a_wrong_one(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private, public = make_keys(tmp_path, "locked", "secret")
    monkeypatch.setenv(SIGNING_KEY, str(private))
    monkeypatch.setenv(VERIFYING_KEY, str(public))
    for password in ("", "wrong"):
        monkeypatch.setenv(PASSWORD, password)
        with pytest.raises(TunesmithError, match=f"{SIGNING_KEY}: .* must be a private key on an elliptic curve"):
            sign(model)
    monkeypatch.setenv(PASSWORD, "secret")
    sign(model)
    verify(model)


def test_a_key_that_is_missing_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SIGNING_KEY, "/no/such.pem")
    with pytest.raises(
        TunesmithError, match=r"SIGNING_KEY: must name an existing PEM file; there is no file /no/such.pem"
    ):
        signing_key()
    monkeypatch.delenv(SIGNING_KEY)
    assert signing_key() is None
