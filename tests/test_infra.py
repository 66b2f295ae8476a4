"""``infra/``: files of Compose and Kubernetes fit their schemas, and fit together."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import prefect
import pytest
import yaml
from prefect.utilities.templating import apply_values, find_placeholders

INFRA = Path(__file__).parents[1] / "infra"
KUBERNETES = INFRA / "kubernetes"

_VERSION = "1.33"

_KNOWN_POOLS = "server/api/collections_data/views/aggregate-worker-metadata.json"


def _objects() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(KUBERNETES.glob("*.yaml")):
        for number, content in enumerate(yaml.safe_load_all(file.read_text(encoding="utf-8"))):
            if content["kind"] != "Kustomization":
                yield f"{file.name}:{number}", content


OBJECTS = dict(_objects())


def test_compose_fits_its_schema(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text("services: {one: {image: x, volume: []}}")
    assert all(_checked(INFRA / name) == 0 for name in ("compose.yaml", "compose.gpu.yaml")) and _checked(wrong) != 0


def test_only_workers_get_gpus(tmp_path: Path) -> None:
    """One of them by default; the comment adds the other."""
    text = (INFRA / "compose.gpu.yaml").read_text()
    both = tmp_path / "compose.gpu.yaml"
    both.write_text(text.replace("\n  # ", "\n  "))
    assert set(yaml.safe_load(text)["services"]) == {"worker"}
    assert set(yaml.safe_load(both.read_text())["services"]) == {"worker", "clone"} < set(_services())
    assert _checked(both) == 0


def _checked(file: Path) -> int:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, check=False).returncode


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_of_kubernetes_fit_their_schemas(name: str) -> None:
    kubernetes_validate.validate(OBJECTS[name], _VERSION, strict=True)


def test_a_wrong_object_does_not_fit() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**OBJECTS["namespace.yaml:0"], "specs": {}}, _VERSION, strict=True)


def test_kustomize_names_files_that_exist() -> None:
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    names = [*kustomization["resources"], *kustomization["configMapGenerator"][0]["files"]]
    assert names and all((KUBERNETES / name).is_file() for name in names)
    unused = {path.name for path in KUBERNETES.iterdir()} - {*names, "kustomization.yaml", "train-job.yaml", ".env"}
    assert unused == set()


def test_files_that_compose_mounts_exist() -> None:
    mounted = re.findall(r"(\./kubernetes/\S+):/", (INFRA / "compose.yaml").read_text())
    assert len(mounted) == 3 and all((INFRA / path).is_file() for path in mounted)


def test_every_variable_is_in_the_example() -> None:
    example = set(re.findall(r"^#?(\w+)=", (INFRA / "env.example").read_text(), re.MULTILINE))
    compose = set(re.findall(r"\$\{(\w+)", (INFRA / "compose.yaml").read_text()))
    keys = {
        entry["valueFrom"]["secretKeyRef"]["key"]
        for content in OBJECTS.values()
        for container in _containers(content)
        for entry in container.get("env", ())
        if "valueFrom" in entry
    }
    assert compose and keys and compose | keys <= example


def test_both_run_the_same_services_in_the_same_images() -> None:
    compose = {name: service["image"] for name, service in _services().items() if name != "clone"}
    kubernetes = {
        content["metadata"]["name"]: container["image"]
        for name, content in OBJECTS.items()
        for container in _containers(content)
        if name != "train-job.yaml:0"
    }
    assert kubernetes == compose


def test_jobs_outside_the_kustomization_use_its_image_and_its_secret() -> None:
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    (image,) = kustomization["images"]
    name = f"{image['newName']}:{image['newTag']}"
    (container,) = _containers(OBJECTS["train-job.yaml:0"])
    assert container["image"] == name == _template("kubernetes")["variables"]["properties"]["image"]["default"]
    (secret,) = kustomization["secretGenerator"]
    assert secret["options"]["disableNameSuffixHash"], "kustomize would rename the secret"


def _services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]
    return services


def _containers(content: dict[str, Any]) -> list[dict[str, Any]]:
    template = (content.get("spec") or {}).get("template") or {}
    containers: list[dict[str, Any]] = (template.get("spec") or {}).get("containers") or []
    return containers


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_a_pools_template_fills_what_prefects_own_template_fills(kind: str) -> None:
    template = _template(kind)
    known = json.loads((Path(prefect.__file__).parent / _KNOWN_POOLS).read_text(encoding="utf-8"))
    own = known[f"prefect-{kind}"][kind]["default_base_job_configuration"]
    newer = {"container_create_kwargs"}  # prefect-docker 0.7.4 has it; the catalogue in Prefect is older
    assert set(template["job_configuration"]) <= set(own["job_configuration"]) | newer
    named = {one.name for one in find_placeholders(template["job_configuration"])}
    assert named == set(template["variables"]["properties"])
    variables = template["variables"]["properties"]
    assert all(variables[name].get("title") and variables[name].get("description") for name in variables)


def test_the_job_of_the_kubernetes_pool_fits_its_schema() -> None:
    template = _template("kubernetes")
    defaults = {name: one["default"] for name, one in template["variables"]["properties"].items() if "default" in one}
    job = apply_values(template["job_configuration"]["job_manifest"], defaults)
    pod = job["spec"]["template"]["spec"]
    assert [pod.pop(name) for name in ("completions", "parallelism")] == [1, 1], "only Prefect wants them here"
    (container,) = pod["containers"]
    container["env"] = [{"name": name, "value": value} for name, value in container["env"].items()]  # as Prefect does
    kubernetes_validate.validate(job, _VERSION, strict=True)
    assert container["image"] == pod["initContainers"][0]["image"] and container["envFrom"]


def _template(kind: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((INFRA / f"pools/{kind}.yaml").read_text(encoding="utf-8"))
    return content
