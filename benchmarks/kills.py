"""`python -m benchmarks.kills`: atomic jobs whose workers are killed, before, in and after COMMIT.

Each job's first attempt kills its worker at one of the three points; prints how many effects
there are for how many jobs, and how often each job ran.
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
    parser.add_argument("--kills", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = args.database or f"sqlite:///{folder / 'bench.sqlite3'}"
        probe("bonfire", database, "reset")
        probe("bonfire", database, "enqueue_killers", args.kills)
        cluster = Cluster("bonfire", database, folder / "kills.log")
        try:
            probe("bonfire", database, "settled", args.kills)
        finally:
            cluster.end()
        print(database.partition(":")[0], json.dumps(probe("bonfire", database, "effects")))


if __name__ == "__main__":
    main()
