"""``resolve``: ``params/*.yaml`` → ``build/experiments/X/{base,train,predict,score}.yaml`` for every experiment.

``build/experiments/sets.json`` holds the sets of experiments. The folder is written anew each time, so that it holds
no deleted experiment.
"""

import tempfile
from pathlib import Path
from typing import Any

from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.core.stage import Stage, main
from tasks.evaluate.params import by_stage
from tasks.resolve.bases import fingerprints
from tasks.resolve.check import Problems, Resolved, load_experiments
from tasks.resolve.sets import FILE as SETS
from tasks.resolve.sets import SetParams, load_sets, write_sets


def run(paths: Paths, stage: Stage) -> None:
    """Resolve all experiments and sets, and report the errors of all at once."""
    problems = Problems()
    resolved, sets = problems.catch(load_experiments, paths), problems.catch(load_sets, paths)
    problems.refuse()
    with stage.outputs(paths.resolved) as (output,):
        write(resolved, sets, paths, output)


def write(resolved: Resolved, sets: dict[str, SetParams], paths: Paths, output: Path) -> None:
    """Write ``base.yaml``, ``train.yaml``, ``predict.yaml`` and ``score.yaml`` to ``output/X`` for every experiment X.

    Each stage depends on its own file: a change of the intervals reruns ``score@X`` and generates nothing. Only the
    comparison reads ``like.yaml``, which an experiment with the key ``like`` has too, and ``sets.json``.
    """
    bases = fingerprints(paths, resolved)
    for name, experiment in resolved.items():
        folder = output / name
        folder.mkdir(parents=True)
        write_yaml(folder / "base.yaml", bases[name])
        write_yaml(folder / "train.yaml", in_order(experiment.train))
        predict, score = by_stage(experiment.evaluate)
        write_yaml(folder / "predict.yaml", in_order(predict))
        write_yaml(folder / "score.yaml", in_order(score))
        if experiment.like is not None:
            write_yaml(folder / "like.yaml", {"like": experiment.like})
    output.mkdir(parents=True, exist_ok=True)  # without experiments
    write_sets(sets, output / SETS)


def rewritten(paths: Paths) -> list[str]:
    """Files of ``build/experiments``, relative to the root, whose content ``resolve`` would change."""
    with tempfile.TemporaryDirectory() as folder:
        write(load_experiments(paths), load_sets(paths), paths, Path(folder))
        contents = [
            {str(file.relative_to(top)): file.read_bytes() for file in sorted(top.rglob("[!.]*")) if file.is_file()}
            for top in (Path(folder), paths.resolved)
        ]
    new, now = contents
    changed = [name for name in sorted({*new, *now}) if new.get(name) != now.get(name)]
    return [str((paths.resolved / name).relative_to(paths.root)) for name in changed]


def in_order(data: dict[str, Any]) -> dict[str, Any]:
    """Sort the keys of ``data``, so that their order in ``params/`` retrains nothing."""
    return {key: in_order(value) if isinstance(value, dict) else value for key, value in sorted(data.items())}


if __name__ == "__main__":
    main("resolve", lambda stage: run(Paths.here(), stage))
