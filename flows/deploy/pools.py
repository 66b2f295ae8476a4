"""Create the work pools of ``infra/work-pools.yaml`` that the Prefect server does not have yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.workers.utilities import (
    get_available_work_pool_types,
    get_default_base_job_template_for_infrastructure_type,
)

from tasks.core.errors import TunesmithError
from tasks.core.params import Params, load, read_yaml
from tasks.resolve.check import mapping

FILE = "infra/work-pools.yaml"


class PoolParams(Params):
    """A work pool.

    Attributes:
        type: type of the workers that poll the pool: ``process``, ``docker`` or ``kubernetes``.
        description: text of Prefect's page.
        concurrency_limit: maximum number of concurrent flow runs; None means no limit.
        base_job_template: path of a YAML file, relative to the workspace; None means Prefect's own template.
    """

    type: str
    description: str = ""
    concurrency_limit: int | None = None
    base_job_template: str | None = None


def ensure_pools(root: Path, names: Iterable[str], say: Callable[[str], None]) -> None:
    """Create those of the pools ``names`` that do not exist.

    Raises:
        TunesmithError: a missing pool is not described, or its template cannot be read.
    """
    file = root / FILE
    described = mapping(file, "work_pools")
    with get_client(sync_client=True) as client:
        for name in dict.fromkeys(names):
            try:
                client.read_work_pool(name)
                continue
            except ObjectNotFound:
                pass
            if name not in described:
                raise TunesmithError(
                    f"{file}: work_pools: must describe the pool {name!r}, which a deployment names and the server "
                    f"does not have; there are: {', '.join(described)}"
                )
            params = load(PoolParams, file, "work_pools", name)
            client.create_work_pool(
                WorkPoolCreate(
                    name=name,
                    type=params.type,
                    description=params.description,
                    concurrency_limit=params.concurrency_limit,
                    base_job_template=_template(params, root, f"{file}: work_pools.{name}"),
                )
            )
            say(f"work pool {name}: created, of the type {params.type}")


def _template(params: PoolParams, root: Path, where: str) -> dict[str, Any]:
    if params.base_job_template is None:
        return _own_template(params.type, where)
    path = root / params.base_job_template
    template = read_yaml(path)
    if missing := {"job_configuration", "variables"} - set(template):
        raise TunesmithError(
            f"{where}.base_job_template: {path} must have the keys `job_configuration` and `variables`; it lacks "
            f"{' and '.join(sorted(missing))}; infra/pools/docker.yaml shows both"
        )
    return template


def _own_template(kind: str, where: str) -> dict[str, Any]:
    """Prefect's job template for workers of this type."""
    template = asyncio.run(get_default_base_job_template_for_infrastructure_type(kind))
    if template is None:
        known = sorted(asyncio.run(get_available_work_pool_types()))
        raise TunesmithError(f"{where}.type: must be one of {', '.join(known)}; it is {kind!r}")
    return template
