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
from tasks.model.registered import files_hash

SIGNATURE = "model.sig"
SIGNING_KEY, PASSWORD, VERIFYING_KEY = (
    f"TUNESMITH_{name}" for name in ("SIGNING_KEY", "SIGNING_PASSWORD", "VERIFYING_KEY")
)

PACKAGES = ("model-signing", "pyopenssl")


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
    password = os.environ.get(PASSWORD, "").encode() or None
    try:
        signer = _library("signing").Config().use_elliptic_key_signer(private_key=key, password=password)
    except (ValueError, TypeError, AttributeError) as error:
        raise TunesmithError(
            f"{SIGNING_KEY}: {key} must be a private key on an elliptic curve in a PEM file; it cannot be read "
            f"({error}); if it has a password, set {PASSWORD} to it; `openssl ecparam -name prime256v1 -genkey -noout "
            "-out KEY` makes a new key"
        ) from None
    try:
        signer.set_hashing_config(_hashing(folder)).sign(folder, signature)
    except (ValueError, OSError) as error:
        raise TunesmithError(f"{folder}: every file of a model must be readable to be signed; {error}") from None
    return signature


def _hashing(folder: Path) -> Any:
    """How files are hashed: all but those that the library, Python and MLflow write beside the model."""
    written = [path for name in ("__pycache__", "registered_model_meta") for path in folder.rglob(name)]
    paths = [path.relative_to(folder) for path in [folder / SIGNATURE, *written]]
    return _library("hashing").Config().set_ignored_paths(paths=paths, ignore_git_paths=False)


def verify(folder: Path, weights: str | None = None) -> None:
    """Verify the signature of a registered model; do nothing if no public key is configured.

    Args:
        weights: hash of the version's weights by the registry; another version's folder has a valid signature, too.

    Raises:
        TunesmithError: the signature is missing or invalid, or a file was changed, added or removed. The error names
            the files.
    """
    key = _key(VERIFYING_KEY)
    if key is None:
        return
    signature = folder / SIGNATURE
    rule = f"{folder}: a registered model must have a signature that the public key in {VERIFYING_KEY} ({key}) verifies"
    if not signature.exists():
        raise TunesmithError(f"{rule}; it has no signature; the owner of the key runs `tunesmith sign VERSION`")
    if weights is not None and (stored := files_hash(folder)) != weights:
        raise TunesmithError(
            f"{folder}: the version's weights must have sha256 {weights[:12]}; they have {stored[:12]}; restore the "
            "folder from a backup"
        )
    verifying = _library("verifying")
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=key)
        verifier.set_hashing_config(_hashing(folder)).verify(folder, signature)
    # The library reports a damaged signature by the error of the step that fails.
    except Exception as error:
        text = str(error).replace("\\", "")  # the repr of a list
        named = re.findall(
            r"Hash mismatch for '([^']+)'|(?:Extra|Missing) files (?:found )?in model '[^']*': ([^\"]+)", text
        )
        if named:
            line = f"{rule}; these files differ from the signed ones: {', '.join(map(''.join, named))}"
            raise TunesmithError(f"{line}; restore the folder from a backup") from None
        raise TunesmithError(
            f"{rule}; {str(error) or type(error).__name__}; check that {VERIFYING_KEY} names the public key of the "
            f"pair that signed the model, or restore its files and {SIGNATURE} from a backup"
        ) from None


def _key(variable: str) -> Path | None:
    value = os.environ.get(variable)
    if not value:
        return None
    path = Path(value).expanduser()
    if not path.is_file():
        raise TunesmithError(
            f"{variable}: must name an existing PEM file; there is no file {path}; correct the path, or unset it"
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
