"""Filters of the templates: entities from BIO tags, choices that stay, and what stays outside the sandbox."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2.sandbox import SecurityError

from tasks.template.environment import (
    CHOICE_KEY,
    ENVIRONMENT,
    entities,
    most_frequent,
    names_in,
    names_in_expression,
    plain,
)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("O O O", []),
        ("B-x I-x O", [("a b", "x")]),
        ("B-x B-x I-x", [("a", "x"), ("b c", "x")]),
        ("B-x B-y O", [("a", "x"), ("b", "y")]),
        ("O I-x I-x", [("b c", "x")]),
        ("B-x I-y O", [("a", "x"), ("b", "y")]),
        ("B-x O I-x", [("a", "x"), ("c", "x")]),
        ("B-creative-work I-creative-work O", [("a b", "creative-work")]),
    ],
)
def test_entities_of_bio_tags(tags: str, expected: list[tuple[str, str]]) -> None:
    assert entities(["a", "b", "c"], tags.split()) == expected


@pytest.mark.parametrize("tags", [["O"], ["O", "X-x", "O"], ["B-", "O", "O"], [1, 0, 0]])
def test_entities_refuse_other_tags(tags: list[Any]) -> None:
    with pytest.raises(ValueError, match="entities: "):
        entities(["a", "b", "c"], tags)


@pytest.mark.parametrize("name", ["choice", "random"])
def test_choice_is_the_rows_own_and_every_item_is_chosen(name: str) -> None:
    template = ENVIRONMENT.from_string("{{ ['a', 'b', 'c'] | " + name + " }}")
    chosen = [template.render({CHOICE_KEY: [0, f"r{i}"]}) for i in range(60)]
    assert chosen == [template.render({CHOICE_KEY: [0, f"r{i}"]}) for i in range(60)]
    assert set(chosen) == {"a", "b", "c"}
    assert chosen != [template.render({CHOICE_KEY: [1, f"r{i}"]}) for i in range(60)]


def test_most_frequent_and_plain() -> None:
    assert most_frequent(["b", "a", "b", "a", "c"]) == ["b", "a"]
    assert most_frequent([]) is None
    assert plain(["a", {"x": 1, "y": [None, "b"]}]) == "a 1 b"


def test_names_are_columns_only() -> None:
    loop = "{% for i in range(2) %}{{ i ~ answer_choices[0] ~ zip(p) }}{% endfor %}"
    assert names_in("{% set x = q %}{{ x }}" + loop) == {"q", "p"}


def test_a_function_that_is_shown_is_meant_as_a_column() -> None:
    assert names_in("{{ range }} {{ range(2) }} {% for dict in zip(p) %}{{ dict }}{% endfor %}") == {"range", "p"}
    assert names_in_expression("self") == {"self"}


@pytest.mark.parametrize("operation", ["7 ** (3 * 10 ** 6)", "10 ** 3000 * 10 ** 3000", "'ab' * 10 ** 6", "n * ['x']"])
def test_an_enormous_product_is_refused_at_rendering_and_computed_never(operation: str) -> None:
    assert names_in("{{ (" + operation + ") and 1 }}") <= {"n"}
    template = ENVIRONMENT.from_string("{{ (" + operation + ") and 1 }}")
    with pytest.raises(SecurityError, match=r"the result of '.*' would be enormous"):
        template.render(n=10**7)


def test_other_products_are_pythons() -> None:
    assert ENVIRONMENT.from_string("{{ 2 ** 10 * 3, 2 ** -1, 0.5 * 4, '-' * 3, [1] * 2 }}").render() == str(
        (3072, 0.5, 2.0, "---", [1, 1])
    )
