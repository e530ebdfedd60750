"""`python -m benchmarks.recurring`: 200 recurring jobs due on the same second, three servers.

Prints how many jobs there are per occurrence, how many are double, and how late they started.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from .drain import Cluster, probe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = args.database or f"sqlite:///{folder / 'bench.sqlite3'}"
        probe("bonfire", database, "reset")
        clusters = [Cluster("bonfire", database, folder / f"{i}.log") for i in range(3)]
        try:
            probe("bonfire", database, "declare", args.jobs)
            found = probe("bonfire", database, "occurrences", args.jobs, args.rounds)
        finally:
            for cluster in clusters:
                cluster.end()
        print(database.partition(":")[0], json.dumps(found))


if __name__ == "__main__":
    main()
