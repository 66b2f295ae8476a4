"""``download@S``: a hub data set at a pinned revision → ``data/sources/S/SPLIT.parquet``."""

from __future__ import annotations

import sys
from typing import Any

from tasks.core.errors import TunesmithError, described
from tasks.core.params import load
from tasks.core.paths import Paths
from tasks.core.stage import Stage, main
from tasks.ingest.params import HubParams


def fetch(name: str, params: HubParams) -> Any:
    """Fetch the requested splits of a data set, as ``datasets.load_dataset`` gives them: split → rows.

    Raises:
        TunesmithError: the hub cannot be reached, the data set or revision is unknown, or a split is missing.
    """
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    where = f"params/sources.yaml: hub.{name}"
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


def run(name: str, params: HubParams, paths: Paths, stage: Stage) -> None:
    """Write each split as a Parquet file."""
    dataset = fetch(name, params)
    with stage.outputs(paths.source(name)) as (output,):
        output.mkdir()
        for split, rows in dataset.items():
            rows.to_parquet(str(output / f"{split}.parquet"))


if __name__ == "__main__":
    source, here = sys.argv[1], Paths.here()
    main(
        f"download@{source}",
        lambda stage: run(source, load(HubParams, here.params / "sources.yaml", "hub", source), here, stage),
    )
