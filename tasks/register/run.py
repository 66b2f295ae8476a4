"""``register``: let the gate decide on the comparison's candidate, and move the alias if it is accepted.

This step is outside DVC. It reads ``reports/`` and ``models/``. It writes the MLflow registry, the candidate's MLflow
run, ``reports/gate/`` (the result for this comparison), ``.tunesmith/registration.json`` (the last result) and
``decisions.jsonl`` (every decision).
"""

from __future__ import annotations

from tasks.core.paths import Paths
from tasks.gate.evaluated import read
from tasks.gate.params import RegistrationParams
from tasks.register.judge import judge
from tasks.registry.keep import compared_candidate, keep, run_of, show
from tasks.registry.opened import opened
from tasks.registry.result import Result, champion_stays, make_result


def run(params: RegistrationParams, paths: Paths) -> Result:
    """Decide on the candidate; a refusal is a result, not an error.

    Returns:
        - ``verdict``: ``accepted``, ``awaiting`` (a person's approval), ``refused``, ``rejected``, ``promoted`` or
          ``restored`` (by a person), or ``undecided``; None without a candidate;
        - ``accepted``: whether the candidate is the champion now; ``changed``: whether the alias moved;
        - ``candidate``: the experiment; ``version``: number of its registered version, or None;
        - ``champion`` and ``previous_champion``: as ``tasks.registry.result.describe``, or None;
        - ``rules``: per rule ``rule``, ``passed`` and ``line``; ``reasons``: these lines and remarks; ``summary``;
        - ``differences`` and ``opponents``, which have the same keys;
        - ``time`` of this result; ``decided``: time of the decision; ``repeated``: whether that was made earlier;
        - ``action``, ``by`` and ``why``: what was done, who decided, and the reason that a person gave;
        - ``comparison``: digest of the comparison that was judged;
        - ``decisions_on_this_test_set``: number of different decisions so far; None without a candidate.

    Raises:
        TunesmithError: something that the decision needs is missing, stale or not comparable.
    """
    with opened(params, paths) as inputs:
        name = compared_candidate(paths)
        if name is None:
            reason = "reports/comparison/comparison.json names no candidate"
            result = make_result(inputs, None, f"no candidate; {champion_stays(inputs.champion)}", reasons=[reason])
            show(result, paths)
            return result
        candidate = read(name, inputs.params.metric, paths)
        run_id = run_of(name, inputs)
        result = judge(inputs, candidate, run_id)
        keep(result, inputs, run_id)
        return result
