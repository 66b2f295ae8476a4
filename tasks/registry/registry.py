"""The MLflow registry: versions of the judged models, their aliases, and the gate's stored decisions.

The decisions are tags of the registered model, so they survive if ``.tunesmith/`` or runs are deleted.
"""

from __future__ import annotations

import json

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.gate.looks import Look, RowSet, parse_tag
from tasks.gate.params import CHALLENGER, PREVIOUS
from tasks.model.signatures import signing_key
from tasks.registry.decisions import Decided, now
from tasks.serving.package import MODEL, make_servable
from tasks.serving.signed import is_signed, is_stale, sign_model
from tasks.tracking.client import Tracker
from tasks.tracking.logged_model import link_version
from tasks.tracking.tag_names import KEY, WEIGHTS

# Existing registries hold these tags, so their names must not change.
_COMPARED, _REFUSED, _LAST, _PROMOTED, _UNFINISHED = (
    f"tunesmith.{kind}" for kind in ("asked", "refused", "decision", "crowned", "unfinished")
)
_SHORT = 12
"""Digits of a sha256 in the name of a tag."""
_LONGEST_TAG = 5000
"""Most characters that MLflow's database stores in a tag of a registered model."""


class Registry:
    """The registered model ``name`` and its ``alias``."""

    def __init__(self, tracker: Tracker, name: str, alias: str) -> None:
        self.client, self.name, self.alias = tracker.client, name, alias

    def exists(self) -> bool:
        """Whether a registered model of this name exists."""
        try:
            self.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def ensure(self) -> None:
        """Create the registered model unless it exists."""
        if not self.exists():
            self.client.create_registered_model(self.name, description="Language models tuned by Tunesmith")

    def champion(self) -> ModelVersion | None:
        """The version that the champion's alias points to; None without one."""
        return self.version_at(self.alias)

    def version_at(self, alias: str) -> ModelVersion | None:
        """The version that ``alias`` points to; None without one."""
        number = self.client.get_registered_model(self.name).aliases.get(alias)
        return None if number is None else self.client.get_model_version(self.name, str(number))

    def version(self, number: str) -> ModelVersion:
        """The version with this number.

        Raises:
            TunesmithError: there is none.
        """
        versions = self._versions()
        if number not in versions:
            known = ", ".join(sorted(versions, key=int)) or "none yet"
            raise TunesmithError(f"models:/{self.name}/{number}: no such version; there are: {known}")
        return versions[number]

    def find(self, number: int) -> ModelVersion | None:
        """The version with this number; None if it is deleted."""
        return self._versions().get(str(number))

    def _versions(self) -> dict[str, ModelVersion]:
        return {str(one.version): one for one in self.client.search_model_versions(f"name = '{self.name}'")}

    def set_alias(self, alias: str, version: ModelVersion) -> None:
        """Point ``alias`` to ``version``, and read it back.

        Raises:
            TunesmithError: afterwards the alias points to another version.
        """
        self.client.set_registered_model_alias(self.name, alias, version.version)
        now_at = self.version_at(alias)
        if now_at is None or str(now_at.version) != str(version.version):
            raise TunesmithError(
                f"models:/{self.name}@{alias}: the alias was set to version {version.version}, but it reads back as "
                f"{now_at.version if now_at else 'missing'}; another program changes it at the same time; run again"
            )

    def drop_alias(self, alias: str, number: int | str) -> None:
        """Remove ``alias`` if it points to the version ``number``."""
        present = self.version_at(alias)
        if present is not None and str(present.version) == str(number):
            self.client.delete_registered_model_alias(self.name, alias)

    def tag_version(self, version: ModelVersion, tags: dict[str, str | None]) -> None:
        """Set tags of a version; None removes a tag."""
        for name, value in tags.items():
            if value is not None:
                self.client.set_model_version_tag(self.name, version.version, name, value[:_LONGEST_TAG])
            elif name in version.tags:
                self.client.delete_model_version_tag(self.name, version.version, name)

    def version_of(self, key: str, weights: str) -> ModelVersion | None:
        """The version of the model with ``key``, or None; a key has at most one version.

        Raises:
            TunesmithError: that version has other weights than ``weights``, those of the candidate.
        """
        versions = self.client.search_model_versions(f"name = '{self.name}'")
        same = next((v for v in versions if v.tags.get(KEY) == key), None)
        if same and same.tags.get(WEIGHTS) != weights:
            raise TunesmithError(
                f"models:/{self.name}/{same.version}: a key has one version; this one has the candidate's key and "
                f"other weights ({same.tags.get(WEIGHTS)}, not {weights}). Give the candidate another "
                "`seed` in params/experiments.yaml, or delete that version in MLflow"
            )
        return same

    def add(self, run_id: str, tags: dict[str, str], description: str) -> ModelVersion:
        """Create a version of the model in the run ``run_id``; make it servable, and sign it if a key is configured."""
        make_servable(self.client, run_id)
        if signing_key() is not None:
            sign_model(self.client, run_id, tags[WEIGHTS])
        source = f"runs:/{run_id}/{MODEL}"
        return self.client.create_model_version(self.name, source, run_id, tags=tags, description=description)

    def describe(self, version: ModelVersion, text: str) -> None:
        """Replace the description of a version."""
        self.client.update_model_version(self.name, version.version, text)

    def restore_serving(self, run_ids: set[str]) -> None:
        """Restore what ``sync`` cannot: serving files that are lost, and signatures of models that ``sync`` changed.

        Args:
            run_ids: the runs of the present experiments.
        """
        for registered in self.client.search_model_versions(f"name = '{self.name}'"):
            run_id = str(registered.run_id)
            stored = {entry.path for entry in self.client.list_artifacts(run_id, MODEL)} if run_id in run_ids else {}
            if not stored:
                continue
            lost = f"{MODEL}/MLmodel" not in stored
            signed = signing_key() is not None and WEIGHTS in registered.tags and is_signed(self.client, run_id)
            if lost or (signed and is_stale(self.client, run_id)):
                make_servable(self.client, run_id)
                if signed:  # new serving files differ from the signed ones
                    sign_model(self.client, run_id, registered.tags[WEIGHTS])

    def count_decision(self, rows: RowSet, digest: str) -> Look:
        """Count the decision with this ``digest`` on the test set ``rows``.

        A repeated decision, such as that of a scheduled run when nothing changed, is not another chance on the test
        set, so it is not counted again. Each decision is one tag, so a process that is killed and starts again counts
        once, with the same number.
        """
        counted, test = self._decisions_on(rows), rows.sha256[:_SHORT]
        key = (test, digest[:_SHORT])
        if key in counted:
            look = Look(parse_tag(counted[key]).get("number", len(counted)), len(counted))
        else:
            look = Look(len(counted) + 1, len(counted) + 1)
            self._tag(f"{_COMPARED}.{test}.{digest[:_SHORT]}", rows.tag(look.number, now()))
        self._tag(f"tunesmith.decisions.{test}", str(look.count))
        return look

    def decisions_on(self, rows: RowSet) -> int:
        """Number of different decisions on the test set so far."""
        return len(self._decisions_on(rows))

    def _decisions_on(self, rows: RowSet) -> dict[tuple[str, str], str]:
        """(start of ``test_sha256``, start of the digest) → tag of each decision that counts on the test set."""
        counted: dict[tuple[str, str], str] = {}
        prefix = f"{_COMPARED}."
        for name, value in self.client.get_registered_model(self.name).tags.items():
            test, _, digest = name.removeprefix(prefix).partition(".")
            if name.startswith(prefix) and rows.is_of(test, value):
                # The first version kept the digests of all decisions on a test set in one tag.
                counted |= {(test, one): value for one in ([digest] if digest else value.split())}
        return counted

    def refusal(self, judged: str) -> Decided | None:
        """The refusal stored for the digest ``judged``, or None."""
        return self._decided(f"{_REFUSED}.{judged[:24]}")

    def remember_refusal(self, judged: str, decided: Decided) -> None:
        """Store a refusal under the digest ``judged``."""
        self._keep(f"{_REFUSED}.{judged[:24]}", decided)

    def last(self) -> Decided | None:
        """The latest decision on this alias; None without one."""
        return self._decided(f"{_LAST}.{self.alias}")

    def remember(self, decided: Decided) -> None:
        """Store the latest decision on this alias."""
        self._keep(f"{_LAST}.{self.alias}", decided)

    def begin(self, decided: Decided) -> None:
        """Store a promotion or a rejection whose steps follow."""
        self._keep(self.unfinished_tag, decided)

    def end(self) -> None:
        """Remove what ``begin`` stored."""
        self.client.delete_registered_model_tag(self.name, self.unfinished_tag)

    def unfinished(self) -> Decided | None:
        """The decision whose steps are not all done; None without one."""
        return self._decided(self.unfinished_tag)

    @property
    def unfinished_tag(self) -> str:
        """The tag of the registered model that ``begin`` sets."""
        return f"{_UNFINISHED}.{self.alias}"

    def refuse_moved(self, before: ModelVersion | None) -> None:
        """Raise TunesmithError if another version than ``before`` is the champion now."""
        present = self.champion()
        if (present and str(present.version)) != (before and str(before.version)):
            raise TunesmithError(
                f"models:/{self.name}@{self.alias}: the decision compared with "
                f"{f'version {before.version}' if before else 'no champion'}, but "
                f"{f'version {present.version}' if present else 'none'} is the champion now; run again to decide anew"
            )

    def promote(self, version: ModelVersion, decided: Decided, before: ModelVersion | None) -> None:
        """Record the decision, then move the champion's alias from ``before`` to ``version``.

        ``before`` becomes ``previous``. This also removes the alias ``challenger`` from ``version``.
        """
        self._keep(f"{_PROMOTED}.{self.alias}", decided | {"version": int(version.version)})
        link_version(self.client, str(version.run_id), self.name, str(version.version))
        if before is not None and str(before.version) != str(version.version):
            self.set_alias(PREVIOUS, before)
        self.set_alias(self.alias, version)
        self.drop_alias(CHALLENGER, version.version)

    def promotion(self, version: ModelVersion) -> Decided | None:
        """The decision that moved the alias to ``version``; None if a person set the alias in MLflow."""
        decided = self._decided(f"{_PROMOTED}.{self.alias}")
        return decided if decided and decided["version"] == int(version.version) else None

    def _tag(self, name: str, value: str) -> None:
        self.client.set_registered_model_tag(self.name, name, value)

    def _keep(self, name: str, decided: Decided) -> None:
        """Store ``decided`` in one tag, with as many of its reasons as fit."""
        reasons = list(decided["reasons"])
        while len(value := files.canonical_json(decided | {"reasons": reasons})) > _LONGEST_TAG and reasons:
            reasons.pop()
        self._tag(name, value)

    def _decided(self, name: str) -> Decided | None:
        value = self.client.get_registered_model(self.name).tags.get(name)
        decided: Decided | None = json.loads(value) if value else None
        return decided
