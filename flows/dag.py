"""Read the DAG from DVC: its stages, their order, which are stale and why. Only ``dvc.yaml`` defines it."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import networkx as nx

from flows.conflicts import refuse_conflicts
from flows.dvc_lock import Tell, busy_error, forget_dead, wait_for_others
from flows.lock_copy import keep_copy, restore_cut_off
from tasks.core.counted import counted
from tasks.core.errors import TunesmithError
from tasks.core.params import read_yaml

Reasons = list[str]

_CODE = re.compile(r"\w+ tasks/(?!template/library/)")  # users edit template sets, so these do not count as code


@dataclass(frozen=True)
class Dag:
    """Stages of a workspace, without the trials of sweeps.

    Attributes:
        graph: edges go from a stage to those that depend on it; nodes are addresses such as ``train@lora``.
        stale: address → reasons why it must run again. A stage that depends on a stale one becomes stale only if the
            outputs of the stale one change.
        unbuilt: stages of ``stale`` that are not in ``dvc.lock``.
        reads: address → files and folders that the stage depends on, as ``dvc.yaml`` names them.
    """

    graph: nx.DiGraph
    stale: dict[str, Reasons]
    unbuilt: frozenset[str] = frozenset()
    reads: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def order(self) -> list[str]:
        """All stages, each after those that it depends on; the same order every time."""
        return list(nx.lexicographical_topological_sort(self.graph))

    def upstream(self, address: str) -> list[str]:
        """The stages that the stage ``address`` directly depends on."""
        return sorted(self.graph.predecessors(address))

    def read_by(self, stages: Iterable[str]) -> list[str]:
        """The stages whose outputs some of ``stages`` read, without these themselves."""
        own = set(stages)
        return sorted({above for address in own for above in self.upstream(address)} - own)

    def in_groups(self, stages: list[str], group_of: Mapping[str, str]) -> list[str]:
        """``stages`` in an order in which a group starts after all that its stages read from outside it.

        Args:
            group_of: stage → its group; a stage without one stands alone.
        """
        order = {address: number for number, address in enumerate(stages)}
        contracted = nx.DiGraph()
        contracted.add_nodes_from(group_of.get(address, address) for address in stages)
        edges = ((group_of.get(a, a), group_of.get(b, b)) for a, b in self.graph.subgraph(stages).edges)
        contracted.add_edges_from((a, b) for a, b in edges if a != b)
        members: dict[str, list[str]] = {}
        for address in stages:
            members.setdefault(group_of.get(address, address), []).append(address)
        groups = nx.lexicographical_topological_sort(contracted, key=lambda name: order[members[name][0]])
        return [address for name in groups for address in members[name]]

    def pending(self, within: Iterable[str] | None = None) -> list[str]:
        """The stale stages and all that depend on them, in order; if ``within`` is given, only those in it."""
        allowed = set(self.graph) if within is None else set(within)
        reached = {address for address in self.stale if address in allowed}
        for address in [*reached]:
            reached |= nx.descendants(self.graph, address) & allowed
        return [address for address in self.order if address in reached]

    def outlook(self, rewritten: Iterable[str]) -> tuple[dict[str, Reasons], dict[str, Reasons]]:
        """Predict which stages a run would execute.

        Args:
            rewritten: files whose content the stage ``resolve`` will change, if it is stale.

        Returns:
            Address → reasons: first for the stages that certainly run, then for those that run only if an earlier stage
            changes its outputs.
        """
        certain, graph = dict(self.stale), self.graph.copy()
        rewritten = list(rewritten)
        for address in list(graph.successors("resolve")) if "resolve" in self.stale else []:
            reads = self.reads.get(address, frozenset())
            if changed := [file for file in rewritten if any(Path(file).is_relative_to(read) for read in reads)]:
                certain.setdefault(address, [f"resolve will change {', '.join(changed)}"])
            graph.remove_edge("resolve", address)
        reached = set().union(*(nx.descendants(graph, address) for address in certain)) - certain.keys()
        possible = {
            address: [f"only if {' or '.join(above)} changes what it writes"]
            for address in reached
            if (above := sorted({*certain, *reached} & set(graph.predecessors(address))))
        }
        in_order = self.order
        return (
            {address: certain[address] for address in in_order if address in certain},
            {address: possible[address] for address in in_order if address in possible},
        )

    def changed_trainings(self, rewritten: Iterable[str]) -> set[str]:
        """Experiments that data or parameters may make train, as ``outlook`` says; changes of code do not count."""
        own = {a: reasons for a, reasons in self.stale.items() if any(not _CODE.match(reason) for reason in reasons)}
        certain, possible = replace(self, stale=own).outlook(rewritten)
        return {address.removeprefix("train@") for address in {*certain, *possible} if address.startswith("train@")}

    def why(self, address: str, verbose: bool = False) -> Reasons:
        """The reasons why a stale stage runs again. Without ``verbose``, several code files are counted."""
        reasons = self.stale[address]
        if verbose:
            return reasons
        if address in self.unbuilt:
            return ["never built"]
        code = [reason for reason in reasons if _CODE.match(reason)]
        changed = code[0].rpartition(" ")[2] if len(code) == 1 else counted(len(code), "file")
        summary = [f"code changed: {changed}"] if code else []
        return [reason for reason in reasons if reason not in code] + summary

    def needed_for(self, experiments: Iterable[str]) -> set[str]:
        """The stages that build these experiments' reports and planned benchmarks, and those that compare them.

        Raises:
            TunesmithError: an experiment is not in ``params/experiments.yaml``; the known ones are named.
        """
        known = [a.removeprefix("score@") for a in self.order if a.startswith("score@")]
        wanted = {"compare", "baselines"}
        experiments = list(experiments)
        for experiment in experiments:
            if experiment not in known:
                raise TunesmithError(
                    f"params/experiments.yaml: there is no experiment {experiment!r}; there are: {', '.join(known)}"
                )
            wanted |= {f"score@{experiment}", f"benchmark@{experiment}"} & set(self.graph)
        steps = ("train", "predict", "score")
        needed = {f"{step}@{experiment}" for step in steps for experiment in experiments}
        others = {a for a in self.graph if a.partition("@")[0] in steps} - needed
        reduced = self.graph.subgraph(set(self.graph) - others)
        return wanted.union(*(nx.ancestors(reduced, address) for address in wanted))


def read_dag(root: Path, tell: Tell | None = None) -> Dag:
    """Read the stages and their status from DVC.

    Args:
        tell: called with a line about another DVC process that works in the workspace, before waiting for it to end.
            Without ``tell``, such a process is an error.

    Raises:
        TunesmithError: ``dvc.yaml`` and ``params/`` do not fit together (DVC's message says where), a file holds the
            marks of a merge conflict, or another process works in the workspace and ``tell`` is missing.
    """
    from dvc.exceptions import DvcException
    from dvc.lock import LockError

    logging.getLogger("dvc").setLevel(logging.ERROR)
    refuse_conflicts(root)
    restored = False
    while True:
        try:
            forget_dead(root)
            return _read(root, wait=tell is None)
        except LockError:
            if tell is None:
                raise busy_error(root) from None
            wait_for_others(root, tell)
        except DvcException as error:
            reason = " ".join(str(error).split())
            if "dvc.lock" in reason:
                if not restored and restore_cut_off(root):
                    restored = True
                    continue
                raise TunesmithError(
                    f"dvc.lock: must be complete; DVC reports: {reason}. A process that is killed while it writes the "
                    "file leaves it incomplete. Restore it (`git checkout dvc.lock`) or delete it, and run again: what "
                    "was built is restored from DVC's cache"
                ) from None
            raise TunesmithError(f"dvc.yaml: {reason}") from None


def _read(root: Path, wait: bool) -> Dag:
    from dvc.repo import Repo, lock_repo

    # DVC's lock is needed since DVC does not write dvc.lock atomically, and a flow may be writing it now. With ``wait``
    # DVC waits for the lock silently; processes hold it only for moments, unlike the files of a running stage.
    with Repo(str(root), _wait_for_lock=wait) as repo, lock_repo(repo):
        edges = [(_address(on.addressing), _address(stage.addressing)) for stage, on in repo.index.graph.edges]
        keep_copy(root)
        graph = nx.DiGraph(edges)
        graph.add_nodes_from(_address(stage.addressing) for stage in repo.index.graph)
        reads = {
            _address(stage.addressing): frozenset(dep.def_path for dep in stage.deps) for stage in repo.index.graph
        }
        stale = {_address(name): _reasons(changes) for name, changes in repo.status().items()}
        lock = root / "dvc.lock"
        built = (read_yaml(lock).get("stages") or {}) if lock.exists() else {}
    # Only `tunesmith sweep` runs trials; a flow would train all of them again after each change of the code.
    graph.remove_nodes_from([a for a in graph if a.endswith(".dvc") or a.startswith("trial@")])
    stale = {address: why for address, why in stale.items() if address in graph}
    return Dag(graph, stale, frozenset(stale.keys() - built.keys()), reads)


def _address(name: str) -> str:
    """Reduce ``../dvc.yaml:train@lora``, DVC's name in another current folder, to ``train@lora``."""
    return name.rpartition("dvc.yaml:")[2]


def _reasons(changes: list[Any]) -> Reasons:
    """DVC's status of a stage as lines such as ``modified params/training.yaml``."""
    lines: Reasons = []
    for change in changes:
        if isinstance(change, str):
            lines.append(change)
            continue
        for kind, entries in change.items():
            what = {"changed deps": "", "changed outs": "output "}.get(kind, f"{kind} ")
            lines += _entries(entries, what)
    return lines


def _entries(entries: dict[str, Any], what: str) -> Reasons:
    lines: Reasons = []
    for path, state in entries.items():
        if isinstance(state, dict):  # parameters: key → how it changed
            lines += [f"{how} {path}: {key}" for key, how in state.items()]
        else:
            lines.append(f"{state} {what}{path}")
    return lines
