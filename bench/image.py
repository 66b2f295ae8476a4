"""Run the steps of ``infra/Dockerfile`` in a clean Debian, without a container engine, and use the image it describes.

    sudo .venv/bin/python -m bench.image --folder /tmp/image [--build-arg TORCH_INDEX=URL] [--mount /opt/wheels ...]

debootstrap makes a Debian with its own Python 3.11, in place of the base image. Each stage of the file starts from a
copy of it. ``RUN`` is a shell in a chroot, with the variables of ``ARG`` and ``ENV`` and the user of ``USER``. At the
end, a clone of this repository lies at ``/workspace``, and the image's user trains a tiny model with ``tunesmith run``.
``--mount`` makes a folder of this machine visible to the steps. The variables ``PIP_*``, ``UV_*`` and ``SSL_CERT_FILE``
of this process reach them. The benchmark needs root and debootstrap. It prints the seconds of each step, and stops at
the first step that fails.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from tasks.core import files

REPOSITORY = Path(__file__).parents[1]
_PACKAGES = "python3,python3-venv,ca-certificates"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TRAINS = """
from pathlib import Path
from tests.boxes import build
build(Path('/tmp/tiny'), 'tiny')
"""
_MOUNTS = (Path("/proc"), Path("/dev"), Path("/dev/shm"))
_CHECKS = (
    "test $(id -un) = tunesmith && tunesmith --help",
    "git -C /workspace status --short && prefect version && mlflow --version",
    f"python -c {shlex.quote(_TRAINS)} && cd /tmp/tiny && TUNESMITH_ROOT=/tmp/tiny tunesmith run",
)


@dataclass
class Stage:
    """A stage of the Dockerfile: the folder of its files, and what later steps inherit."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "root"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--mount", type=Path, action="append", default=[])
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    base = folder / "base"
    if not base.exists():
        command = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", base, arguments.mirror]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (base / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    passed = dict(one.split("=", 1) for one in arguments.build_arg)
    print("| step | s |")
    print("| --- | ---: |")
    image = _build(folder, base, passed, arguments.mount)
    _use(image, arguments.mount)


def _build(folder: Path, base: Path, passed: dict[str, str], mounts: list[Path]) -> Stage:
    """Run all instructions; the last stage."""
    stages: dict[str, Stage] = {}
    stage = Stage(base)
    for word, rest in _instructions(REPOSITORY / "infra/Dockerfile"):
        start = time.monotonic()
        if word == "FROM":
            name = rest.partition(" AS ")[2] or "image"
            stage = stages[name] = Stage(folder / name)
            files.remove(stage.root)
            # Not copytree, which would read from devices such as /dev/zero without end.
            subprocess.run(["cp", "--archive", base, stage.root], check=True)
        elif word == "ARG":
            name, _, default = rest.partition("=")
            stage.variables[name] = passed.get(name, default)
        elif word == "ENV":
            for pair in shlex.split(rest):
                name, _, value = pair.partition("=")
                stage.variables[name] = Template(value).safe_substitute({"PATH": _PATH} | stage.variables)
        elif word == "RUN":
            _run(stage, rest, mounts)
        elif word == "COPY":
            _copy(stage, rest, stages)
        elif word == "WORKDIR":
            stage.folder = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "USER":
            stage.user = rest
        elif word not in ("ENTRYPOINT", "CMD"):
            raise SystemExit(f"infra/Dockerfile: bench.image does not know the instruction {word}")
        _print_row(f"{word} {rest}", start)
    return stage


def _instructions(file: Path) -> Iterator[tuple[str, str]]:
    """Name and rest of each instruction; comments within an instruction are left out, as Docker does."""
    lines = [line for line in file.read_text().splitlines() if not re.match(r"\s*#", line)]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, rest.strip()


def _copy(stage: Stage, rest: str, stages: dict[str, Stage]) -> None:
    words = rest.split()
    source = REPOSITORY
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].root
    *names, target = words
    into = stage.root / (target if target.startswith("/") else f"{stage.folder}/{target}").lstrip("/")
    for name in names:
        path = source / name.lstrip("/")
        if path.is_dir():
            into.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "--archive", "--no-target-directory", path, into], check=True)
        else:
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, into)


def _use(image: Stage, mounts: list[Path]) -> None:
    """Put a clone at ``/workspace``, and run commands as the image's user."""
    clone = image.root / "workspace"
    files.remove(clone)
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
    for path in (clone, *clone.rglob("*")):
        os.lchown(path, 1000, 1000)
    for command in _CHECKS:
        start = time.monotonic()
        _run(image, command, mounts)
        _print_row(command, start)


def _run(stage: Stage, command: str, mounts: list[Path]) -> None:
    """Run a shell command in a chroot of the stage.

    Raises:
        SystemExit: it fails; with the end of its output.
    """
    passed = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_CERT_FILE"))}
    home = "/root" if stage.user == "root" else f"/home/{stage.user}"
    variables = {"PATH": _PATH, "HOME": home} | passed | stage.variables
    shell = ["/bin/sh", "-c", 'cd "$0" && exec /bin/sh -c "$1"', stage.folder, command]
    pairs = [f"{name}={value}" for name, value in variables.items()]
    _prepare(stage.root, mounts)
    inside = ["chroot", f"--userspec={stage.user}", str(stage.root), "env", "-i", *pairs, *shell]
    binds = [shlex.join(["mount", "--bind", str(path), f"{stage.root}{path}"]) for path in (*_MOUNTS, *mounts)]
    # A mount namespace of its own ends with the step, so that no folder of this machine stays bound.
    words = ["unshare", "--mount", "sh", "-e", "-c", "\n".join([*binds, f"exec {shlex.join(inside)}"])]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {command}\n{done.stdout[-4000:]}")


def _prepare(root: Path, mounts: list[Path]) -> None:
    """Copy the DNS settings and certificates of this machine, and make the folders to mount."""
    for name in ("resolv.conf", "ssl/certs/ca-certificates.crt"):
        shutil.copy(f"/etc/{name}", root / "etc" / name)
    for path in (*_MOUNTS, *mounts):
        (root / str(path).lstrip("/")).mkdir(parents=True, exist_ok=True)


def _print_row(step: str, start: float) -> None:
    print(f"| `{step[:100]}` | {time.monotonic() - start:.0f} |", flush=True)


if __name__ == "__main__":
    main()
