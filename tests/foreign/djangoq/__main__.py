"""`python -m tests.foreign.djangoq`: django-q2's own test-suite with our broker.

On the database of TEST_DATABASE_URL, SQLite without. Further arguments go to pytest. Exits with
pytest's status: 0 when just the failures named in expected_failures.txt have happened.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
#: A test that hangs is ended after so many seconds, the whole after so many.
TEST_SECONDS, ALL_SECONDS = 60, 300


def main(arguments: list[str]) -> int:
    """Run the suite and return its exit status."""
    package = Path(__file__).parent.relative_to(ROOT).as_posix().replace("/", ".")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-W", "ignore", "-m", "pytest", "--pyargs", "django_q.tests"),
            *("-p", f"{package}.plugin", "-p", "no:cacheprovider", "--ds", f"{package}.settings"),
            *("-c", os.devnull, "--rootdir", folder, "--timeout", str(TEST_SECONDS)),
            *("--create-db", "-q", "-rfExX", *arguments),
        ]
        env = {**os.environ, "TEST_DJANGOQ_FOLDER": folder, "PYTHONPATH": str(ROOT)}
        env.pop("DJANGO_SETTINGS_MODULE", None)
        # In a session of its own, so that clusters which a failed test leaves behind are found.
        suite = subprocess.Popen(command, cwd=ROOT, env=env, start_new_session=True)
        try:
            return suite.wait(ALL_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"not done within {ALL_SECONDS} s", file=sys.stderr)  # noqa: T201
            return 1
        finally:
            try:
                os.killpg(suite.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # all have ended, as they should
            suite.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
