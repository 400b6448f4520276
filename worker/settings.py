"""Settings of the worker: environment variables, or files of the same names in /run/secrets."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, HttpUrl, SecretStr
from pydantic_settings import NoDecode, SettingsConfigDict

from registry.settings import EnvironmentSettings
from schemas.bundle import Neutral
from schemas.kept_text import StoreText
from schemas.redaction import Secret
from schemas.roles import Role, roles_by_channel
from worker.errors import ConfigurationError

PREFIX: Final = "WORKER_"

Positive = Annotated[int, Field(gt=0)]
Word = Annotated[str, Field(pattern=r"^[a-z]+$")]
ByChannel = BeforeValidator(lambda value: roles_by_channel(value) if isinstance(value, str) else value)
Extensions = BeforeValidator(lambda value: _pairs(value) if isinstance(value, str) else value)
ByCommas = BeforeValidator(lambda value: re.findall(r"[^\s,]+", value) if isinstance(value, str) else value)
EmptyIsNone = BeforeValidator(lambda value: None if value == "" else value)
WithoutUser = AfterValidator(lambda url: _refuse_user(url) if url else None)


class Settings(EnvironmentSettings):
    """Everything an operator can set. The names are a contract: they change in major versions only."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    kafka_bootstrap_servers: str = "localhost:9092"
    """Kafka brokers, host:port, by commas."""
    kafka_topic: str = "transcripts"
    """Topic the transcripts are read from."""
    kafka_group_id: str = "emotion-worker"
    """Consumer group; workers of one share the load."""
    kafka_instance_id: Annotated[str | None, EmptyIsNone] = None
    """Name that this worker alone has in its group, such as a StatefulSet pod's: a restart within the session timeout
    then moves no partition, and what a worker leaves for good waits until that time is over."""
    kafka_dead_letter_topic: str = "transcripts.dead-letters"
    """Topic for records that cannot become rows."""
    kafka_results_topic: Annotated[str | None, EmptyIsNone] = None
    """Topic that results are sent to as well, as JSON, such as transcripts.emotions; by default they are stored only.
    `backfill` and `rescore` send none."""
    kafka_auto_offset_reset: Literal["earliest", "latest"] = "earliest"
    """Where a group begins that has no offset in Postgres and none in Kafka."""
    kafka_offset_out_of_range: Literal["fail", "earliest", "latest"] = "fail"
    """When the log does not hold the next offset, or a batch that cannot be read: stop, go on at the first record
    behind, or at the end."""
    kafka_tombstones: Literal["skip", "delete"] = "skip"
    """Records without a value: pass over them, or delete the row of this topic whose transcript_id is the record's key,
    unless the row is of a newer record."""
    kafka_session_timeout_ms: Positive = 45_000
    """Without a heartbeat for so long, a worker loses its partitions."""
    kafka_max_poll_interval_ms: Positive = 300_000
    """Without a poll for so long, a worker loses its partitions."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How to talk to the brokers."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"] | None = None
    """SASL mechanism, with SASL_PLAINTEXT or SASL_SSL."""
    kafka_sasl_username: str | None = None
    """SASL user, for PLAIN and SCRAM."""
    kafka_sasl_password: SecretStr | None = None
    """SASL password, for PLAIN and SCRAM."""
    kafka_oauth_command: SecretStr | None = None
    """Command that prints a token for OAUTHBEARER, alone or as `access_token` of a JSON object; no shell runs it."""
    kafka_oauth_endpoint: Annotated[HttpUrl | None, EmptyIsNone, WithoutUser] = None
    """Token endpoint of an OpenID provider, for OAUTHBEARER by client credentials."""
    kafka_oauth_client_id: str | None = None
    """Client that the OpenID provider knows."""
    kafka_oauth_client_secret: SecretStr | None = None
    """Secret of that client."""
    kafka_oauth_scope: str | None = None
    """Scope to ask the OpenID provider for."""
    kafka_oauth_msk_region: str | None = None
    """AWS region of an Amazon MSK cluster with IAM, for OAUTHBEARER by the AWS credentials at hand; needs the extra
    `msk`."""
    kafka_oauth_extensions: Annotated[Mapping[str, str], NoDecode, Extensions] = {}
    """What brokers are told besides the token, such as logicalCluster=lkc-1,identityPoolId=pool-1 for Confluent
    Cloud."""
    kafka_kerberos_service_name: str | None = None
    """Service that the brokers' principals name, for GSSAPI; by default kafka. Needs the extra `kerberos`."""
    kafka_kerberos_domain_name: str | None = None
    """Host that the brokers' principals name; by default that of each broker's address."""
    kafka_ssl_cafile: Path | None = None
    """CA certificates that vouch for the brokers."""
    kafka_ssl_certfile: Path | None = None
    """Client certificate, where brokers ask for one."""
    kafka_ssl_keyfile: Path | None = None
    """Private key of the client certificate."""
    kafka_ssl_password: SecretStr | None = None
    """Password of the private key."""
    kafka_ssl_check_hostname: bool = True
    """Whether a broker's certificate must name its host."""

    database_url: SecretStr | None = None
    """Postgres, as postgresql://user:password@host/database; sslmode and the like may follow."""

    database_connections: Positive = 2
    """Connections that store at the same time, each its own partitions."""
    database_migrator_password: SecretStr | None = None
    """Password that `migrate --roles` gives the role emotions_migrator; without it, the role keeps its own."""
    database_worker_password: SecretStr | None = None
    """Password that `migrate --roles` gives the role emotions_worker."""
    database_trainer_password: SecretStr | None = None
    """Password that `migrate --roles` gives the role emotions_trainer."""
    database_reader_password: SecretStr | None = None
    """Password that `migrate --roles` gives the role emotions_reader."""

    model: str | None = None
    """Model bundle to serve in place of the registry's champion: small or tiny, which come with the code, a folder or a
    hub name. By default the champion serves, and is swapped when another is promoted; before there is one, small
    serves."""
    convention: Annotated[Word | None, EmptyIsNone] = None
    """Convention of labels to follow, where the model knows several; rows name it. By default the model's own default.
    A model that does not know it is refused."""
    neutral: Annotated[Neutral | None, EmptyIsNone] = None
    """exclusive: neutral is assigned exactly where no emotion is. independent: where its own score reaches its
    threshold. By default as the model's bundle says."""
    model_cache: Path = Path("~/.cache/asr-emotions")
    """Folder for champions that are downloaded from a URL."""
    champion_poll_s: Annotated[float, Field(gt=0)] = 30
    """How often to look for another champion, in addition to notifications of Postgres."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    backend: Literal["auto", "torch", "onnx"] = "auto"
    """What runs the model; auto is ONNX Runtime on a CPU, where it is installed and the bundle holds a file for it
    (`emotion-training export --onnx --int8`), else torch."""
    max_batch_tokens: Positive | None = None
    """Tokens of a forward pass, padding included; 16384 on a GPU and 2048 on a CPU by default."""
    max_records: Positive = 1024
    """Records of a chunk, which is stored in one transaction; a call counts once for each of its parts."""
    max_held_bytes: Positive = 128 * 2**20
    """Bytes that are polled and not stored, in parts: a chunk under way is full at one part, and a broker's answer to a
    fetch holds one at most. A single larger record passes."""
    max_wait_ms: Annotated[int, Field(ge=0)] = 50
    """How long the first record of a chunk waits for company."""

    channel_roles: Annotated[Mapping[str, Role], NoDecode, ByChannel] = {}
    """Who speaks on which channel, such as 0=agent,1=customer, for transcripts that name no role, by `channel` among
    their attributes or a speaker such as channel-0."""

    store_text: StoreText = "yes"
    """What a row keeps of its text: all of it, its SHA-256 as text_hash, or nothing. Rows without a text cannot be
    scored again by `rescore`, nor drawn for labelling."""
    redact: Annotated[tuple[Secret, ...], NoDecode, ByCommas] = ()
    """Numbers to take out of a text before it is stored, such as card,phone,passport. The model reads them still."""

    shadow: Literal["off", "candidate"] = "off"
    """candidate: the newest candidate of the registry scores a share of what is stored too, into shadow_results, with
    `emotion-training models compare` to read it."""
    shadow_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the transcripts that the shadow scores, where it finds the time."""

    dead_letters_in_a_row: Annotated[int, Field(ge=0)] = 100
    """So many dead letters in a row stop the worker; 0 lets all through, in any share."""
    dead_letters_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A larger share of dead letters among the last 1,000 records stops the worker."""

    http_host: str = "127.0.0.1"
    """Address of the metrics and health server."""
    http_port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    """Its port: /metrics, /healthz, /readyz. 0 takes any free one and prints it."""
    stuck_after_s: Annotated[float, Field(gt=0)] = 30
    """/healthz fails when records wait, nothing that is waited for is away, and none was stored for so long."""
    exit_delay_s: Annotated[float, Field(ge=0)] = 0
    """How long a worker that needs a person stays before it ends with exit code 2. /healthz fails meanwhile and says
    why. For supervisors that start it again at once and look at its health, such as Docker."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level logged."""

    @property
    def required_database_url(self) -> str:
        """The database's URL.

        Raises:
            ConfigurationError: it is not set.
        """
        if self.database_url is None:
            raise ConfigurationError(
                f"{PREFIX}DATABASE_URL is not set: give it, as postgresql://user:password@host/database"
            )
        return self.database_url.get_secret_value()

    @property
    def part_bytes(self) -> int:
        """Bytes of one part of what may be held: of a full chunk, or of an answer to a fetch."""
        # One chunk fills, one waits for the model, one has it; each storage has one in hand, and one waits for it.
        chunks = 3 + 2 * self.database_connections
        fetches = 1
        shadowed = 3 if self.shadow == "candidate" else 0  # Texts that the shadow scores, or will.
        return max(1, self.max_held_bytes // (chunks + fetches + shadowed))


def _refuse_user(url: HttpUrl) -> HttpUrl:
    """Return an address that holds no user: one would be logged, and the provider would not hear of it."""
    if url.username or url.password:
        raise ValueError(
            f"give user and password by {PREFIX}KAFKA_OAUTH_CLIENT_ID and {PREFIX}KAFKA_OAUTH_CLIENT_SECRET"
        )
    return url


def _pairs(value: str) -> dict[str, str]:
    """Read name=value pairs that commas separate; names are letters alone (RFC 7628, section 3.1)."""
    pairs = [pair.strip().partition("=") for pair in value.split(",") if pair.strip()]
    wrong = next((name for name, _, content in pairs if not (name.isascii() and name.isalpha() and content)), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r} is no name=value pair, such as logicalCluster=lkc-1")
    return {name: content for name, _, content in pairs}
