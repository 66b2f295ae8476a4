"""``tunesmith predict`` on a built tiny workspace."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from flows.cli import main
from tasks.ingest.tables import read_table, write_table
from tests.flows.command_line import Cli, one_error


def test_predict_needs_a_text(built: Path, cli: Cli) -> None:
    assert "predict: the text must not be empty" in one_error(cli(built, "predict", "--experiment", "lora", " "))


def test_predict_prints_the_answer_alone_and_the_rest_on_stderr(
    built: Path, cli: Cli, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": 1, "dialogue": "Customer: hello"}, {"id": 2, "prompt": "Say something."}]
    source, target = tmp_path / "f.jsonl", tmp_path / "g.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, printed = cli(built, "predict", "--input", source, "--output", target)
    answers = [json.loads(line) for line in target.read_text().splitlines()]
    assert code == 0 and [answer["id"] for answer in answers] == [1, 2]
    assert all(isinstance(answer["completion"], str) and "finished" in answer for answer in answers)
    assert {answer["template"] for answer in answers} == {"demo/summarise"}
    assert "loading lora …" in printed and "lora: template demo/summarise\n" in printed

    monkeypatch.setattr(sys, "argv", ["tunesmith", "predict", "--experiment", "lora", "Customer: hello"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().out == answers[0]["completion"] + "\n"


def test_predict_answers_the_test_rows_of_a_csv_file_as_they_were_evaluated(
    built: Path, cli: Cli, tmp_path: Path
) -> None:
    """From a source's own columns, by several experiments at once, one of them with an example in its prompt."""
    names = ("base", "lora")
    of_test = pq.read_table(built / "data/evaluation/test.parquet").to_pylist()
    write_table(tmp_path / "rows.csv", [{"id": row["row_id"], "dialogue": row["text"]} for row in of_test])
    options = [part for name in names for part in ("--experiment", name)]
    code, printed = cli(
        built, "predict", *options, "--input", tmp_path / "rows.csv", "--output", tmp_path / "out.parquet"
    )
    assert code == 0 and "base: template demo/summarise, 1 example in the prompt" in printed
    answers = [row for _, row in read_table(tmp_path / "out.parquet")]
    assert [answer["id"] for answer in answers] == [row["row_id"] for row in of_test for _ in names]
    for name in names:
        predictions = pq.read_table(built / f"reports/experiments/{name}/predictions.parquet").to_pylist()
        mine = [(row["completion"], row["finished"]) for row in answers if row["experiment"] == name]
        assert mine == [(row["completion"], row["finished"]) for row in predictions]


def test_predict_needs_a_free_column_for_the_names(built: Path, cli: Cli, tmp_path: Path) -> None:
    source, target = tmp_path / "f.jsonl", tmp_path / "g.jsonl"
    source.write_text('{"experiment": "mine", "dialogue": "Customer: hello"}\n')
    both = ("--experiment", "base", "--experiment", "lora")
    error = one_error(cli(built, "predict", *both, "--input", source, "--output", target))
    assert "f.jsonl:1: with several experiments the column `experiment` must be free" in error


def test_a_row_without_the_columns_is_named(built: Path, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text('{"dialogue": "a"}\n{"text": "b"}\n')
    error = one_error(cli(built, "predict", "--input", tmp_path / "f.jsonl", "--output", tmp_path / "g.jsonl"))
    assert "f.jsonl:2: template demo/summarise needs the columns dialogue" in error
    assert not (tmp_path / "g.jsonl").exists()
