"""Pairs of keys for signatures."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_keys(folder: Path, name: str, password: str = "") -> tuple[Path, Path]:
    """A new private key, locked with ``password`` if given, and its public key, as the docs make them."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    _run(f"openssl ecparam -name prime256v1 -genkey -noout -out {private}")
    _run(f"openssl ec -in {private} -pubout -out {public} 2>/dev/null")
    if password:
        _run(f"openssl pkcs8 -topk8 -in {private} -out {private}.new -passout pass:{password}")
        _run(f"mv {private}.new {private}")
    return private, public


def _run(command: str) -> None:
    subprocess.run(command, shell=True, check=True)
