"""``python -m tasks.register`` asks the gate for the candidate and moves the champion's alias, or leaves it."""

from tasks.params import load
from tasks.paths import Paths
from tasks.register.params import RegistrationParams
from tasks.stage import step


def work() -> None:
    from tasks.register.run import run

    paths = Paths.here()
    run(load(RegistrationParams, paths.params / "registration.yaml", "registration"), paths)


step("register", work)
