"""What a library of a SASL mechanism raises becomes an error of Kafka's, which the client's threads outlive."""

import asyncio
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError, KafkaError, SaslAuthenticationFailedError, UnsupportedSaslMechanismError
from kafka.net.connection import KafkaConnection

from worker.kafka.patches import _or_refused


class KerberosError(Exception):
    """As gssapi has it: with the code of Kerberos."""

    def __init__(self, min_code: int) -> None:
        super().__init__("no ticket")
        self.min_code = min_code


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KerberosError(2_529_638_919), SaslAuthenticationFailedError),
        (ValueError("no ticket"), SaslAuthenticationFailedError),
        (KerberosError(2_529_639_068), KafkaConnectionError),  # Its server is away: waiting helps.
    ],
)
def test_the_error_of_a_library_becomes_one_of_kafkas(error: Exception, kind: type[KafkaError]) -> None:
    async def authenticate(_: Any) -> None:
        raise error

    with pytest.raises(kind, match="no ticket"):
        asyncio.run(_or_refused(authenticate)(None))


@pytest.mark.parametrize("error", [UnsupportedSaslMechanismError("GSSAPI"), ConnectionResetError()])
def test_other_errors_stay_as_they_are(error: Exception) -> None:
    async def authenticate(_: Any) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        asyncio.run(_or_refused(authenticate)(None))
    assert raised.value is error


def test_the_client_is_mended() -> None:
    assert KafkaConnection._sasl_authenticate.__name__ == "authenticate_or_tell"
