"""The sentinel: starts the processes of a server, watches them, replaces them, ends them.

It forks, so it stays single-threaded and never touches the database.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from ..conf import conf
from ..limits import CANCEL_SIGNAL
from . import dispatcher, djangoq, housekeeping, identity, processes, wire, worker
from .arena import Arena

logger = logging.getLogger(__name__)

#: Exit status: this server was given up by others and must start anew under another name.
GIVEN_UP = 3
GUARD_SECONDS = 0.5
#: A process that lived shorter than this is replaced with growing delay.
SHORT_LIFE_SECONDS = 2.0
LONGEST_DELAY_SECONDS = 5.0
#: For the last writes of a stop, beside SHUTDOWN_SECONDS for the jobs.
FINISH_SECONDS = 10.0


@dataclass(frozen=True)
class Plan:
    """What to run: the server's name, its queues in order (None: all), how many workers.

    `drain`: end when nothing is left to do.
    """

    server: str
    queues: list[str] | None
    workers: int
    drain: bool = False


class Child:
    """A process of this server and the sentinel's socket to it."""

    def __init__(self, role: str, process: Any, control: socket.socket) -> None:
        self.role, self.process, self.control = role, process, control
        self.outbox = wire.Outbox(control)
        self.inbox = wire.Inbox()
        self.born = time.monotonic()

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def say(self, *message: Any) -> None:
        self.outbox.put(message)


class Sentinel:
    """One server, from its first process to its last."""

    def __init__(self, plan: Plan, stop_pipe: int) -> None:
        self.plan, self.stop_pipe = plan, stop_pipe
        self.arena = Arena(2 * plan.workers + 4)
        self.identity = identity.own()
        self.workers: dict[int, Child] = {}  # by slot
        self.unburied: dict[int, tuple[str, bool]] = {}  # slot → how its worker died, counted
        self.dispatcher: Child | None = None
        self.housekeeping: Child | None = None
        self.stops = 0  # how often we were asked to stop
        self._lifeline_end, self._lifeline = os.pipe()
        self._deadline = float("inf")
        self._finish_by = float("inf")
        self._finish_said = False
        self._kill_uncounted: set[int] = set()
        self._killed_for: dict[int, str] = {}  # slot → why its worker had to be killed
        self._short_lives = 0
        self._not_before = {"worker": 0.0, "dispatcher": 0.0, "housekeeping": 0.0}
        self._looked_at = time.monotonic()

    # Its life.

    def run(self) -> int:
        """Run the server until it is stopped; return the exit status."""
        self.arena.sentinel_pulse.touch()
        try:
            while True:
                if (status := self._guard()) is not None:
                    return status
        finally:
            self._kill_everybody()

    def _guard(self) -> int | None:
        self._spawn_missing()
        self._wait()
        self.arena.sentinel_pulse.touch()
        if self._listen() == GIVEN_UP:
            logger.error("%s was given up by others; starting anew", self.plan.server)
            return GIVEN_UP
        self._reap()
        self._check_limits()
        self._check_pulses()
        if self.stops:
            return self._progress_of_stop()
        return None

    def _wait(self) -> None:
        children = self._children()
        readable: list[Any] = [child.process.sentinel for child in children]
        readable += [child.control for child in children]
        if not self._main_gone:
            readable.append(self.stop_pipe)
        timeout = GUARD_SECONDS
        if self.stops:
            timeout = min(timeout, max(0.0, self._deadline - time.monotonic()), 0.1)
        elif len(self.workers) < self.plan.workers:
            timeout = 0.05
        if self.stop_pipe in wait(readable, timeout):
            self._hear_main()

    _main_gone = False

    def _hear_main(self) -> None:
        data = os.read(self.stop_pipe, 16)
        if not data:
            self._main_gone = True  # killed: end in good order all the same
            if self.stops:
                return
        self._ask_to_stop(max(1, len(data)))

    def _ask_to_stop(self, times: int) -> None:
        self.stops += times
        if self.stops == 1:
            logger.info("%s stops; running jobs have %g s", self.plan.server, conf.SHUTDOWN_SECONDS)
        self._deadline = min(
            self._deadline,
            time.monotonic() + (conf.SHUTDOWN_SECONDS if self.stops == 1 else 0.0),
        )
        if self.dispatcher is not None:
            self.dispatcher.say("stop")

    def _children(self) -> list[Child]:
        helpers = [child for child in (self.dispatcher, self.housekeeping) if child]
        return [*self.workers.values(), *helpers]

    # Births.

    def _spawn_missing(self) -> None:
        now = time.monotonic()
        may_house_keep = not self.stops and now >= self._not_before["housekeeping"]
        if self.housekeeping is None and may_house_keep:
            self.housekeeping = self._spawn(
                "housekeeping",
                housekeeping.run,
                self.plan.server,
                self.plan.queues,
                self.arena,
                sentinel=self.identity,
            )
        if self.dispatcher is None and now >= self._not_before["dispatcher"]:
            self.arena.dispatcher_pulse.touch()
            self.dispatcher = self._spawn(
                "dispatcher",
                dispatcher.run,
                self.plan.server,
                self.plan.queues,
                self.arena,
                drain=self.plan.drain,
            )
            for index in self.workers:
                self._connect(index)
            for index, (cause, counted) in self.unburied.items():
                self.dispatcher.say("dead", index, cause, counted)
            if self.stops:
                self.dispatcher.say("stop")
                if self._finish_said:
                    self.dispatcher.say("finish")
        while (
            not self.stops
            and len(self.workers) < self.plan.workers
            and now >= self._not_before["worker"]
        ):
            free = [
                slot.index
                for slot in self.arena.slots
                if slot.index not in self.workers and slot.index not in self.unburied
            ]
            if not free:
                return  # the dispatcher has to bury some first
            slot = self.arena.slots[free[0]]
            slot.reset()
            self.workers[slot.index] = self._spawn("worker", worker.run, slot)
            self._connect(slot.index)

    def _spawn(self, role: str, target: Any, *args: Any, **kwargs: Any) -> Child:
        ours, theirs = socket.socketpair()
        foreign: list[socket.socket | int] = [ours, self._lifeline, self.stop_pipe]
        foreign += [child.control for child in self._children()]

        def body() -> None:
            processes.enter(self._lifeline_end, foreign, leads_group=role == "worker")
            arguments = list(args)
            # Each role gets its control socket where its signature has it.
            if role == "worker":
                arguments = [theirs, *args, str(os.getpid())]
            else:
                arguments.append(theirs)
            processes.guarded(lambda: target(*arguments, **kwargs), role)

        process = djangoq.get_mp_context().Process(target=body, name=f"{role}")
        process.start()
        theirs.close()
        ours.setblocking(False)
        logger.debug("%s: %s is process %d", self.plan.server, role, process.pid)
        return Child(role, process, ours)

    def _connect(self, index: int) -> None:
        """Give worker and dispatcher a fresh line to each other."""
        if self.dispatcher is None:
            return
        mine, yours = socket.socketpair()
        child = self.workers[index]
        message = wire.frame(("worker", index, child.pid))
        self.dispatcher.outbox.flush()
        try:
            socket.send_fds(self.dispatcher.control, [message], [mine.fileno()])
            socket.send_fds(child.control, [b"L"], [yours.fileno()])
        except (BlockingIOError, ConnectionError) as error:
            # One of the two is dead or does not listen, and will be replaced.
            logger.warning("no line between dispatcher and worker %d: %s", child.pid, error)
        finally:
            mine.close()
            yours.close()

    # Deaths.

    def _listen(self) -> int | None:
        for child in (self.dispatcher, self.housekeeping):
            if child is None:
                continue
            wire.drain(child.control, child.inbox)
            child.outbox.flush()
            for message in child.inbox:
                if message[0] == "given up":
                    return GIVEN_UP
                if message[0] == "drained" and not self.stops:
                    logger.info("%s has worked off what was due", self.plan.server)
                    self._ask_to_stop(1)
                if message[0] == "stop" and not self.stops:
                    self._ask_to_stop(1)
                if message[0] == "buried":
                    self.unburied.pop(message[1], None)
                if message[0] == "cancel" and (worker := self.workers.get(message[1])):
                    # Only we know that this process is still that worker: we reap it.
                    os.kill(worker.pid, CANCEL_SIGNAL)
                if message[0] == "hangs":
                    self._end_hanging_worker(message[1], message[2])
                if message[0] == "work" and self.dispatcher is not None:
                    self.dispatcher.say("work")
        return None

    def _reap(self) -> None:
        for index, child in list(self.workers.items()):
            if child.process.is_alive():
                continue
            processes.kill_leftovers(child.pid)  # what its job may have left running
            self._part_from(child)
            del self.workers[index]
            ended_well = child.process.exitcode == 0
            how = self._killed_for.pop(index, processes.name_exit(child.process.exitcode))
            counted = index not in self._kill_uncounted
            self._kill_uncounted.discard(index)
            cause = f"worker {child.pid} {how}" if counted else "its server was stopped"
            if not (ended_well and self.stops):
                logger.log(
                    logging.INFO if ended_well else logging.ERROR, "worker %d %s", child.pid, how
                )
            self.unburied[index] = (cause, counted)
            if self.dispatcher is not None:
                self.dispatcher.say("dead", index, cause, counted)
            # One that died in a job was fit for work; that job is counted and soon set aside.
            if self.arena.slots[index].running() is None:
                self._slow_down(child)
        for role in ("dispatcher", "housekeeping"):
            child = getattr(self, role)
            if child is None or child.process.is_alive():
                continue
            self._part_from(child)
            setattr(self, role, None)
            if not self._finish_said or child.process.exitcode:
                how = processes.name_exit(child.process.exitcode)
                logger.error("the %s %s; starting another", role, how)
            self._slow_down(child)

    def _part_from(self, child: Child) -> None:
        child.process.join()
        child.control.close()

    def _slow_down(self, child: Child) -> None:
        """Let a process that dies at once be replaced more and more slowly."""
        short = time.monotonic() - child.born < SHORT_LIFE_SECONDS
        self._short_lives = self._short_lives + 1 if short and child.process.exitcode else 0
        if self._short_lives > 3:
            delay = min(LONGEST_DELAY_SECONDS, 0.1 * 2 ** min(self._short_lives, 10))
            self._not_before[child.role] = time.monotonic() + delay

    def _end_hanging_worker(self, index: int, pid: int) -> None:
        """Kill a worker that does not take up its jobs; it runs none, so others get them."""
        child = self.workers.get(index)
        if child is None or child.pid != pid or index in self._killed_for:
            return
        if self.arena.slots[index].running() is not None:
            return  # it has just woken up
        self._killed_for[index] = "was killed: it hung between two jobs"
        logger.error("worker %d hangs; killing it", pid)
        processes.kill_group(pid)

    def _check_limits(self) -> None:
        """Kill workers whose jobs don't end though they should have."""
        for index, child in self.workers.items():
            why = self.arena.slots[index].overdue(conf.GRACE_SECONDS)
            if why and index not in self._killed_for and index not in self._kill_uncounted:
                logger.error("worker %d: %s", child.pid, why)
                self._killed_for[index] = why
                processes.kill_group(child.pid)

    def _check_pulses(self) -> None:
        now = time.monotonic()
        overslept = now - self._looked_at > 5 * GUARD_SECONDS
        self._looked_at = now
        if overslept:  # we were stopped ourselves, and so were they: give them time
            for cell in (self.arena.dispatcher_pulse, self.arena.housekeeping_pulse):
                cell.touch()
            return
        for child, cell in (
            (self.dispatcher, self.arena.dispatcher_pulse),
            (self.housekeeping, self.arena.housekeeping_pulse),
        ):
            silent = min(cell.age, now - child.born) if child else 0.0
            if child and silent > conf.PULSE_TIMEOUT_SECONDS:
                logger.error("the %s hangs; killing it", child.role)
                child.process.kill()
                child.process.join()

    # The end.

    def _progress_of_stop(self) -> int | None:
        now = time.monotonic()
        if now >= self._deadline:
            for index, child in self.workers.items():
                if index not in self._kill_uncounted:
                    self._kill_uncounted.add(index)
                    processes.kill_group(child.pid)
        if self.workers:
            return None
        if not self._finish_said:
            self._finish_said = True
            self._finish_by = now + FINISH_SECONDS
            if self.dispatcher is not None:
                self.dispatcher.say("finish")
            return None
        if now >= self._finish_by:
            logger.error("the last outcomes could not be written; the jobs will run again")
        elif self.dispatcher is not None or self.unburied:
            return None
        return self._end_housekeeping()

    def _end_housekeeping(self) -> int:
        if self.housekeeping is not None:
            self.housekeeping.say("stop")
            self.housekeeping.process.join(FINISH_SECONDS)
        logger.info("%s has stopped", self.plan.server)
        return 0

    def _kill_everybody(self) -> None:
        for child in self._children():
            if child.role == "worker":
                processes.kill_group(child.pid)
            else:
                child.process.kill()
        for child in self._children():
            child.process.join()
