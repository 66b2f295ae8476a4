"""What a person sees of a flow run on Prefect's pages: each function opens pages and waits for their texts."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page
from playwright.sync_api import TimeoutError as PlaywrightTimeout

_FADE_IN_MS = 2000
"""A page is dark when its texts are present already."""


def see_run(page: Page, address: str, run_id: str, name: str, tasks: list[str], pictures: Path) -> None:
    """The page of a flow run has its name, the timeline, and the tasks by the names of their stages."""
    page.goto(f"{address}/runs/flow-run/{run_id}")
    page.get_by_text(name, exact=True).first.wait_for()
    page.locator("canvas").first.wait_for()
    _open_tab(page, "Task Runs")
    for task in tasks:
        page.get_by_placeholder("Search by run name").fill(task)
        page.get_by_role("link", name=task, exact=True).first.wait_for()
    page.screenshot(path=pictures / "run.png")


def see_comparison(page: Page, address: str, run_id: str, texts: list[str], pictures: Path) -> None:
    """From the page of a flow run, one click leads to the comparison: the verdict first, and the picture."""
    page.goto(f"{address}/runs/flow-run/{run_id}")
    _open_tab(page, "Artifacts")
    page.get_by_text("comparison", exact=True).first.click()
    page.get_by_role("heading", name="Verdict").wait_for()
    for text in texts:
        page.get_by_text(text).first.wait_for()
    picture = page.get_by_role("img", name="Scores of all systems")
    picture.wait_for()
    assert picture.evaluate("image => image.complete && image.naturalWidth") >= 1000
    headings = page.get_by_role("heading").all_inner_texts()
    assert headings.index("Verdict") < headings.index("Report") < headings.index("MLflow runs")
    page.screenshot(path=pictures / "comparison.png", full_page=True)


def see_failure(page: Page, address: str, run_id: str, reasons: list[str], pictures: Path) -> None:
    """The details of a failed flow run name the failed stages and their reasons as the message of its state."""
    page.goto(f"{address}/runs/flow-run/{run_id}")
    _open_tab(page, "Details")
    page.get_by_text("See More").first.click()  # Prefect shows 60 characters first
    for reason in reasons:
        page.get_by_text(reason).first.wait_for()
    page.screenshot(path=pictures / "failed.png")


def see_failed_task(page: Page, address: str, task_run_id: str, reason: str, pictures: Path) -> None:
    """The page of a failed task ends with the reason in its state's message."""
    page.goto(f"{address}/runs/task-run/{task_run_id}")
    page.get_by_text(re.compile(rf"Finished in state Failed\(.{re.escape(reason)}")).first.wait_for()
    page.screenshot(path=pictures / "failed_task.png")


def see_details(page: Page, message: str, picture: str, pictures: Path) -> None:
    """The details of the flow run whose page is open name what happened, as the message of its state."""
    _open_tab(page, "Details")
    page.get_by_text(message).first.wait_for()
    page.screenshot(path=pictures / f"{picture}.png")


def _open_tab(page: Page, name: str) -> None:
    page.get_by_text(name, exact=True).first.click()


def see_refusal(page: Page, address: str, deployment: str, hours: str, reason: str, pictures: Path) -> None:
    """The form of the flow ``approve`` refuses a wrong number of hours before a run begins."""
    page.goto(f"{address}/deployments/deployment/{deployment}/run")
    page.get_by_text("how long to wait. Without a decision by then, the version is rejected.").wait_for()
    page.locator("input[type=number]").fill(hours)
    page.get_by_role("button", name="Submit").click()
    page.get_by_text(reason).first.wait_for()
    page.screenshot(path=pictures / "refused.png")


def start_from_form(page: Page, address: str, deployment: str, experiment: str, pictures: Path) -> None:
    """Start a run of the flow ``retrain`` for one experiment, as a person does."""
    page.goto(f"{address}/deployments/deployment/{deployment}")
    page.get_by_text(re.compile(r"retrain \d{4}-\d\d-\d\d: ")).first.wait_for()
    page.wait_for_timeout(_FADE_IN_MS)
    page.screenshot(path=pictures / "deployment.png")
    page.goto(f"{address}/deployments/deployment/{deployment}/run")
    page.get_by_text("names in params/experiments.yaml to train and evaluate; by default all.").wait_for()
    page.get_by_text("list", exact=True).first.click()
    page.get_by_role("button", name="Add item").click()
    page.locator("textarea").first.fill(experiment)
    page.screenshot(path=pictures / "form.png")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile("/deployments/deployment/[^/]+$"))


def wait_for_state(page: Page, address: str, run_id: str, state: str, seconds: float) -> None:
    """Watch the page of a flow run until it shows the state."""
    page.goto(f"{address}/runs/flow-run/{run_id}")
    page.get_by_text(state, exact=True).first.wait_for(timeout=1000 * seconds)


def approve_on_page(page: Page, address: str, run_id: str, why: str, who: str, pictures: Path) -> None:
    """Fill in the form of a paused run of the flow ``approve``, and approve."""
    page.goto(f"{address}/runs/flow-run/{run_id}")
    page.get_by_text("Pausing flow").first.wait_for()
    page.wait_for_timeout(_FADE_IN_MS)
    page.screenshot(path=pictures / "waiting.png")
    page.get_by_role("button", name="Resume").first.click()
    page.get_by_text("Make this version the champion, if the gate still accepts it.").wait_for()
    page.locator("input[type=checkbox]").first.evaluate("toggle => toggle.click()")  # what is seen lies above it
    for field, text in zip(page.locator("textarea").all(), (why, who), strict=True):
        field.fill(text)
    page.screenshot(path=pictures / "approve.png")
    submit = page.get_by_role("button", name="Submit")
    submit.click()
    try:
        submit.wait_for(state="hidden", timeout=15_000)
    except PlaywrightTimeout:  # once, the form stayed open after the click; a person would press again
        submit.click()
        submit.wait_for(state="hidden", timeout=60_000)
