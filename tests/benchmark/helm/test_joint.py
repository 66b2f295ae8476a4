"""``helm.exact``: HELM's joint prompts to the letter, letters against the model's own logits, and samples."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tasks.benchmark.helm.joint import EXAMPLES, Joint, continued, score_letters
from tasks.benchmark.helm.measure_scenario import measure_scenario
from tasks.benchmark.helm.measure_texts import SAMPLED_TOKENS, SAMPLES
from tasks.benchmark.helm.measured import Measurements
from tasks.benchmark.helm.run import ModelRun
from tasks.benchmark.helm.scenarios import Question, QuestionRenderer, draw, load_scenarios
from tasks.core import files
from tasks.core.errors import TunesmithError
from tasks.core.paths import Paths
from tasks.inference.predict import Predictor
from tasks.template.library import LIBRARY
from tests.benchmark.helm.data_folder import bbq, put, write_every
from tests.benchmark.helm.settings import PARAMS

EXACT = PARAMS.model_copy(update={"exact": True})
MMLU = load_scenarios()["mmlu"]
LEGS = {"A": "two", "B": "six", "C": "eight", "D": "none"}


def exam(question: str, answer: str, subject: str = "high_school_biology") -> dict[str, str]:
    return {"subject": subject, "question": question, **LEGS, "answer": answer}


def joint(data: Path, rows: int = 4) -> tuple[Joint, list[Question]]:
    drawn = draw("mmlu", MMLU, data, rows, 0)
    renderer = Joint("mmlu", MMLU, LIBRARY, data, drawn, 0)
    return renderer, [renderer.question(instance) for instance in drawn]


def test_a_prompt_is_helms_to_the_letter(tmp_path: Path) -> None:
    put(tmp_path, "mmlu/test.jsonl", [exam("How many legs has a spider?", "C")])
    put(tmp_path, "mmlu/dev.jsonl", [exam("An ant?", "B"), exam("A stone?", "D", "geology")])
    _, (question,) = joint(tmp_path)
    assert question.prompt == (
        "The following are multiple choice questions (with answers) about high school biology.\n"
        "\n"
        "Question: An ant?\nA. two\nB. six\nC. eight\nD. none\nAnswer: B\n"
        "\n"
        "Question: How many legs has a spider?\nA. two\nB. six\nC. eight\nD. none\nAnswer:"
    )
    assert (question.choices, question.answer) == (("A", "B", "C", "D"), 2)


def test_examples_take_turns_over_the_answers_the_most_frequent_first(tmp_path: Path) -> None:
    put(tmp_path, "mmlu/test.jsonl", [exam("A spider?", "C")])
    put(tmp_path, "mmlu/dev.jsonl", [exam(f"{answer}{i}?", answer) for i, answer in enumerate("DDDBBBBA")])
    _, (question,) = joint(tmp_path)
    answers = [block.split("Answer: ")[1][0] for block in question.prompt.split("\n\n")[1:-1]]
    assert answers == ["B", "D", "A", "B", "D"] and len(answers) == EXAMPLES
    assert joint(tmp_path)[1] == [question], "the same examples every time"


def test_examples_of_bbq_are_rows_that_are_not_measured(tmp_path: Path) -> None:
    put(tmp_path, "bbq/Age.jsonl", [bbq(i, i % 2 == 0, i % 4 < 2) | {"context": f"Context {i}."} for i in range(12)])
    scenario = load_scenarios()["bbq"]
    drawn = draw("bbq", scenario, tmp_path, 8, 0)
    prompt = Joint("bbq", scenario, LIBRARY, tmp_path, drawn, 0).question(drawn[0]).prompt
    head, *examples, last = prompt.split("\n\n")
    assert head == "The following are multiple choice questions (with answers)."
    assert last == (
        f"Passage: {drawn[0].values['context']}\nQuestion: {drawn[0].values['question']}\n"
        "A. The grandson\nB. Not known\nC. The grandma\nAnswer:"
    )
    shown = [example.splitlines()[0].removeprefix("Passage: ") for example in examples]
    assert len(shown) == len(set(shown)) == 4, "the fourth block of four is all that is left"
    assert not set(shown) & {instance.values["context"] for instance in drawn}
    with pytest.raises(TunesmithError, match=r"bbq: helm.exact needs example rows that are not measured; bbq/\*.jsonl"):
        Joint("bbq", scenario, LIBRARY, tmp_path, draw("bbq", scenario, tmp_path, 12, 0), 0)


def test_examples_that_do_not_fit_are_left_out(tmp_path: Path, base: Predictor) -> None:
    assert base.context is not None
    put(tmp_path, "mmlu/test.jsonl", [exam("A spider?", "C")])
    put(tmp_path, "mmlu/dev.jsonl", [exam(f"{i} " + "leg " * (base.context // 6), "B") for i in range(5)])
    renderer, (whole,) = joint(tmp_path)
    fitted = renderer.fitted(base)
    (instance,) = draw("mmlu", MMLU, tmp_path, 4, 0)
    question = fitted.question(instance)
    kept = question.prompt.count("Answer: ")
    assert 0 < kept < whole.prompt.count("Answer: ") == 5
    assert whole.prompt.startswith(question.prompt.rpartition("Question: A spider?")[0])
    assert len(continued(base.renderer, question.prompt)) < base.context and fitted.fits(question)
    assert not fitted.fits(whole)


def test_what_exact_lacks_is_named(tmp_path: Path) -> None:
    put(tmp_path, "mmlu/test.jsonl", [exam("A spider?", "C")])
    with pytest.raises(TunesmithError, match=r"not measured, of high school biology; mmlu/dev.jsonl in .* has none"):
        joint(tmp_path)
    row = exam("A spider?", "C")
    del row["subject"]
    put(tmp_path, "mmlu/test.jsonl", [row])
    with pytest.raises(TunesmithError, match=r"mmlu/test.jsonl:1: with helm.exact .* needs the column 'subject'"):
        joint(tmp_path)


def test_letters_are_the_models_next_token(base: Predictor) -> None:
    questions = [Question(text, ("A", "B"), 0) for text in ("a lamp Answer:", "my parcel is late, b Answer:")]
    scored = score_letters(base, questions, 256)
    for question, logprobs, (text, confidence) in zip(questions, scored.logprobs, scored.generated or [], strict=True):
        ids = continued(base.renderer, question.prompt)
        with torch.no_grad():
            expected = base.model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        best = int(expected.argmax())
        assert text == base.renderer.tokenizer.decode([best]).strip()
        assert confidence == pytest.approx(float(expected[best].exp()), abs=1e-5)
        for letter, value in zip(question.choices, logprobs, strict=True):
            tokens = [
                base.renderer.tokenizer(form, add_special_tokens=False)["input_ids"][-1]
                for form in (letter, f" {letter}")
            ]
            assert value == pytest.approx(max(float(expected[token]) for token in tokens), abs=1e-4)


def test_exact_runs_letters_samples_and_helms_perturbations(trained: Paths, base: Predictor, tmp_path: Path) -> None:
    data = write_every(tmp_path)
    put(data, "mmlu/dev.jsonl", [exam("An ant?", "B")])
    manifest = files.read_json(trained.model("base") / "manifest.json")
    scenarios = load_scenarios(["sst2", "mmlu", "bbq", "real_toxicity_prompts"])
    run = ModelRun(manifest, lambda: base, data, EXACT, trained, timed=False)
    done = run.measure(scenarios, [], Measurements(), lambda name, so_far: None)
    assert {entry["status"] for entry in done.scenarios.values()} == {"done"}
    assert list(done.scenarios["sst2"]["details"]["robustness"]) == ["mild_mix"]
    assert list(done.scenarios["sst2"]["details"]["fairness"]) == ["dialect", "gender", "names_black"]
    assert "accuracy_by_sum" in done.scenarios["sst2"]["details"]
    for name in ("mmlu", "bbq"):
        rows = [row for row in done.rows if row["scenario"] == name and row["variant"] == "original"]
        assert all(
            row["prompt"].endswith("Answer:") and row["choices"] in (["A", "B", "C", "D"], ["A", "B", "C"])
            for row in rows
        )
        for row in rows:
            letters = dict(enumerate(row["choices"]))
            assert letters.get(row["predicted"], row["completion"]) == row["completion"]
        outside = sum(row["predicted"] is None for row in rows)
        assert done.scenarios[name]["details"]["no_choice"] == outside
    toxic = [row for row in done.rows if row["scenario"] == "real_toxicity_prompts"]
    assert done.scenarios["real_toxicity_prompts"]["cells"]["toxicity"]["n"] * SAMPLES == len(toxic)
    assert [row["variant"] for row in toxic[:SAMPLES]] == [f"sample {i + 1}" for i in range(SAMPLES)]
    assert len({row["instance"] for row in toxic[:SAMPLES]}) == 1 and toxic[0]["prompt"].startswith("The lamp")
    assert max(row["tokens"] for row in toxic) <= SAMPLED_TOKENS
    assert len({row["completion"] for row in toxic[:SAMPLES]}) > 1
    again = run.measure(scenarios, [], Measurements(), lambda name, so_far: None)
    assert again.rows == done.rows
    assert run.measure(scenarios, [], done, lambda name, so_far: None).seconds == {}, "nothing is measured again"


def test_without_exact_a_scenario_uses_its_own_template(base: Predictor, tmp_path: Path) -> None:
    data = write_every(tmp_path)
    drawn = draw("mmlu", MMLU, data, 4, 0)
    measured, dropped = measure_scenario(MMLU, drawn, QuestionRenderer("mmlu", MMLU, LIBRARY), base, PARAMS)
    assert dropped == 0 and "no_choice" not in measured.details
    assert measured.rows[0]["prompt"].endswith("Answer with the letter of the right answer.")
    assert measured.rows[0]["confidence"] == max(measured.rows[0]["probabilities"])
