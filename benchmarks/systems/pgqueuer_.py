"""pgqueuer: asyncpg and its defaults (ten jobs at a time in each process); a done job is deleted."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from typing import Any

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from .. import stores, workload
from . import System


class Adapter(System):
    packages = ("pgqueuer", "asyncpg")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self._queries: Queries | None = None

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.url.replace("postgres://", "postgresql://", 1))

    def _call(self, name: str, *args: Any) -> Any:
        async def call() -> Any:
            if self._queries is None:
                self._queries = Queries(AsyncpgDriver(await self._connect()))
            return await getattr(self._queries, name)(*args)

        return self.loop.run_until_complete(call())

    def reset(self) -> None:
        stores.empty(self.url)
        self._call("install")

    def enqueue(self, function: str, *args: Any) -> None:
        self._call("enqueue", function, _payload(args))

    def enqueue_many(self, function: str, calls: list[tuple[Any, ...]]) -> bool:
        for first in range(0, len(calls), 1000):
            some = calls[first : first + 1000]
            n = len(some)
            self._call("enqueue", [function] * n, [_payload(a) for a in some], [0] * n)
        return True

    def enqueue_later(self, seconds: float, function: str, *args: Any) -> None:
        self._call("enqueue", function, _payload(args), 0, timedelta(seconds=seconds))

    def unfinished(self) -> int:
        return sum(row.count for row in self._call("queue_size"))

    def commands(self, workers: int) -> list[list[str]]:
        return [[sys.executable, "-m", __name__]] * workers

    async def work(self) -> None:
        connection = await self._connect()
        queuer = PgQueuer(AsyncpgDriver(connection))
        one = asyncio.Semaphore(1)  # one job that sleeps at a time, as the others have

        @queuer.entrypoint("nothing")
        async def nothing(job: Any) -> None:
            # This is how it asks one to run a plain function.
            await asyncio.to_thread(workload.nothing, int(job.payload))

        @queuer.entrypoint("nap")
        async def nap(job: Any) -> None:
            number, seconds = job.payload.split()
            async with one:
                await asyncio.to_thread(workload.nap, int(number), float(seconds))

        await queuer.run()


def _payload(args: tuple[Any, ...]) -> bytes:
    return " ".join(map(str, args)).encode()


if __name__ == "__main__":
    asyncio.run(Adapter().work())
