"""Random events over three brokers, a Postgres with a standby, and workers; in the end nothing may be lost or doubled.

python tests/chaos/run.py --events 100 --seed 7
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from random import Random, SystemRandom
from typing import Final, NamedTuple

from events import EVENTS, REPAIR, Event
from launchers import INSTALL, find_launcher
from services import dead_letters_of, wait_for
from verdict import faults, read_log
from world import World

_SETTLE_S: Final = 180
_PAUSES_S: Final = (0.3, 2.5)
_LASTS: Final = (1, 5)


class Plan(NamedTuple):
    """What a trial is to be.

    Attributes:
        seed: of all that is random; the moment of a thing still depends on the machine.
        events: how many.
        minutes: limit of the events' beginnings, in minutes after the first.
        workers: how many.
        rate: messages a second.
    """

    seed: int
    events: int = 100
    minutes: float = 60
    workers: int = 3
    rate: int = 40


class Trial:
    """Runs a plan and tells what happens.

    Attributes:
        faults: what is wrong in the end, a line each.
        folder: where all logs lie.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.faults: list[str] = []
        self.folder = folder
        self._plan = plan
        self._random = Random(plan.seed)
        self._begun = time.monotonic()
        self._lasting: list[tuple[int, Event]] = []
        self._counts: Counter[str] = Counter()

    def run(self) -> None:
        """Run it to its end."""
        plan, launcher = self._plan, find_launcher()
        if launcher is None:
            raise RuntimeError(INSTALL)
        self._say(f"seed {plan.seed}, {plan.events} events, logs in {self.folder}")
        with ExitStack() as stack:
            world = World(launcher, self.folder, stack, workers=plan.workers, seed=plan.seed, rate=plan.rate)
            self._say("all is up")
            end = time.monotonic() + 60 * plan.minutes
            for number in range(plan.events):
                if time.monotonic() > end:
                    self._say(f"time is up after {number} events")
                    break
                self._step(world, number)
            self._make_good(world, number=None)
            self._settle(world)
            self._judge(world)
        for what, count in sorted(self._counts.items()):
            self._say(f"{count:4} {what}")

    def _step(self, world: World, number: int) -> None:
        event = self._begin(world)
        self._lasting.append((number + self._random.randint(*_LASTS), event))
        time.sleep(self._random.uniform(*_PAUSES_S))
        self._make_good(world, number)

    def _begin(self, world: World) -> Event:
        """Begin an event that can happen now."""
        while True:
            kind = self._random.choices(list(EVENTS), list(EVENTS.values()))[0]
            event = kind(world, self._random)
            said = next(event, None)
            if said:
                self._counts[kind.__name__.replace("_", " ")] += 1
                self._say(said)
                return event

    def _make_good(self, world: World, number: int | None) -> None:
        """Resume the events that have lasted as long as they should, or all of them."""
        due = [pair for pair in self._lasting if number is None or pair[0] <= number]
        for pair in due:
            self._lasting.remove(pair)
            for said in pair[1]:
                self._say(said)
        world.look_after_workers()

    def _settle(self, world: World) -> None:
        """Stop publishing, wait until all is stored, replay what was poisoned, and wait again."""
        world.publisher.stop()
        self._say(f"published: {len(world.publisher.acknowledged)}, unacknowledged: {world.publisher.failed}")
        self._wait(world)
        self._say(f"the replay says: {world.finish(world.command('dead-letters', 'replay', *REPAIR))}")
        self._wait(world)

    def _wait(self, world: World) -> None:
        try:
            wait_for(world.stored_to_the_end, "all to be stored", timeout_s=_SETTLE_S)
            self._say("all is stored")
        except AssertionError:
            self.faults.append(f"partitions are not stored to their ends after {_SETTLE_S} s: {world.behind}")

    def _judge(self, world: World) -> None:
        log = world.read(world.topic)
        there = {(record.partition, record.offset): record.value for record in log}
        lost = [place for place, value in world.publisher.acknowledged.items() if there.get(place) != value]
        if lost:
            self.faults.append(f"the brokers lost what they had acknowledged: {lost[:10]}")
        expected, rows = read_log(log), world.query("SELECT * FROM emotion_results")
        self.faults += faults(expected, rows, world.read(dead_letters_of(world.topic)), world.versions)
        for slot in world.slots:
            slot.stop()
            self.faults += slot.exits
        self.faults += world.crashes
        self._say(f"{len(log)} messages, {len(expected.texts)} transcripts, {len(rows)} rows")

    def _say(self, what: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {time.monotonic() - self._begun:6.1f} s  {what}", flush=True)  # noqa: T201 - a trial's answer.


def run_trial(plan: Plan) -> Trial:
    """Run a trial; its logs are kept where it found faults."""
    trial = Trial(plan, Path(tempfile.mkdtemp(prefix=f"chaos-{plan.seed}-")))
    trial.run()
    if not trial.faults:
        shutil.rmtree(trial.folder)
    return trial


def _plan() -> Plan:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Plan(SystemRandom().randrange(10**6))
    for name, value in default._asdict().items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return Plan(**vars(parser.parse_args()))


if __name__ == "__main__":
    outcome = run_trial(_plan())
    for fault in outcome.faults:
        print(f"FAULT  {fault}")  # noqa: T201 - the answer.
    if outcome.faults:
        sys.exit(f"{len(outcome.faults)} faults; seed {outcome._plan.seed}, logs in {outcome.folder}")
    print("nothing is lost, nothing is doubled")  # noqa: T201 - the answer.
