"""``python -m bench.check_demo``: did the demo's candidate beat the base and both trivial baselines?"""

import sys

from tasks.files import read_json
from tasks.paths import Paths


def main() -> int:
    """Exit code 0 when the candidate's gain in ROUGE-1 F1 over the base has an interval above zero."""
    comparison = read_json(Paths.here().comparison / "comparison.json")
    systems = {system["name"]: system for system in comparison["systems"]}
    candidate = systems[comparison["candidate"]]
    gain = candidate["differences"]["rouge1_f"]
    print(
        f"{candidate['name']}: ROUGE-1 F1 {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}] over the base"
    )
    score = candidate["metrics"]["rouge1_f"]["value"]
    trivial = {name: systems[name]["metrics"]["rouge1_f"]["value"] for name in ("lead", "nearest")}
    print(f"its score {score:.4f}; trivial baselines {trivial}")
    return 0 if gain["low"] > 0 and score > max(trivial.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
