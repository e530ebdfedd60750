"""`make bench`: Bonfire against stock django-q2's ORM broker, interleaved in one run.

    make bench ARGS="--database postgres://postgres@127.0.0.1:5432/bench --runs 3"

Two workers; jobs are enqueued first, then the cluster starts; jobs/s from the first to the last
outcome that is stored. Both keep their connections and save every result; Bonfire also writes the
whole history. Prints medians, ranges and the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent


def env(system: str, database: str) -> dict[str, str]:
    return {
        **os.environ,
        "BENCH_SYSTEM": system,
        "BENCH_DATABASE": database,
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "PYTHONWARNINGS": "ignore",
    }


def probe(system: str, database: str, *args: object) -> dict:
    """Run a step of `benchmarks.probe` in its own process and return what it found."""
    command = [sys.executable, "-m", "benchmarks.probe", *map(str, args)]
    done = subprocess.run(
        command, cwd=ROOT, env=env(system, database), check=True, stdout=subprocess.PIPE
    )
    return json.loads(done.stdout.splitlines()[-1])


class Cluster:
    """A qcluster of either system."""

    def __init__(self, system: str, database: str, log: Path, **extra: str) -> None:
        self._log = log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "qcluster"],
            cwd=ROOT,
            env={**env(system, database), **extra},
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def cpu(self) -> dict[str, float]:
        main = psutil.Process(self.process.pid)
        found = {}
        for process in [main, *main.children(recursive=True)]:
            times = process.cpu_times()
            found[str(process.pid)] = times.user + times.system
        return found

    def end(self) -> None:
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        self.process.wait()
        self._log.close()


def drain(system: str, database: str, count: int, kind: str, folder: Path) -> dict:
    probe(system, database, "reset")
    probe(system, database, "enqueue", count, kind)
    cluster = Cluster(system, database, folder / f"{system}.log")
    try:
        found = probe(system, database, "settled", count)
        found["cpu"] = cluster.cpu()
    finally:
        cluster.end()
    return found


def statements_per_job(database: str, count: int, folder: Path) -> float:
    """Count what all processes of a cluster send while they drain `count` jobs, start included."""
    probe("bonfire", database, "reset")
    probe("bonfire", database, "enqueue", count, "nothing")
    path = folder / "statements"
    cluster = Cluster("bonfire", database, folder / "statements.log", BENCH_STATEMENTS=str(path))
    try:
        probe("bonfire", database, "settled", count)
    finally:
        cluster.end()
    return round(path.stat().st_size / count, 3)


def idle_and_latency(database: str, folder: Path) -> dict:
    probe("bonfire", database, "reset")
    cluster = Cluster("bonfire", database, folder / "latency.log")
    try:
        path = folder / "stamps"
        path.unlink(missing_ok=True)
        stamps = probe("bonfire", database, "paced", 60, path)["ms"]
        delayed = probe("bonfire", database, "lateness", 200, 10)
        before, began = cluster.cpu(), time.monotonic()
        time.sleep(20)
        spent = sum(cluster.cpu().values()) - sum(before.values())
        share = 100 * spent / (time.monotonic() - began)
    finally:
        cluster.end()
    return {
        "p50_ms": round(statistics.median(stamps), 2),
        "p95_ms": round(stamps[int(0.95 * len(stamps))], 2),
        "delayed": delayed,
        "idle_percent_of_a_core": round(share, 2),
    }


def show(name: str, rates: list[float]) -> float:
    middle = statistics.median(rates)
    print(f"  {name:<28} {middle:8.0f} jobs/s  ({min(rates):.0f}-{max(rates):.0f})")
    return middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", default="")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--stock-jobs", type=int, default=2_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database = args.database or f"sqlite:///{folder / 'bench.sqlite3'}"
        rates: dict[str, list[float]] = {"stock": [], "bonfire": [], "mixed": []}
        for _ in range(args.runs):
            stock = drain("stock", database, args.stock_jobs, "nothing", folder)
            ours = drain("bonfire", database, args.jobs, "nothing", folder)
            rates["stock"].append(stock["rate"])
            rates["bonfire"].append(ours["rate"])
            rates["mixed"].append(drain("bonfire", database, args.jobs, "mixed", folder)["rate"])
        print(f"\n{database.partition(':')[0]}, Python {sys.version.split()[0]}")
        base = show("stock django-q2, save_limit 0", rates["stock"])
        best = show("Bonfire, no-op", rates["bonfire"])
        show("Bonfire, 80/10/10 mix", rates["mixed"])
        print(f"  ratio {best / base:.1f}")
        per_job = sorted(1e6 * cpu / args.jobs for cpu in ours["cpu"].values())
        print("  CPU per job and process, us:", [round(us) for us in per_job])
        print("  statements per job:", statements_per_job(database, args.jobs, folder))
        print("  enqueue:", probe("bonfire", database, "enqueue_cost", 2000))
        print("  idle:", idle_and_latency(database, folder))


if __name__ == "__main__":
    main()
