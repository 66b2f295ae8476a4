"""The gate's verdict on one comparison: kept under the comparison's digest, shown in its page and by commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.core import files
from tasks.core.pages import pages
from tasks.core.paths import Paths
from tasks.register.decisions import comparison_digest

Answer = dict[str, Any]

WORDS = {"accepted": "accepted", "refused": "refused", "undecided": "not decided", None: "no candidate"}


def publish(paths: Paths, answer: Answer) -> None:
    """Write ``answer`` for the comparison that it judged, as JSON and as the page that ``report.html`` shows.

    The comparison's own folder is an output of the stage ``compare``, so the gate must not change it. Its page finds
    the verdict by the digest of the comparison. A comparison that DVC restores thus shows its own verdict, or none.
    """
    digest = str(answer["comparison"])
    html = pages(Path(__file__).parent).get_template("verdict.html.jinja").render(a=answer, words=WORDS)
    with files.replacing(paths.gate(digest, "html")) as temporary:
        temporary.write_text(html, encoding="utf-8")
    with files.replacing(paths.gate(digest, "json")) as temporary:
        files.write_json(temporary, answer)


def answer_on_present(paths: Paths) -> Answer | None:
    """The verdict on the present comparison; None where the gate has not judged it."""
    digest = comparison_digest(paths)
    path = paths.gate(digest, "json") if digest else None
    return files.read_json(path) if path and path.exists() else None


def last_answer(paths: Paths) -> Answer | None:
    """The last result, of any comparison; None where there is none."""
    path = paths.state / "registration.json"
    return files.read_json(path) if path.exists() else None


def gate_lines(paths: Paths) -> list[str]:
    """The verdict on the present comparison, as lines of text; one line says where there is none."""
    answer = answer_on_present(paths)
    if answer is not None:
        judged = f"{answer['time']}, on comparison {str(answer['comparison'])[:8]}"
        return [f"gate: {answer['summary']} ({judged})", *(f"  {reason}" for reason in answer["reasons"])]
    lines = ["gate: not asked about this comparison; `tunesmith run` asks it"]
    last = last_answer(paths)
    if last is not None:
        lines.append(
            f"  latest result, on another model or comparison ({last.get('time', 'earlier')}): {last['summary']}"
        )
    return lines
