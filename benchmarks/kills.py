"""`python -m benchmarks.kills`: atomic jobs whose workers are killed, before, in and after COMMIT.

Each job's first attempt kills its worker at one of the three points; prints how many effects
there are for how many jobs, and how often each job ran.
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
    parser.add_argument("--kills", type=int, default=1000)
    args = parser.parse_args()
    adopt_orphans()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = args.database or f"sqlite:///{folder / 'bench.sqlite3'}"
        bonfire = Contender(SYSTEMS["bonfire"], url, folder)
        bonfire.reset()
        bonfire.step("enqueue_killers", count=args.kills)
        with bonfire.workers() as group:

            def all_ended() -> bool:
                return bonfire.step("ended")["jobs"] >= args.kills

            done = bonfire.wait(all_ended, group, 60 + args.kills, pause=1)
        found = {**bonfire.step("effects"), "all_ended": done}
        print(bonfire.store, json.dumps(found))


if __name__ == "__main__":
    main()
