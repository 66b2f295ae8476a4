"""What ``tunesmith experiments use`` writes, prints and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.commands.params_file import on_one_line, with_entries, with_item, with_section, yaml_lines
from flows.commands.sets.expand import Entries
from flows.commands.write_blocks import Texts
from tasks.core.counted import counted
from tasks.core.params import read_yaml, value_at
from tasks.core.paths import Paths
from tasks.resolve.check import Problems
from tasks.tuning.untrained import is_trained

RETENTION = "evaluation_set.retention.sources"

_FILES = {"mixtures": "mixtures", "experiments": "experiments", "sets": "experiments"}
"""Key → name of its file in ``params/``."""


@dataclass(frozen=True)
class Added:
    """Entries of one key of ``params/``.

    Attributes:
        entries: the new ones.
        kept: names of those that exist with the same content.
    """

    entries: Entries
    kept: list[str]


@dataclass(frozen=True)
class Use:
    """A set of experiments that fits a workspace.

    Attributes:
        paths: the workspace.
        question: the question that the set answers.
        experiments: names of all its experiments.
        added: ``mixtures``, ``experiments`` and ``sets`` → entries.
        baseline: the baseline of the comparison, if it is the untuned experiment of the set.
        retained: new sources of ``evaluation_set.retention``.
        remarks: what was left out, and why.
    """

    paths: Paths
    question: str
    experiments: Sequence[str]
    added: dict[str, Added]
    baseline: str | None
    retained: Sequence[str]
    remarks: Sequence[str]

    def texts(self) -> Texts:
        """The changed files of ``params/``, the experiments last, so that they never name a mixture that is missing.

        Raises:
            TunesmithError: a file is written so that it cannot be changed; one error holds all.
        """
        problems, texts = Problems(), Texts()
        changes = {"mixtures": self._mixtures, "evaluation": self._evaluation, "experiments": self._experiments}
        for name, change in changes.items():
            path = self.paths.params / f"{name}.yaml"
            before = path.read_bytes().decode()
            after = problems.catch(change, before, path)
            if after is not None and after != before:
                texts[path] = after
        problems.refuse()
        return texts

    def _mixtures(self, text: str, path: Path) -> str:
        entries = self.added["mixtures"].entries
        return with_entries(text, path, "mixtures", entries) if entries else text

    def _evaluation(self, text: str, path: Path) -> str:
        for source in self.retained:
            text = with_item(text, path, RETENTION.split("."), source)
        return text

    def _experiments(self, text: str, path: Path) -> str:
        if entries := self.added["experiments"].entries:
            text = with_entries(text, path, "experiments", entries)
        if sets := self.added["sets"].entries:
            text = with_entries(with_section(text, path, "sets"), path, "sets", sets, one_line=False)
        return text

    def blocks(self) -> str:
        """The new entries, each below the file and the key to which it belongs."""
        parts = []
        for key, file in _FILES.items():
            entries = self.added[key].entries
            lines = yaml_lines(entries) if key == "sets" else [on_one_line(*one)[0] for one in entries.items()]
            if lines:
                parts += [f"# params/{file}.yaml, under the key `{key}`:", *(f"  {line}" for line in lines)]
        if self.retained:
            sources = value_at(read_yaml(self.paths.params / "evaluation.yaml"), RETENTION) or []
            listed = ", ".join([*sources, *self.retained])
            parts += [f"# params/evaluation.yaml, as `{RETENTION}`:", f"  sources: [{listed}]"]
        return "\n".join(parts)

    def lines(self) -> list[str]:
        """What was written, kept and left out, what it costs, and what to run next."""
        lines = [self.question]
        for key, file in _FILES.items():
            lines += _changes(f"params/{file}.yaml: {key}", self.added[key])
        if self.baseline is not None:
            lines.append(f"params/experiments.yaml: {self.baseline} is the untuned experiment of the set")
        if self.retained:
            lines.append(f"params/evaluation.yaml: {RETENTION}: added {', '.join(self.retained)}")
            lines.append("so every experiment of the workspace is evaluated again, but none is trained again for this")
        return [*lines, *self.remarks, self._cost(), "next: `tunesmith plan`, then `tunesmith run`"]

    def _cost(self) -> str:
        """Trainings and evaluations that have no result yet: those of the set, or all if every experiment is evaluated
        on new sources."""
        entries = read_yaml(self.paths.params / "experiments.yaml")["experiments"] | self.added["experiments"].entries
        trained = [name for name in self.experiments if is_trained(entries[name]["method"])]
        trainings = [name for name in trained if not (self.paths.model(name) / "manifest.json").exists()]
        reports = [name for name in self.experiments if not (self.paths.report(name) / "metrics.json").exists()]
        reports = list(entries) if self.retained else reports
        done = [name for name in self.experiments if name not in {*trainings, *reports}]
        rest = f"; built already: {', '.join(done)}" if done else ""
        return f"cost: {counted(len(trainings), 'training')} and {counted(len(reports), 'evaluation')}{rest}"


def _changes(where: str, added: Added) -> list[str]:
    parts = [f"added {', '.join(added.entries)}"] if added.entries else []
    parts += [f"kept {', '.join(added.kept)} (same content)"] if added.kept else []
    return [f"{where}: {'; '.join(parts)}"] if parts else []
