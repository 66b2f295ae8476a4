from __future__ import annotations

import errno

import pytest

from tasks.errors import TunesmithError
from tasks.tracking.entry import main


def test_an_error_of_the_users_is_a_line_a_problem_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise TunesmithError("one\ntwo")

    with pytest.raises(SystemExit) as stopped:
        main("register", work)
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "register: error: one\nregister: error: two\n"


def test_a_full_disk_is_an_error_of_the_users(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "mlflow.db")

    with pytest.raises(SystemExit):
        main("tracking", work)
    assert capsys.readouterr().err.startswith("tracking: error: mlflow.db: the disk is full; free space")


def test_an_interruption_has_its_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as stopped:
        main("tracking", work)
    assert stopped.value.code == 130


def test_work_that_ends_well_returns() -> None:
    main("tracking", lambda: None)
