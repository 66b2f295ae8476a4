"""``tunesmith testset rotate``: the next run draws a new test set from rows that no experiment has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from flows.commands.build import reproduce
from flows.commands.params_file import with_value
from flows.new_split import refuse_new_splits
from flows.sources.fetched import fetched_names
from flows.workspace import workspace_lock
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.files import replacing
from tasks.core.params import load, read_yaml, value_at
from tasks.core.paths import Paths
from tasks.resolve.check import mapping
from tasks.split.params import SplitParams
from tasks.split.trial import Rotation, try_rotation

_HOLDER = "tunesmith testset rotate"


def rotate(root: Path, sources: Sequence[str] | None, say: Callable[[str], None] = lambda line: None) -> list[str]:
    """Raise ``test_set`` of ``sources`` by one in ``params/sources.yaml``; return what it did and what comes next.

    Brings the rendered rows up to date first, and tries the split on them. Holds the workspace's lock from the first
    reading to the writing, so that no other flow or command changes parameters or data between them.

    Args:
        sources: None for those of ``evaluation_set.sources``.

    Raises:
        TunesmithError: a source cannot have a new test set, with a line per source. No parameter is changed then.
    """
    with workspace_lock(root, _HOLDER):
        return _rotate(root, sources, say)


def _rotate(root: Path, sources: Sequence[str] | None, say: Callable[[str], None]) -> list[str]:
    paths = Paths(root)
    named = _named(paths, sources)
    params = {name: load(SplitParams, paths.params / "sources.yaml", "sources", name, "split") for name in named}
    if refusals := [line for name in named for line in _refusal(paths, name, params[name])]:
        raise TunesmithError("\n".join(refusals))
    refuse_new_splits(paths, None)
    say(f"bringing the rows of {', '.join(named)} up to date")
    reproduce(root, [f"template@{name}" for name in named], say)
    say("trying the new test set")
    rotations = _tried(paths, params)
    _write(paths.params / "sources.yaml", rotations)
    return [*(line for one in rotations for line in _lines(one, params[one.source].test_set)), *_NEXT]


def _named(paths: Paths, sources: Sequence[str] | None) -> list[str]:
    known = list(mapping(paths.params / "sources.yaml", "sources"))
    evaluated = value_at(read_yaml(paths.params / "evaluation.yaml"), "evaluation_set.sources") or []
    named = list(dict.fromkeys(sources or evaluated))
    if not named:
        raise TunesmithError(
            "testset rotate: at least one source must be named, and evaluation_set.sources in params/evaluation.yaml "
            f"names none; run `tunesmith testset rotate SOURCE`; there are: {', '.join(known)}"
        )
    if unknown := [name for name in named if name not in known]:
        raise TunesmithError(
            f"testset rotate: no source {unknown[0]!r} in params/sources.yaml; there are: {', '.join(known)}"
        )
    return named


def _refusal(paths: Paths, name: str, params: SplitParams) -> list[str]:
    """Why the rows of a source cannot be rotated by a number, and what to do instead; empty if they can."""
    key = f"params/sources.yaml: sources.{name}.split"
    if params.by == "file":
        by_file = f"{key}.by: rows are drawn for a new test set only `by: hash`; this is `by: file`"
        if name in mapping(paths.params / "sources.yaml", "generated"):
            return [
                f"{by_file}, and {name} is generated: the stage generate@{name} writes the files train and test only, "
                "so this source cannot have a new test set; evaluate on a source of your own"
            ]
        tests = ", ".join(params.files["test"])
        return [
            f"{by_file}, so a new test set is a new file. In split.files, name the new file under `test` and move "
            f"{tests} to `retired`; then {_new_file(paths, name)}"
        ]
    if params.by == "time":
        return [
            f"{key}.by: rows are drawn for a new test set only `by: hash`; this is `by: time`, so a new test set "
            f"begins later. Set a later `test_from` than {params.test_from} and run `tunesmith run --new-split "
            f"{name}`; test rows from before it then become training rows"
        ]
    if params.fractions.test == 0:
        return [f"{key}.fractions: a test set needs a share of the rows; test has 0; give it a share"]
    return []


def _new_file(paths: Paths, name: str) -> str:
    """How a source gets a new file."""
    if name in mapping(paths.params / "sources.yaml", "hub"):
        return f"list its name in hub.{name}.splits"
    if name in fetched_names(paths.root):
        return f"name it in fetched.{name} and run `tunesmith data refresh {name}`"
    return f"run `tunesmith data add FILE --name {name} --append`"


def _tried(paths: Paths, params: dict[str, SplitParams]) -> list[Rotation]:
    """The next test set of each source.

    Raises:
        TunesmithError: with the lines of every source that has none.
    """
    rotations, problems = [], []
    for name, of_source in params.items():
        try:
            rotations.append(try_rotation(name, of_source, paths))
        except TunesmithError as error:
            problems.append(str(error))
    if problems:
        raise TunesmithError("\n".join(problems))
    return rotations


def _write(path: Path, rotations: Sequence[Rotation]) -> None:
    text = path.read_text(encoding="utf-8")
    for one in rotations:
        text = with_value(text, path, ("sources", one.source, "split"), "test_set", one.test_set)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _lines(one: Rotation, before: int) -> list[str]:
    return [
        f"{one.source}: test set {before} → {one.test_set} (params/sources.yaml: sources.{one.source}.split.test_set)",
        f"{one.source}: the next run puts {counted(one.rows, 'row')} of {counted(one.groups, 'group')} into test that "
        f"no experiment has seen; {counted(one.retired, 'row')} of earlier test sets are retired",
    ]


_NEXT = [
    "Next: `tunesmith run` evaluates every experiment on the new test rows, and reports the retired rows beside them.",
    "Scores do not compare with those on earlier test rows; the gate evaluates the champion on the new ones.",
]
