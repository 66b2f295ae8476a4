"""Signatures of registered models, made and verified offline with the OpenSSF library ``model-signing``.

Two environment variables name keys on elliptic curves, as PEM files:

- ``TUNESMITH_SIGNING_KEY``: the private key, with which a model is signed when it is registered;
  ``TUNESMITH_SIGNING_PASSWORD`` is its password, if it has one;
- ``TUNESMITH_VERIFYING_KEY``: the public key. With it, no registered model is loaded without a valid signature.

A signature covers all files that the model has when it is signed: weights, templates, settings and code.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from tasks.core.errors import TunesmithError

SIGNATURE = "model.sig"
SIGNING_KEY, PASSWORD, VERIFYING_KEY = (
    f"TUNESMITH_{name}" for name in ("SIGNING_KEY", "SIGNING_PASSWORD", "VERIFYING_KEY")
)

PACKAGES = ("model-signing", "pyopenssl")

_REGISTERED = "MLmodel"
"""File that only registered models have."""


def signing_key() -> Path | None:
    """The private key; None if models are not signed.

    Raises:
        TunesmithError: there is no such file.
    """
    return _key(SIGNING_KEY)


def sign(folder: Path) -> Path:
    """Sign all files in ``folder`` with the private key; write the signature into it, and return its path.

    Raises:
        TunesmithError: the key cannot be used, or the library is missing.
    """
    key, signature = signing_key(), folder / SIGNATURE
    assert key is not None
    signing, hashing = _library("signing"), _library("hashing")
    # Python and MLflow write these beside the model.
    other = [path for name in ("__pycache__", "registered_model_meta") for path in folder.rglob(name)]
    paths = [path.relative_to(folder) for path in [signature, *other]]
    chosen = hashing.Config().set_ignored_paths(paths=paths, ignore_git_paths=False)
    password = os.environ.get(PASSWORD, "").encode() or None
    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=key, password=password)
        signer.set_hashing_config(chosen).sign(folder, signature)
    except (ValueError, TypeError, AttributeError) as error:
        raise TunesmithError(
            f"{SIGNING_KEY}: {key} must be a private key on an elliptic curve, as a PEM file, with its password in "
            f"{PASSWORD}; it cannot be used ({error}); `openssl ecparam -name prime256v1 -genkey -noout -out KEY` "
            "makes one"
        ) from None
    return signature


def verify(folder: Path) -> None:
    """Verify the signature of a registered model; do nothing without a public key, or for a model of the workspace.

    Files that were added since are not covered.

    Raises:
        TunesmithError: the signature is missing or invalid, or a file has changed. The error names the files.
    """
    key = _key(VERIFYING_KEY)
    if key is None or not (folder / _REGISTERED).exists():
        return
    signature = folder / SIGNATURE
    rule = f"{folder}: a registered model must be signed by the key in {VERIFYING_KEY} ({key})"
    if not signature.exists():
        raise TunesmithError(f"{rule}; it has no signature; the owner of the key runs `tunesmith sign VERSION`")
    verifying = _library("verifying")
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key).set_ignore_unsigned_files(True)
        verifier.verify(folder, signature)
    # The library reports a damaged signature by the error of the step that fails.
    except Exception as error:
        changed = re.findall(r"Hash mismatch for \\?'([^'\\]+)\\?'", str(error))  # in the repr of a list
        reason = f"changed since: {', '.join(changed)}" if changed else str(error) or type(error).__name__
        raise TunesmithError(f"{rule}; {reason}; restore the files from a backup, or register another model") from None


def _key(variable: str) -> Path | None:
    value = os.environ.get(variable)
    if not value:
        return None
    path = Path(value).expanduser()
    if not path.is_file():
        raise TunesmithError(
            f"{variable}: must name a PEM file; {path} is none; correct the path, or unset the variable"
        )
    return path


def _library(module: str) -> Any:
    try:
        return __import__(f"model_signing.{module}", fromlist=[module])
    except ImportError as error:
        raise TunesmithError(
            f"{SIGNING_KEY}, {VERIFYING_KEY}: signatures need the package model-signing ({error}); `pip install "
            f"{' '.join(PACKAGES)}` installs it"
        ) from None
