"""A source of tickets and files of its rows."""

from __future__ import annotations

import csv
from pathlib import Path

TEAMS = ("billing", "delivery", "repair")
ROWS = [[f"my bill, parcel or lamp {i} is wrong in way {7 * i}", TEAMS[i % 3]] for i in range(120)]

SET = """
name: tickets
task: routing
description: Which team a ticket goes to.
columns: {ticket: what the customer wrote, team: the team}
required: [ticket, team]
templates:
  - {id: team, prompt: "{{ ticket }}", references: team, answer_choices: [billing, delivery, repair]}
"""


def table(path: Path, rows: list[list[str]], columns: tuple[str, ...] = ("ticket", "team")) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path
