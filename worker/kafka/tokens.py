"""Tokens for SASL OAUTHBEARER: who gives them, how long each lasts, and when the next one is fetched."""

import base64
import importlib
import json
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from http.client import HTTPException
from typing import Final, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote_plus, urlencode
from urllib.request import Request, urlopen

import structlog
from kafka.errors import KafkaConnectionError, SaslAuthenticationFailedError
from kafka.net.sasl.oauth import AbstractTokenProvider

from schemas.errors import UserError
from worker.errors import Away, ConfigurationError
from worker.settings import Settings

log = structlog.get_logger(__name__)

_FETCH_S: Final = 10.0
"""Longest wait for a token: both a command and an endpoint take seconds when they are slow."""

_USED: Final = 0.8
"""Share of a token's life after which the next one is fetched; source: sasl.login.refresh.window.factor of Kafka."""

_UNKNOWN_LIFE_S: Final = 60.0
"""How long a token is kept that does not say when it expires."""

_AGAIN_S: Final = 5.0
"""Shortest pause after a failure, while the last token still holds."""

_REST: Final = 4
"""Pause after a failure that took long, by the time that it took: who renews reads no records meanwhile."""

_SHOWN: Final = 300
"""Characters of another program's complaint that an error shows."""


class Token(NamedTuple):
    """A bearer token, and the moment of its end in seconds since 1970."""

    value: str
    expires_at: float


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """The last token, renewed before it ends; threads share it.

    Args:
        fetch: Returns a new token; raises Away or ConfigurationError.
        extensions: What brokers are told besides the token.
    """

    def __init__(self, fetch: Callable[[], Token], extensions: Mapping[str, str]) -> None:
        self._fetch = fetch
        self._extensions = dict(extensions)
        self._lock = threading.Lock()
        self._token = Token("", 0.0)
        self._renew_at = 0.0

    def renew(self) -> str:
        """Return a token that holds, a new one where most of the last one's life has passed.

        Raises:
            Away: who gives tokens cannot be reached, and the last token has expired.
            ConfigurationError: there is no token to be had; the message says why.
        """
        with self._lock:
            now = time.time()
            if now >= self._renew_at:
                try:
                    self._token = self._fetch()
                    self._renew_at = now + _USED * (self._token.expires_at - now)
                except UserError as error:
                    failed_at = time.time()
                    if failed_at >= self._token.expires_at:
                        raise
                    log.warning("no new token for Kafka yet: the last one still holds", error=str(error))
                    pause_s = max(_AGAIN_S, _REST * (failed_at - now))
                    self._renew_at = min(failed_at + pause_s, self._token.expires_at)
            return self._token.value

    def token(self) -> str:
        """Answer the client, on its own thread, where only Kafka's errors are understood."""
        try:
            return self.renew()
        except Away as error:
            raise KafkaConnectionError(str(error)) from error
        except UserError as error:
            raise SaslAuthenticationFailedError(str(error)) from error

    def extensions(self) -> dict[str, str]:
        """Return what brokers are told besides the token."""
        return self._extensions


def tokens_of(settings: Settings) -> Tokens | None:
    """Return the tokens of this process, which all of its clients share; None where the mechanism needs none.

    Raises:
        ConfigurationError: the settings name no source of tokens, or several.
    """
    if settings.kafka_sasl_mechanism != "OAUTHBEARER":
        return None
    sources = _sources(settings)
    if len(sources) != 1:
        raise ConfigurationError(
            f"WORKER_KAFKA_SASL_MECHANISM=OAUTHBEARER needs one source of tokens, and has {len(sources)}. Set "
            "WORKER_KAFKA_OAUTH_COMMAND, WORKER_KAFKA_OAUTH_ENDPOINT or WORKER_KAFKA_OAUTH_MSK_REGION"
        )
    return _tokens(*sources[0], tuple(sorted(settings.kafka_oauth_extensions.items())))


def _sources(settings: Settings) -> list[tuple[Callable[..., Token], tuple[str | None, ...]]]:
    """Return each function that the settings choose, with its arguments."""
    sources: list[tuple[Callable[..., Token], tuple[str | None, ...]]] = []
    if settings.kafka_oauth_command:
        sources.append((token_of_command, (settings.kafka_oauth_command.get_secret_value(),)))
    if settings.kafka_oauth_endpoint:
        secret = settings.kafka_oauth_client_secret
        client = settings.kafka_oauth_client_id or "", secret.get_secret_value() if secret else ""
        sources.append((token_of_endpoint, (str(settings.kafka_oauth_endpoint), *client, settings.kafka_oauth_scope)))
    if settings.kafka_oauth_msk_region:
        sources.append((token_of_msk, (settings.kafka_oauth_msk_region,)))
    return sources


@cache
def _tokens(
    fetch: Callable[..., Token], arguments: tuple[str | None, ...], extensions: tuple[tuple[str, str], ...]
) -> Tokens:
    return Tokens(partial(fetch, *arguments), dict(extensions))


def token_of_command(command: str) -> Token:
    """Run a command that prints a token, alone or in the JSON object of an OAuth answer.

    Raises:
        ConfigurationError: it cannot be run, fails, takes too long or prints no token.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, without a shell.
            shlex.split(command) or ["an empty command"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FETCH_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        said = f"{error.stderr.strip()[-_SHOWN:]} (exit code {error.returncode})"
    except subprocess.TimeoutExpired:
        said = f"no end after {_FETCH_S:g} s"
    except (OSError, ValueError) as error:
        said = str(error)
    else:
        alone = done.stdout.strip()
        # A number or a quoted word is JSON too, and no OAuth answer.
        answer = alone if alone.startswith("{") else json.dumps({"access_token": alone})
        return _read_answer(answer, "WORKER_KAFKA_OAUTH_COMMAND")
    raise ConfigurationError(
        f"The command for Kafka's tokens fails: {' '.join(said.split())}. Run WORKER_KAFKA_OAUTH_COMMAND by hand, as "
        "the worker's user: it must print a token"
    ) from None


def token_of_endpoint(endpoint: str, client_id: str, client_secret: str, scope: str | None) -> Token:
    """Ask an OpenID provider for a token by client credentials (RFC 6749, section 4.4).

    Raises:
        Away: the provider cannot be reached, or is too busy.
        ConfigurationError: it refuses us, or its answer holds no token.
    """
    form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
    basic = base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode()).decode()
    headers = {"Authorization": f"Basic {basic}", "Accept": "application/json"}
    request = Request(endpoint, urlencode(form).encode(), headers)  # noqa: S310 - settings take http and https alone.
    try:
        with urlopen(request, timeout=_FETCH_S) as response:  # noqa: S310 - as above.
            answer = response.read().decode(errors="replace")
    except HTTPError as error:
        with error:
            said = _complaint(error)
        if error.code == 429 or error.code >= 500:  # noqa: PLR2004 - HTTP's codes for "later".
            raise Away(f"{endpoint} gives no tokens for Kafka now: {said}") from None
        raise ConfigurationError(
            f"{endpoint} refuses a token for Kafka: {said}. Check WORKER_KAFKA_OAUTH_CLIENT_ID, "
            "WORKER_KAFKA_OAUTH_CLIENT_SECRET and WORKER_KAFKA_OAUTH_SCOPE"
        ) from None
    except (OSError, HTTPException) as error:
        if "CERTIFICATE" in str(error):
            raise ConfigurationError(
                f"{endpoint} is not trusted: {error}. Name its authority's certificates by SSL_CERT_FILE"
            ) from error
        said = " ".join(f"{error}"[:_SHOWN].split())
        raise Away(f"{endpoint}, which gives tokens for Kafka, is away: {said}") from error
    return _read_answer(answer, "WORKER_KAFKA_OAUTH_ENDPOINT")


def _complaint(error: HTTPError) -> str:
    """Return why a provider refuses, as far as its answer says so (RFC 6749, section 5.2)."""
    try:
        answer = json.loads(error.read(2**16))
        said = [str(answer[name]) for name in ("error", "error_description") if name in answer]
    except (ValueError, TypeError, OSError):
        said = []
    return " ".join(" ".join([f"HTTP {error.code}", *said])[:_SHOWN].split())


def token_of_msk(region: str) -> Token:
    """Sign a token for Amazon MSK with the AWS credentials that this process has.

    Raises:
        Away: the credentials come from a service that cannot be reached.
        ConfigurationError: there are none, they are refused, or the signer is not installed.
    """
    try:
        signer = importlib.import_module("aws_msk_iam_sasl_signer.MSKAuthTokenProvider")
        session, errors = (importlib.import_module(f"botocore.{name}") for name in ("session", "exceptions"))
    except ImportError as error:
        raise ConfigurationError(f"{error}. Install the signer: pip install 'asr-emotions[msk]'") from error
    try:
        if session.Session().get_credentials() is None:
            raise errors.NoCredentialsError
        value, expires_at_ms = signer.generate_auth_token(region)
    except errors.HTTPClientError as error:
        raise Away(f"AWS gives no credentials for Kafka now: {error}") from error
    except (errors.BotoCoreError, errors.ClientError) as error:
        raise ConfigurationError(
            f"AWS gives no token for Kafka: {error}. Give the worker a role or credentials of AWS, which may "
            "kafka-cluster:Connect"
        ) from error
    return Token(value, expires_at_ms / 1000)


def _read_answer(answer: str, setting: str) -> Token:
    """Read an OAuth answer (RFC 6749, section 5.1); an error shows nothing of it, since it may hold secrets."""
    try:
        fields = json.loads(answer)
        value, lifetime_s = str(fields["access_token"]), fields.get("expires_in")
    except (ValueError, TypeError, KeyError, AttributeError):
        value = ""
    if not re.fullmatch("[!-~]+", value):
        raise ConfigurationError(
            f"What {setting} gives is no token: it must be a JSON object with an access_token, or the token alone "
            "where a command prints it"
        )
    try:
        return Token(value, time.time() + float(lifetime_s))
    except (ValueError, TypeError):
        return Token(value, _expiry(value))


def _expiry(value: str) -> float:
    """Return when a token says that it expires, as those in JWT's form do."""
    try:
        claims = value.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    except (IndexError, ValueError, TypeError, KeyError):
        return time.time() + _UNKNOWN_LIFE_S
