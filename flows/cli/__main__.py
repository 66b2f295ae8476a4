"""``python -m flows.cli`` is ``tunesmith``."""

from flows.cli import main

main()
