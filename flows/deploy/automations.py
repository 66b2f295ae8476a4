"""Create or update the automations of ``infra/automations.yaml`` on the Prefect server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml
from tasks.resolve.check import Problems

FILE = "infra/automations.yaml"

Say = Callable[[str], None]


def apply_automations(root: Path, say: Say) -> None:
    """Create or update each automation by its name; one that somebody disabled on the server stays disabled.

    An action that names a block which does not exist is left out, and so is an automation without an action.

    Raises:
        TunesmithError: the file is wrong.
    """
    file = root / FILE
    problems = Problems()
    with get_client(sync_client=True) as client:
        entries = enumerate(_entries(file), start=1)
        wanted = [problems.catch(_automation, entry, f"{file}: automation {n}", client) for n, entry in entries]
        problems.refuse()
        for automation, missing in filter(None, wanted):
            before = client.read_automations_by_name(automation.name)
            if not automation.actions:
                for old in before:
                    client.delete_automation(old.id)
                say(
                    f"{automation.name}: not on the server, since none of these blocks exists: {', '.join(missing)}; "
                    "save one (docs/workers.md, Notifications), then deploy again"
                )
                continue
            if missing:
                say(f"{automation.name}: without {', '.join(missing)}, since these blocks do not exist")
            if before:
                kept = automation.model_copy(update={"enabled": before[0].enabled})
                client.update_automation(before[0].id, kept)
                say(f"{automation.name}: updated" if kept.enabled else f"{automation.name}: updated; it is disabled")
            else:
                client.create_automation(automation)
                say(f"{automation.name}: created")


def _entries(file: Path) -> list[Any]:
    entries = read_yaml(file).get("automations")
    if not isinstance(entries, list):
        raise TunesmithError(f"{file}: `automations` must be a list; it is {entries!r}")
    return entries


def _automation(entry: Any, where: str, client: Any) -> tuple[AutomationCore, list[str]]:
    """The automation, and the blocks that its left-out actions name."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise TunesmithError(f"{where}: must be a mapping with a `name`; it is {entry!r}")
    where = f"{where}, {entry['name']}"
    actions, missing = [], []
    for action in entry.get("actions") or []:
        if not isinstance(action, dict):
            raise TunesmithError(f"{where}: actions: each must be a mapping with a `type`; one is {action!r}")
        block = action.get("block")
        if block is None:
            actions.append(action)
        elif (document := _block(block, client)) is None:
            missing.append(block)
        else:
            own = {key: value for key, value in action.items() if key != "block"}
            actions.append(own | {"block_document_id": document})
    try:
        return AutomationCore.model_validate(entry | {"actions": actions}), missing
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise TunesmithError(f"{where}: {key}: {first['msg']}") from None


def _block(block: str, client: Any) -> str | None:
    kind, _, name = block.partition("/")
    try:
        return str(client.read_block_document_by_name(name, kind).id)
    except ObjectNotFound:
        return None
