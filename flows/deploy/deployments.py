"""Read ``infra/prefect.yaml``, the deployments of the flows, and report every mistake before Prefect reads it."""

from __future__ import annotations

import inspect
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.exceptions import ParameterTypeError
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.templating import PlaceholderType, apply_values, find_placeholders

from flows import schedules
from tasks.core.errors import TunesmithError, did_you_mean
from tasks.core.params import read_yaml
from tasks.core.paths import Paths
from tasks.resolve.check import Problems, mapping

FILE = "infra/prefect.yaml"


@dataclass(frozen=True)
class Schedule:
    """A cron line in a time zone. The server makes no runs of a schedule that is not ``active``."""

    cron: str
    zone: str
    active: bool


@dataclass(frozen=True)
class Deployment:
    """A flow with its parameters, its work pool and its schedules.

    Attributes:
        name: as Prefect writes it, ``FLOW/DEPLOYMENT``.
    """

    name: str
    pool: str
    schedules: list[Schedule]


def read_deployments(root: Path) -> list[Deployment]:
    """Read and check the deployments of ``infra/prefect.yaml``.

    Raises:
        TunesmithError: the file is wrong; the error has one line per problem.
    """
    file, problems = root / FILE, Problems()
    entries = read_yaml(file).get("deployments")
    if not isinstance(entries, list) or not entries:
        raise TunesmithError(f"{file}: `deployments` must be a list with at least one deployment; it is {entries!r}")
    deployments: list[Deployment] = []
    for number, entry in enumerate(entries, start=1):
        label = entry.get("name") if isinstance(entry, dict) else None
        where = f"{file}: {label or f'deployment {number}'}"
        if (deployment := problems.catch(_deployment, entry, where, Paths(root))) is not None:
            deployments.append(deployment)
    names = [deployment.name for deployment in deployments]
    twice = sorted(name for name in {*names} if names.count(name) > 1)
    rule = "names of deployments must be unique per flow"
    problems.lines += [f"{file}: {name}: {rule}; this one occurs twice; rename one" for name in twice]
    problems.refuse()
    return deployments


def _deployment(entry: Any, where: str, paths: Paths) -> Deployment:
    if not isinstance(entry, dict):
        raise TunesmithError(f"{where}: must be a mapping with name, entrypoint and work_pool; it is {entry!r}")
    variables = {one.name.removeprefix("$") for one in find_placeholders(entry) if one.type is PlaceholderType.ENV_VAR}
    if unset := sorted(variables - {*os.environ}):
        exports = " ".join(f"{name}=..." for name in unset)
        raise TunesmithError(
            f"{where}: uses the environment variables {', '.join(unset)}, which must be set when you deploy; they are "
            f"not; `export {exports}`, then deploy again"
        )
    entry = apply_values(entry, dict(os.environ))
    kinds = {"work_pool": dict, "parameters": dict, "schedules": list}
    if wrong := [key for key, kind in kinds.items() if not isinstance(entry.get(key) or kind(), kind)]:
        kind = "a list" if kinds[wrong[0]] is list else "a mapping"
        raise TunesmithError(f"{where}: {wrong[0]} must be {kind}; it is {entry[wrong[0]]!r}")
    name, pool = entry.get("name"), (entry.get("work_pool") or {}).get("name")
    for key, value in (("name", name), ("work_pool.name", pool)):
        if not isinstance(value, str) or not value:
            raise TunesmithError(f"{where}: {key} must be a non-empty text; it is {value!r}")
    flow = _flow(entry.get("entrypoint"), where)
    problems = Problems()
    problems.catch(_check_parameters, flow, entry.get("parameters") or {}, where, paths)
    read = [problems.catch(_schedule, one, f"{where}: schedules") for one in entry.get("schedules") or []]
    problems.refuse()
    return Deployment(f"{flow.name}/{name}", str(pool), [one for one in read if one is not None])


def _flow(entrypoint: Any, where: str) -> Flow[Any, Any]:
    try:
        flow: Flow[Any, Any] = load_flow_from_entrypoint(str(entrypoint), use_placeholder_flow=False)
    except Exception as error:  # it imports the user's module, which may raise anything
        raise TunesmithError(
            f"{where}: entrypoint must name a flow as MODULE.FUNCTION, such as flows.retrain.retrain; {entrypoint!r} "
            f"cannot be imported ({type(error).__name__}: {error})"
        ) from None
    return flow


def _check_parameters(flow: Flow[Any, Any], parameters: dict[str, Any], where: str, paths: Paths) -> None:
    names = list(inspect.signature(flow.fn).parameters)
    if other := [name for name in parameters if name not in names]:
        raise TunesmithError(
            f"{where}: parameters.{other[0]}: the flow {flow.name} has no such parameter; it has: "
            f"{', '.join(names) or 'none'}{did_you_mean(other[0], names)}"
        )
    log = logging.getLogger("prefect.flows")
    level = log.level
    log.setLevel(logging.CRITICAL)  # Prefect logs the error that is raised below
    try:
        flow.validate_parameters(parameters)
    except ParameterTypeError as error:
        reasons = [line.removeprefix(" - ") for line in str(error).splitlines()[1:]]
        # A parameter that the file leaves out is given when a run starts.
        if wrong := [reason for reason in reasons if not reason.endswith(": Field required")]:
            raise TunesmithError("\n".join(f"{where}: parameters.{reason}" for reason in wrong)) from None
    finally:
        log.setLevel(level)
    known = list(mapping(paths.params / "experiments.yaml", "experiments"))
    if unknown := [name for name in parameters.get("experiments") or () if name not in known]:
        raise TunesmithError(
            f"{where}: parameters.experiments: no experiment {unknown[0]!r} in params/experiments.yaml; there are: "
            f"{', '.join(known)}"
        )


def _schedule(entry: Any, where: str) -> Schedule:
    if not isinstance(entry, dict) or "cron" not in entry:
        raise TunesmithError(f'{where}: must be a mapping with `cron`, such as {{cron: "0 3 * * 1"}}; it is {entry!r}')
    zone = schedules.check_zone(str(entry.get("timezone") or "UTC"), f"{where}: timezone")
    cron = str(entry["cron"])
    schedules.next_runs(cron, zone, 1, label=f"{where}: cron")
    return Schedule(cron, zone, bool(entry.get("active", True)))
