"""An error of Prefect's scheduler, as the server logs it."""

from __future__ import annotations

# Prefect 3.8.8 with sqlalchemy 2.1.9; frames left out.
SCHEDULER = """\
06:08:32.297 | ERROR   | docket.dependencies - ↩ [    37ms] schedule_recent_deployments(){schedule_recent_deployments}
Traceback (most recent call last):
  File "docket/worker.py", line 1134, in _execute
    result = await execution.function(
             ^^^^^^^^^^^^^^^^^^^^^^^^^
  File "sqlalchemy/ext/hybrid.py", line 1851, in prop
    raise exc.InvalidRequestError(
sqlalchemy.exc.InvalidRequestError: Can't evaluate bulk DML statement; please supply a bulk_dml decorated function
"""
