"""Whether a server may start something, or has been given up by others."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..conf import conf
from ..models import Server
from .arena import Arena
from .database import Outage


class Trust:
    """What a dispatcher knows of its server's standing. `say`: to the sentinel."""

    def __init__(
        self, server: str, arena: Arena, outage: Outage, say: Callable[[str], None]
    ) -> None:
        self._server, self._arena, self._outage, self._say = server, arena, outage, say
        self._trusted_at = 0.0
        self.given_up = False

    def holds(self) -> bool:
        """Whether this server may start something: nobody has given it up."""
        limit = 2 * conf.HEARTBEAT_SECONDS + 1
        if self.given_up or not self._arena.confirmed.get():
            return False
        if min(self._arena.confirmed.age, time.monotonic() - self._trusted_at) < limit:
            return True
        servers = Server.objects.using(conf.DATABASE).filter(name=self._server)
        done, exists = self._outage.attempt(servers.exists)
        if done and not exists:
            self.given_up = True
            self._say("given up")
        elif done:
            self._trusted_at = time.monotonic()
        return bool(done and exists)
