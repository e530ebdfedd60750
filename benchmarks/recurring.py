"""`python -m benchmarks.recurring`: 200 recurring jobs due on the same second, three servers.

Prints how many jobs there are per occurrence, how many are double, and how late they started.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from .harness import Contender, adopt_orphans
from .systems import SYSTEMS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = args.database or f"sqlite:///{folder / 'bench.sqlite3'}"
        bonfire = Contender(SYSTEMS["bonfire"], url, folder)
        bonfire.reset()
        with bonfire.workers(groups=3):
            bonfire.step("declare", count=args.jobs)
            found = bonfire.step("occurrences", count=args.jobs, rounds=args.rounds)
        print(bonfire.store, json.dumps(found))


if __name__ == "__main__":
    main()
