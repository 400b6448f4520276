"""What may happen to a world. Each event is a generator: it does harm, says so, and makes good when it is resumed.

One that cannot happen now yields nothing. One that yields once is over at once.
"""

import signal
from collections.abc import Callable, Generator
from random import Random
from typing import Final

import psycopg
from broker import KafkaBroker
from fakes import POISON
from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from publisher import REPAIRED
from services import wait_for
from world import Slot, World

from registry.versions import CHANNEL

Event = Generator[str, None, None]

_MOST_PARTITIONS: Final = 12
_TABLES: Final = ("emotion_results", "consumer_offsets")
_FOLLOWS_S: Final = 60


def _slot(world: World, random: Random) -> Slot | None:
    free = [slot for slot in world.slots if f"worker {slot.number}" not in world.busy]
    return random.choice(free) if free else None


def kill_a_worker(world: World, random: Random) -> Event:
    if slot := _slot(world, random):
        with world.taking(f"worker {slot.number}"):
            slot.kill()
            yield f"worker {slot.number} is killed"
            slot.start()
            yield f"worker {slot.number} is started"


def stop_a_worker(world: World, random: Random) -> Event:
    if slot := _slot(world, random):
        with world.taking(f"worker {slot.number}"):
            slot.stop()
            yield f"worker {slot.number} is told to stop"
            slot.start()
            yield f"worker {slot.number} is started"


def freeze_a_worker(world: World, random: Random) -> Event:
    if slot := _slot(world, random):
        with world.taking(f"worker {slot.number}"):
            slot.send(signal.SIGSTOP)
            yield f"worker {slot.number} freezes"
            slot.send(signal.SIGCONT)
            yield f"worker {slot.number} goes on"


def stall_a_network(world: World, random: Random) -> Event:
    free = [slot for slot in world.slots if f"network {slot.number}" not in world.busy]
    if free:
        slot = random.choice(free)
        with world.taking(f"network {slot.number}"):
            slot.network.stall()
            yield f"the network between worker {slot.number} and the database stalls"
            if random.random() < 0.3:
                slot.network.cut()
            slot.network.resume()
            yield f"the network of worker {slot.number} goes on"


def _hurt_a_broker(world: World, random: Random, hurt: Callable[[KafkaBroker], None], done: str) -> Event:
    if "broker" not in world.busy:
        broker = random.choice(world.cluster.brokers)
        with world.taking("broker"):
            hurt(broker)
            yield f"broker {broker.number} {done}"
            broker.start()
            yield f"broker {broker.number} is started"


def kill_a_broker(world: World, random: Random) -> Event:
    return _hurt_a_broker(world, random, KafkaBroker.kill, "is killed")


def stop_a_broker(world: World, random: Random) -> Event:
    return _hurt_a_broker(world, random, KafkaBroker.stop, "is stopped")


def freeze_a_broker(world: World, random: Random) -> Event:
    if "broker" not in world.busy:
        broker = random.choice(world.cluster.brokers)
        with world.taking("broker"):
            broker.freeze()
            yield f"broker {broker.number} freezes"
            broker.thaw()
            yield f"broker {broker.number} goes on"


def crash_the_database(world: World, _: Random) -> Event:
    if "database" not in world.busy:
        with world.taking("database"):
            world.servers.primary.kill()
            yield "the database crashes"
            world.servers.primary.start()
            yield "the database is started"


def crash_a_forgetful_database(world: World, _: Random) -> Event:
    if "database" not in world.busy:
        with world.taking("database"):
            world.servers.primary.forget_at_a_crash()
            yield "the database commits without waiting"
            world.servers.primary.kill()
            world.servers.primary.start()
            world.servers.primary.remember()
            yield "the database crashes, forgets its last commits and is started"


def promote_the_standby(world: World, random: Random) -> Event:
    if "database" not in world.busy:
        with world.taking("database"):
            lags = random.random() < 0.7
            wait_for(world.servers.follows, "the standby to follow", timeout_s=_FOLLOWS_S)
            if lags:
                world.servers.hold_back()
            yield f"the standby {'falls behind' if lags else 'follows, and is to be promoted'}"
            world.servers.promote()
            yield "the primary is killed and the standby promoted"
            world.servers.add_standby()


def end_the_sessions(world: World, _: Random) -> Event:
    if "database" not in world.busy:
        world.servers.primary.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'emotion%'"
        )
        yield "all sessions of workers are ended"


def lock_a_table(world: World, random: Random) -> Event:
    if "database" not in world.busy:
        table = random.choice(_TABLES)
        url = world.servers.primary.url().replace("+psycopg", "")
        with world.taking("database"), psycopg.connect(url) as connection:
            connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
            yield f"table {table} is locked"
            connection.rollback()
            yield f"table {table} is free"


def promote_a_model(world: World, random: Random) -> Event:
    if "database" not in world.busy:
        version = f"stub-{random.randrange(10**9)}"
        world.versions.add(version)
        url = world.servers.primary.url().replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            connection.execute(
                "UPDATE model_versions SET state = 'retired' WHERE state = 'champion'",
            )
            connection.execute(
                "INSERT INTO model_versions (version, state, location, metrics, data_fingerprint, base_model, "
                "promoted_at) VALUES (%s, 'champion', 'nowhere', '{}', '', '', clock_timestamp())",
                (version,),
            )
            connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, version))
        yield f"model {version} is promoted"


def replay_the_dead_letters(world: World, random: Random) -> Event:
    if "replay" not in world.busy:
        with world.taking("replay"):
            repairs = random.random() < 0.5
            command = world.command("dead-letters", "replay", *(REPAIR if repairs else ()))
            yield f"the dead letters are replayed{', repaired' if repairs else ''}"
            yield f"the replay says: {world.finish(command)}"


def add_a_partition(world: World, _: Random) -> Event:
    admin = None
    try:
        admin = KafkaAdminClient(bootstrap_servers=world.cluster.bootstrap, request_timeout_ms=10_000)
        (described,) = admin.describe_topics([world.topic])
        number = len(described["partitions"])
        if number < _MOST_PARTITIONS:
            admin.create_partitions({world.topic: number + 1})
            yield f"partition {number} is added"
    except KafkaError as error:
        yield f"no partition is added: {error!r}"
    finally:
        if admin:
            admin.close()


REPAIR: Final = ("--repair", f"sed s/{POISON}/{REPAIRED}/g")
"""Options of `dead-letters replay`."""

EVENTS: Final[dict[Callable[[World, Random], Event], int]] = {
    kill_a_worker: 3,
    stop_a_worker: 2,
    freeze_a_worker: 3,
    stall_a_network: 4,
    kill_a_broker: 2,
    stop_a_broker: 1,
    freeze_a_broker: 2,
    crash_the_database: 2,
    crash_a_forgetful_database: 2,
    promote_the_standby: 3,
    end_the_sessions: 2,
    lock_a_table: 2,
    promote_a_model: 2,
    replay_the_dead_letters: 2,
    add_a_partition: 1,
}
"""What may happen, and how often in proportion."""
