"""The generator of demonstration chats: reproducible, split by pairs, varied, and truthful in its summaries."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from tasks.ingest.demo import generate
from tasks.ingest.demo.catalog import can_share, is_held_out, load, pairs
from tasks.ingest.demo.chat_plan import STANDALONE
from tasks.ingest.demo.template_slots import capitalize, fill, names

ROOT = Path(__file__).parents[2]
SEED, TRAIN_ROWS, TEST_ROWS = 11, 1600, 400
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def generated() -> tuple[Rows, Rows]:
    return generate(seed=SEED, train_rows=TRAIN_ROWS, test_rows=TEST_ROWS)


@pytest.fixture(scope="module")
def train(generated: tuple[Rows, Rows]) -> Rows:
    return generated[0]


@pytest.fixture(scope="module")
def test(generated: tuple[Rows, Rows]) -> Rows:
    return generated[1]


def test_there_are_as_many_rows_as_the_parameters_request(train: Rows, test: Rows) -> None:
    assert (len(train), len(test)) == (TRAIN_ROWS, TEST_ROWS)


def test_rows_are_the_same_in_another_process_with_another_hash_seed() -> None:
    code = (
        "import hashlib, json; from tasks.ingest.demo import generate; "
        "rows = generate(seed=5, train_rows=40, test_rows=10); "
        "print(hashlib.sha256(json.dumps(rows).encode()).hexdigest())"
    )
    here = sha256(json.dumps(generate(seed=5, train_rows=40, test_rows=10)).encode()).hexdigest()
    for hash_seed in ("1", "4242"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == here


def test_more_rows_only_append(train: Rows, test: Rows) -> None:
    fewer_train, fewer_test = generate(seed=SEED, train_rows=60, test_rows=7)
    assert fewer_train == train[:60]
    assert fewer_test == test[:7]


def test_another_seed_gives_other_chats(train: Rows) -> None:
    other, _ = generate(seed=SEED + 1, train_rows=50, test_rows=1)
    assert not {row["dialogue"] for row in other} & {row["dialogue"] for row in train}


@pytest.mark.parametrize(("train_rows", "test_rows", "name"), [(0, 1, "train_rows"), (1, -3, "test_rows")])
def test_too_few_rows_are_refused(train_rows: int, test_rows: int, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} must be at least 1; it is"):
        generate(seed=1, train_rows=train_rows, test_rows=test_rows)


def test_columns(train: Rows, test: Rows) -> None:
    for row in train + test:
        assert list(row) == ["chat_id", "dialogue", "summaries", "intents", "product", "turns"]
        lines = row["dialogue"].split("\n")
        assert all(re.match(r"(Customer|Agent): \S", line) for line in lines)
        speakers = [line.split(":")[0] for line in lines]
        assert all(a != b for a, b in pairwise(speakers))
        assert row["turns"] == len(lines)
        assert 1 <= len(row["intents"]) == len(set(row["intents"])) <= 3
    ids = [row["chat_id"] for row in train + test]
    assert len(set(ids)) == len(ids)


def test_pairs_of_the_test_side_never_occur_in_training(train: Rows, test: Rows) -> None:
    sides = [{(intent, row["product"]) for row in rows for intent in row["intents"]} for rows in (train, test)]
    assert not sides[0] & sides[1]
    assert not any(is_held_out(*pair) for pair in sides[0])
    assert all(is_held_out(*pair) for pair in sides[1])


def test_a_fifth_of_the_pairs_is_held_out_and_training_keeps_every_intent_and_product(train: Rows) -> None:
    kept, held = pairs(False), pairs(True)
    count_kept, count_held = (sum(map(len, table.values())) for table in (kept, held))
    assert 0.15 < count_held / (count_kept + count_held) < 0.25
    catalog = load()
    assert set(kept) == set(catalog.intents)
    assert {product for products in kept.values() for product in products} == set(catalog.products)
    assert {intent for row in train for intent in row["intents"]} == set(catalog.intents)
    assert {row["product"] for row in train} == set(catalog.products)


def test_held_out_is_a_fixed_hash() -> None:
    digest = sha256(b"damaged|Willow dress").digest()
    assert is_held_out("damaged", "Willow dress") == (int.from_bytes(digest[:8], "big") % 5 == 0)


def test_variety(train: Rows, test: Rows) -> None:
    assert len(load().intents) >= 20
    assert len(load().products) >= 40
    assert len({intent for row in test for intent in row["intents"]}) >= 20
    requests = Counter(len(row["intents"]) for row in train)
    assert set(requests) == {1, 2, 3}
    assert min(requests.values()) >= 0.04 * len(train)


def test_lengths_span_3_to_20_turns_and_stay_short_on_average(train: Rows) -> None:
    assert {row["turns"] for row in train} == set(range(3, 21))
    assert 110 < mean(len(row["dialogue"].split()) for row in train) < 170


def test_no_dialogue_occurs_twice(train: Rows, test: Rows) -> None:
    dialogues = [row["dialogue"] for row in train + test]
    assert len(set(dialogues)) == len(dialogues)


def test_references_are_one_to_three_short_and_different(train: Rows, test: Rows) -> None:
    counts = Counter(len(row["summaries"]) for row in train)
    assert set(counts) == {1, 2, 3}
    for row in train + test:
        assert len({re.sub(r"\W", "", summary) for summary in row["summaries"]}) == len(row["summaries"])
        for summary in row["summaries"]:
            assert 12 <= len(summary.split()) <= 60
            assert 1 <= len(re.findall(r"\.(?: |$)", re.sub(r"\bM[rs]s?\.", "", summary))) <= 3


def _values(summary: str) -> set[str]:
    """The numbers of a summary and the listed slot values that it contains."""
    numbers = {number.strip(".,;:") for number in re.findall(r"\S*\d\S*", summary)}
    return numbers | set(_listed().findall(summary))


@cache
def _listed() -> re.Pattern[str]:
    slots = load().slots
    listed = [value for values in slots["choice"].values() for value in values]
    listed += [value for groups in slots["group_choice"].values() for values in groups.values() for value in values]
    return re.compile("|".join(rf"\b{re.escape(value)}\b" for value in sorted(listed, key=len, reverse=True)))


def _claims(summary: str) -> set[str]:
    """What a summary may not invent: its values and its names."""
    return _values(summary) | set(re.findall(r"\b[A-Z][\w&-]*", summary)) - {"Customer", "Agent"}


def test_every_value_of_a_summary_occurs_in_the_dialogue(train: Rows, test: Rows) -> None:
    checked = 0
    for row in train + test:
        dialogue = row["dialogue"].lower()
        assert row["product"].lower() in dialogue
        for summary in row["summaries"]:
            claims = _claims(summary)
            checked += len(claims)
            assert not {claim for claim in claims if claim.lower() not in dialogue}, row
            assert _values(summary.replace(row["product"], "")), row
    assert checked > 10 * len(train)


def test_a_summary_names_its_product_and_no_other(train: Rows, test: Rows) -> None:
    mistaken = 0
    for row in train + test:
        others = [name for name in load().products if name != row["product"]]
        mistaken += any(name.lower() in row["dialogue"].lower() for name in others)
        for summary in row["summaries"]:
            assert row["product"] in summary
            assert not any(name in summary for name in others)
    assert mistaken > 20  # the agent's mistakes are there to be corrected


def test_one_agent_serves_a_chat_and_is_the_one_in_the_summary(train: Rows) -> None:
    agents = re.compile("|".join(rf"\b{name}\b" for name in load().people["agents"]))
    for row in train:
        spoken = set(agents.findall("\n".join(x for x in row["dialogue"].split("\n") if x.startswith("Agent"))))
        assert len(spoken) == 1
        assert all(set(agents.findall(summary)) == spoken for summary in row["summaries"])


def test_summaries_do_not_copy_sentences(train: Rows) -> None:
    symptoms = load().slots["choice"]["symptom"]  # such a value is a sentence by itself
    for row in train:
        sentences = [s.lower() for s in re.split(r"(?<=[.!?])\s|: |\n", row["dialogue"]) if len(s.split()) >= 6]
        sentences = [s for s in sentences if not any(symptom in s for symptom in symptoms)]
        for summary in row["summaries"]:
            assert not [s for s in sentences if s.rstrip(".!?") in summary.lower()]


def test_english_details(train: Rows, test: Rows) -> None:
    for row in train + test:
        for text in (row["dialogue"], *row["summaries"]):
            assert not re.search(r"[{}]|  |\.\.|,,| [.,;]|\b[Tt]he the\b|\b[Aa] [aeio]", text), text
        for summary in row["summaries"]:
            assert not re.search(r"\balso (is|was)\b|\b[Aa] \$?(8|11\b|18\b)", summary), summary
            assert summary.startswith("Customer ") and summary.endswith(".")


def test_the_last_outcome_comes_near_the_end(train: Rows) -> None:
    """A fact of the outcome, such as a date, is absent from the first lines of most chats."""
    late = 0
    for row in train:
        last = _claims(row["summaries"][0].rsplit(",", 1)[-1].rsplit(". ", 1)[-1]) - {row["product"]}
        opening = "\n".join(row["dialogue"].split("\n")[: row["turns"] // 2]).lower()
        late += any(claim.lower() not in opening for claim in last)
    assert late > 0.8 * len(train)


def test_summary_templates_state_only_what_the_dialogue_states() -> None:
    """Every wording of a fact or outcome holds every slot of every summary phrase for it."""
    intents = load().intents.values()
    assert intents
    for intent in intents:
        for fact in intent.facts:
            needed = {slot for phrase in fact.sum for slot in names(phrase)}
            assert all(needed <= set(names(tell)) for tell in fact.tell), (intent.name, fact)
            assert all(names(phrase) for phrase in fact.sum), (intent.name, fact)
            assert any(STANDALONE.match(tell) for tell in fact.tell), (intent.name, fact)
        for outcome in intent.outcomes + intent.shared_outcomes:
            needed = {slot for phrase in outcome.sum for slot in names(phrase)}
            assert all(needed <= set(names(line)) for line in outcome.do), (intent.name, outcome)
            assert not set(names(outcome.offer)) - {"you", "your", "yours"}
            assert all(outcome.mood in tone for tone in load().tones.values())


def test_requests_of_one_chat_go_together() -> None:
    intents = load().intents
    assert can_share(intents["late_delivery"], intents["invoice_copy"])
    assert not can_share(intents["late_delivery"], intents["battery_drain"])  # not arrived, so nothing to drain
    assert not can_share(intents["warranty"], intents["stops_working"])
    assert not can_share(intents["price_match"], intents["charged_twice"])


def test_fill_corrects_the_article_before_numbers() -> None:
    assert fill("a {x} refund", {"x": "$84.20"}) == "an $84.20 refund"
    assert fill("a {x} voucher", {"x": "$18"}) == "an $18 voucher"
    assert fill("a {x} fee", {"x": "$110"}) == "a $110 fee"


def test_capitalize_leaves_names_alone() -> None:
    assert capitalize("navy. it is iPad. ok? yes") == "Navy. It is iPad. Ok? Yes"
