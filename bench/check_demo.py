"""``python -m bench.check_demo``: did the gate accept the demo's candidate, and by how much does it beat the base?"""

import sys

from tasks.core.files import read_json
from tasks.core.paths import Paths
from tasks.registry.verdict import gate_lines, result_on_present


def main() -> int:
    """Exit code 0 when the gate accepted the candidate and the interval of its ROUGE-1 F1 gain is above zero."""
    paths = Paths.here()
    comparison = read_json(paths.comparison / "comparison.json")
    systems = {system["name"]: system for system in comparison["systems"]}
    candidate = systems[comparison["candidate"]]
    gain = candidate["differences"]["rouge1_f"]
    print(
        f"{candidate['name']}: ROUGE-1 F1 {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}] over the base"
    )
    print("\n".join(gate_lines(paths)))
    answer = result_on_present(paths)
    return 0 if gain["low"] > 0 and answer is not None and answer["verdict"] == "accepted" else 1


if __name__ == "__main__":
    sys.exit(main())
