"""How to reach the brokers, and what their errors mean to us; for the consumer and the producer alike."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from kafka.errors import (
    AuthorizationError,
    InvalidTopicError,
    KafkaConfigurationError,
    KafkaTimeoutError,
    RetriableError,
    SaslAuthenticationFailedError,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)
from pydantic import SecretStr

from worker.errors import Away, ConfigurationError
from worker.settings import Settings

KAFKA_AWAY: Final = (RetriableError, KafkaTimeoutError)

_REFUSED: Final = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError, AuthorizationError)
_WRONG: Final = (KafkaConfigurationError, InvalidTopicError, UnsupportedVersionError)

_OPTIONS: Final = {
    "kafka_security_protocol": "security_protocol",
    "kafka_sasl_mechanism": "sasl_mechanism",
    "kafka_sasl_username": "sasl_plain_username",
    "kafka_sasl_password": "sasl_plain_password",
    "kafka_ssl_cafile": "ssl_cafile",
    "kafka_ssl_certfile": "ssl_certfile",
    "kafka_ssl_keyfile": "ssl_keyfile",
    "kafka_ssl_password": "ssl_password",
}


def kafka_options(settings: Settings) -> dict[str, Any]:
    """Return the client options that consumer, producer and admin client share."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "ssl_check_hostname": settings.kafka_ssl_check_hostname,
    }
    for name, option in _OPTIONS.items():
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            options[option] = value.get_secret_value()
        elif value is not None:
            options[option] = str(value)
    return options


@contextmanager
def kafka_problems(doing: str) -> Iterator[None]:
    """Turn the client's errors into the two kinds that the worker knows.

    Raises:
        ConfigurationError: the broker refuses us; trying again does not help.
        Away: the broker cannot be reached, or is busy electing; trying again helps.
    """
    try:
        yield
    except _REFUSED as error:
        raise ConfigurationError(
            f"Kafka refuses to {doing}: {error}. Check WORKER_KAFKA_SECURITY_PROTOCOL, WORKER_KAFKA_SASL_MECHANISM, "
            "WORKER_KAFKA_SASL_USERNAME, WORKER_KAFKA_SASL_PASSWORD and the rights of that user"
        ) from error
    except _WRONG as error:
        raise ConfigurationError(f"Kafka cannot {doing}: {error}. Check the WORKER_KAFKA_ settings") from error
    except FileNotFoundError as error:
        raise ConfigurationError(f"Kafka cannot {doing}: {error}. Check the WORKER_KAFKA_SSL_ files") from error
    except KAFKA_AWAY as error:
        raise Away(f"Kafka is away, cannot {doing}: {error!r}") from error
