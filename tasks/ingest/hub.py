"""``download@S``: a hub data set at a pinned revision → ``data/sources/S/SPLIT.parquet``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from tasks.core.errors import TunesmithError, described
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import Stage, main
from tasks.ingest.params import HubParams


def fetch(params: HubParams, where: str) -> Any:
    """Fetch the requested splits of a data set, as ``datasets.load_dataset`` gives them: split → rows.

    Args:
        where: file and key of ``params``, for errors.

    Raises:
        TunesmithError: the hub cannot be reached, the data set or revision is unknown, or a split is missing.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    try:
        dataset = load_dataset(params.hub, params.config, revision=params.revision)
    except DatasetNotFoundError as error:
        raise TunesmithError(
            f"{where}: the hub must have {params.hub} at {params.revision}; {error}; correct `hub` or `revision`"
        ) from None
    except Exception as error:  # the hub's client, its HTTP library and the readers have no base class in common
        raise TunesmithError(
            f"{where}: {params.hub} must be fetched from the hub, which failed ({described(error)}); connect to the "
            "network and check `config`, or add the files with `tunesmith data add`"
        ) from None
    missing = set(params.splits or []) - set(dataset)
    if missing:
        raise TunesmithError(
            f"{where}.splits: no split {sorted(missing)[0]!r}; there are {', '.join(dataset)}; name one of these"
        )
    return {split: rows for split, rows in dataset.items() if split in (params.splits or dataset)}


def write(dataset: Any, folder: Path) -> None:
    """Write each split of ``dataset`` as a Parquet file of its name into ``folder``."""
    for split, rows in dataset.items():
        rows.to_parquet(str(folder / f"{split}.parquet"))


def run(name: str, params: HubParams, paths: Paths, stage: Stage) -> None:
    """Write each split as a Parquet file."""
    dataset = fetch(params, f"params/sources.yaml: hub.{name}")
    with stage.outputs(paths.source(name)) as (output,):
        output.mkdir()
        write(dataset, output)


if __name__ == "__main__":
    source, here = sys.argv[1], Paths.here()
    main(
        f"download@{source}",
        lambda stage: run(source, load(HubParams, here.params / "sources.yaml", "hub", source), here, stage),
    )
