"""Write the winner of a sweep into ``params/experiments.yaml``, below the user's own experiments."""

from __future__ import annotations

from typing import Any

from flows.commands.params_file import with_entries, yaml_lines
from tasks.core.errors import TunesmithError
from tasks.core.files import replacing
from tasks.core.paths import Paths
from tasks.resolve.check import mapping
from tasks.sweep.params import SweepParams
from tasks.sweep.verdict import Check

_REASONS = {
    "worse": "the check shows that the winner is worse than {like}",
    "same": "the check shows that the winner and {like} are the same",
    "not enough rows": "the check has too few rows to show that the winner is better than {like}",
}


def write_winner(
    paths: Paths, params: SweepParams, entry: dict[str, Any], checked: Check, write_anyway: bool
) -> list[str]:
    """Write ``entry`` as the experiment ``NAME_best`` if it is better, or ``write_anyway``; return lines about it.

    Raises:
        TunesmithError: another experiment has the name, or the file is not plain YAML. Nothing is written then.
    """
    name, file = f"{params.name}_best", paths.params / "experiments.yaml"
    run = f"next: `tunesmith run --experiment {name}`"
    present = mapping(file, "experiments").get(name)
    if present == entry:
        return [f"params/experiments.yaml: {name} is there already, with these values", run]
    if checked.verdict != "better" and not write_anyway:
        reason = _REASONS[checked.verdict].format(like=params.like)
        return [f"not written, since {reason}; to write {name} all the same, run this again with `--write-anyway`"]
    if present is not None:
        raise TunesmithError(
            f"{file}: experiments.{name}: this experiment exists with other keys, and a sweep never changes one; "
            f"remove or rename it, or rename the sweep; the winner is: {' '.join(yaml_lines({name: entry}))}"
        )
    text = with_entries(file.read_bytes().decode(), file, "experiments", {name: entry})
    with replacing(file) as partial:
        partial.write_bytes(text.encode())
    return [f"params/experiments.yaml: added {name}", run]
