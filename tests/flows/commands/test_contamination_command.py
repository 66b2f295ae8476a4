"""``tunesmith contamination``: what a mixture holds of test rows and of any file."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.commands.contamination import compare_file, examine, texts_of_file
from tasks.core.errors import TunesmithError
from tasks.core.files import read_json, write_json, write_rows
from tasks.core.params import write_yaml
from tasks.core.paths import Paths
from tasks.core.stage import Stage
from tasks.evaluation_set import run as evaluation_set
from tasks.evaluation_set.params import EvaluationSetParams
from tasks.mix.params import ContaminationParams, MixtureParams, Share
from tasks.mix.run import run
from tasks.text.rows import RENDERED
from tests.mix.splits import row

QUESTION = "Where does the customer of the blue kettle live, and which of the two couriers brings the parcel there?"
ANSWER = "The customer lives near the harbour and the second courier brings it."
LEFT_OUT = "A row that a test holds."


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """A workspace with the mixture ``m``: a row with an answer, and another that a test row equals."""
    paths = Paths(tmp_path / "workspace")
    train = [{"text": QUESTION, "references": [ANSWER]}, LEFT_OUT]
    paths.split("one").mkdir(parents=True)
    for part, items in {"train": train, "validation": ["watched"], "test": [LEFT_OUT, "another"]}.items():
        write_rows(paths.split("one") / f"{part}.parquet", [row("one", item) for item in items], RENDERED)
    paths.params.mkdir()
    write_yaml(
        paths.params / "mixtures.yaml", {"mixtures": {"m": {"sources": {"one": {}}}, "n": {}}, "contamination": {}}
    )
    write_yaml(paths.params / "sources.yaml", {"sources": {"one": {}}})
    evaluation_set.run(EvaluationSetParams(sources=["one"]), paths, Stage("evaluation_set", paths.root))
    run(
        "m",
        MixtureParams(sources={"one": Share()}),
        ContaminationParams(max_left_out=0.5),
        paths,
        Stage("mix@m", paths.root),
    )
    return paths


def test_a_mixture_shows_what_its_stage_found(paths: Paths) -> None:
    cells = ["2", "0 (0.0%)", "1 + 0", "0 + 0", "0 + 0", "0 + 0", "0 + 0", "1"]
    assert list(examine(paths, "m", None)) == [("mixture m", {"one": cells})]


def test_a_measure_that_an_earlier_version_did_not_count_is_a_dash(paths: Paths) -> None:
    file = paths.mixture("m") / "contamination.json"
    report = read_json(file)
    for side in ("input", "reference"):
        del report["sets"]["one"]["counts"][f"contained_{side}"]
    write_json(file, report)
    ((_, sets),) = examine(paths, "m", None)
    assert sets["one"][:5] == ["2", "0 (0.0%)", "1 + 0", "0 + 0", "–"]


def test_a_file_is_compared_text_by_text_with_inputs_and_references(paths: Paths, tmp_path: Path) -> None:
    """One row has the question in other letters, one the answer with another word; labels and numbers are nothing.

    The answer lies in a list of mappings.
    """
    file = tmp_path / "bench.jsonl"
    changed = ANSWER.replace("harbour", "station")
    rows = [
        {"question": QUESTION.upper(), "label": "ok", "number": 3},
        {"question": "A new one?", "answers": ["yes", {"texts": [{"text": changed, "start": 4}]}]},
    ]
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    counts = compare_file(paths, "m", file)["sets"]["bench.jsonl"]
    assert counts["rows"] == 5, "texts: two questions, a label, two answers"
    assert counts["counts"]["exact_input"] == 1 and counts["counts"]["exact_reference"] == 0
    assert counts["counts"]["near_duplicate_input"] == 1, "12 words of a reference, one of them another"
    assert counts["counts"]["dirty"] == 2 and counts["counts"]["left_out"] == 0
    ((title, hits),) = examine(paths, "m", file)
    assert (title, hits["bench.jsonl"][:4]) == ("mixture m", ["5", "2 (40.0%)", "1 + 0", "1 + 0"])
    assert texts_of_file(file).column("template_id").to_pylist()[-1] == "answers.texts.text"


def test_files_of_every_kind_are_read(tmp_path: Path) -> None:
    for name, text in {"a.csv": "q,n\nhello there,1\n", "b.txt": "one\nparagraph\n\n\nanother\n"}.items():
        (tmp_path / name).write_text(text)
    pq.write_table(pa.table({"q": ["hello"], "n": [1]}), tmp_path / "c.parquet")
    places = {
        name: [(r["row_id"], r["template_id"], r["identity"]) for r in texts_of_file(tmp_path / name).to_pylist()]
        for name in ("a.csv", "b.txt", "c.parquet")
    }
    assert places == {
        "a.csv": [("2", "q", "hello there"), ("2", "n", "1")],
        "b.txt": [("1", "text", "one\nparagraph"), ("5", "text", "another")],
        "c.parquet": [("1", "q", "hello")],
    }


@pytest.mark.parametrize(
    ("mixture", "file", "message"),
    [
        ("x", None, "contamination: no mixture 'x' in params/mixtures.yaml; there are: m, n"),
        ("n", None, "mixtures/n/contamination.json: no such file; run `tunesmith run` (or `dvc repro mix@n`) to build"),
        ("m", "gone.txt", "gone.txt: no such file"),
        ("m", "gone.jsonl", "gone.jsonl: no such file"),
        (
            "m",
            "bench.pdf",
            "the ending must be one of .csv, .tsv, .jsonl, .ndjson, .json, .xlsx, .parquet, .arrow, .feather, .md, "
            ".text",
        ),
        ("m", "latin.txt", "not UTF-8 at byte 3; convert the file (if it is Latin-1: `iconv -f ISO-8859-1 -t UTF-8 "),
        ("m", "empty.txt", "empty.txt: a file to compare with must hold text; it holds none"),
    ],
)
def test_what_cannot_be_compared_is_named(
    paths: Paths, tmp_path: Path, mixture: str, file: str | None, message: str
) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(TunesmithError) as caught:
        list(examine(paths, mixture, tmp_path / file if file else None))
    assert message in str(caught.value)
