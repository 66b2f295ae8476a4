"""A hub data set at a branch that moves: its present commit, and its rows at that commit."""

from __future__ import annotations

from pathlib import Path

from tasks.core.errors import TunesmithError, described
from tasks.ingest import hub
from tasks.ingest.fetch.params import FetchedParams
from tasks.ingest.params import HubParams


def commit_of(params: FetchedParams, where: str) -> str:
    """The commit that ``params.revision`` names now.

    Raises:
        TunesmithError: the hub cannot be reached, or it has no such data set or revision.
    """
    from huggingface_hub import HfApi

    assert params.hub is not None
    revision = params.revision or "main"
    try:
        commit = HfApi().dataset_info(params.hub, revision=revision).sha
    except Exception as error:  # the hub's client and its HTTP library have no base class in common
        raise TunesmithError(
            f"{where}: the hub must tell the commit of {params.hub} at {revision}, which failed ({described(error)}); "
            "check `hub`, `revision` and the network"
        ) from None
    if commit is None:
        raise TunesmithError(f"{where}: the hub has no commit of {params.hub} at {revision}; correct `revision`")
    return commit


def fetch(params: FetchedParams, commit: str, where: str, folder: Path) -> None:
    """Write each split at ``commit`` as a Parquet file into ``folder``.

    Raises:
        TunesmithError: as ``tasks.ingest.hub.fetch``.
    """
    assert params.hub is not None
    pinned = HubParams(hub=params.hub, revision=commit, config=params.config, splits=params.splits)
    hub.write(hub.fetch(pinned, where), folder)
