"""SASL OAUTHBEARER at a real broker: tokens from a command, from an OpenID provider and for Amazon MSK."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from broker import KafkaBroker
from flow import Flow, WorkerProcess
from makers import forget_settings
from openid import SECRET, OpenIdProvider, openid_provider, unsigned_token
from services import SecureKafka, wait_for

from worker.errors import Away, ConfigurationError
from worker.kafka.tokens import token_of_command, token_of_endpoint, token_of_msk, tokens_of
from worker.settings import Settings

SHORT_S = 3.0  # A token's life, of which a test sees several.


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    with openid_provider() as provider:
        yield provider


@pytest.fixture
def bearer(
    session_broker: KafkaBroker, secure_kafka: SecureKafka, secure_topic: str, postgres_url: str, tmp_path: Path
) -> Iterator[Flow]:
    """A flow whose workers come in by tokens, while the test publishes at the broker's plain listener."""
    flow = Flow(session_broker.bootstrap, secure_topic, postgres_url, tmp_path)
    flow.settings |= {
        "WORKER_KAFKA_BOOTSTRAP_SERVERS": secure_kafka.bootstrap,
        "WORKER_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "WORKER_KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "WORKER_KAFKA_SSL_CAFILE": str(secure_kafka.ssl_cafile),
        "STUB_HASTY": "1",
    }
    yield flow
    flow.close()


def assert_one_clear_line(worker: WorkerProcess, *hints: str) -> None:
    assert worker.wait() == 2, worker.output()
    [complaint] = [line["event"] for line in worker.log if line["level"] in {"warning", "error"}]
    assert all(hint in complaint for hint in hints), complaint
    assert "Traceback" not in worker.output()


def test_a_worker_outlives_its_tokens_and_its_provider(bearer: Flow, provider: OpenIdProvider) -> None:
    provider.lifetime_s = SHORT_S
    worker = bearer.start(**provider.settings(), WORKER_KAFKA_OAUTH_SCOPE="kafka")
    for tokens in (2, 4):
        wait_for(lambda least=tokens: len(provider.given) >= least, "the next token")
        bearer.publish(20)
        bearer.publish_raw([b"garbage"])
        bearer.wait_for_rows(tokens * 10)
    wait_for(lambda: len(bearer.dead_letters()) == 2, "dead letters")
    assert len(worker.said("partitions came")) == 1, "it stayed a member"
    assert not worker.said("away")

    provider.answer = (503, "maintenance")
    wait_for(lambda: worker.said("no new token for Kafka yet"), "the first failure")
    wait_for(lambda: any("gives no tokens" in line["error"] for line in worker.said("Kafka is away")), "the outage")
    bearer.publish(20)
    provider.answer = None
    bearer.wait_for_rows(60)

    assert worker.stop() == 0
    assert provider.forms[0] == {"grant_type": ["client_credentials"], "scope": ["kafka"]}
    assert SECRET not in worker.output()
    assert not [token for token in provider.given if token in worker.output()]


def test_a_provider_that_is_away_is_waited_for(bearer: Flow) -> None:
    with openid_provider() as gone:
        pass
    worker = bearer.start(**gone.settings())
    wait_for(lambda: worker.said("waiting for a service that is away"), "the worker to wait")
    assert gone.url in worker.said("waiting for a service that is away")[0]["error"]
    assert worker.stop() == 0


def test_who_gets_no_token_or_a_wrong_one_stops_with_one_line(bearer: Flow, provider: OpenIdProvider) -> None:
    # All at once: each takes until the client has given up.
    expired = bearer.start(WORKER_KAFKA_OAUTH_COMMAND=f"echo {unsigned_token(-30)}")
    garbage = bearer.start(WORKER_KAFKA_OAUTH_COMMAND="echo no.token.atall")
    stranger = bearer.start(**provider.settings() | {"WORKER_KAFKA_OAUTH_CLIENT_SECRET": "battery-staple"})
    failing = bearer.start(WORKER_KAFKA_OAUTH_COMMAND="sh -c 'echo log in first >&2; exit 3'")
    nothing = bearer.start()
    both = bearer.start(WORKER_KAFKA_OAUTH_COMMAND="true", WORKER_KAFKA_OAUTH_MSK_REGION="eu-central-1")

    assert_one_clear_line(expired, "Kafka refuses", "invalid_token", "WORKER_KAFKA_OAUTH_")
    assert_one_clear_line(garbage, "Kafka refuses", "WORKER_KAFKA_OAUTH_")
    assert_one_clear_line(stranger, "refuses a token", "HTTP 401 invalid_client", "WORKER_KAFKA_OAUTH_CLIENT_SECRET")
    assert_one_clear_line(failing, "log in first (exit code 3)", "Run WORKER_KAFKA_OAUTH_COMMAND by hand")
    assert_one_clear_line(nothing, "one source of tokens, and has 0", "WORKER_KAFKA_OAUTH_ENDPOINT")
    assert_one_clear_line(both, "one source of tokens, and has 2")
    assert "battery-staple" not in stranger.output()


def test_a_commands_token_opens_the_door(bearer: Flow) -> None:
    bearer.publish(5)
    worker = bearer.start(
        WORKER_KAFKA_OAUTH_COMMAND=f"echo {unsigned_token(600)}", WORKER_KAFKA_OAUTH_EXTENSIONS="logicalCluster=lkc-1"
    )
    bearer.wait_for_rows(5)
    assert worker.stop() == 0


def test_a_commands_answer_is_a_word_or_an_oauth_answer(tmp_path: Path) -> None:
    now = time.time()
    assert token_of_command("printf ' opaque\n'").value == "opaque"
    assert now + 50 < token_of_command("echo opaque").expires_at < now + 100
    assert now + 590 < token_of_command(f"echo {unsigned_token(600)}").expires_at < now + 610
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps({"access_token": "opaque", "expires_in": "900"}))
    token = token_of_command(f"cat {answer}")
    assert token.value == "opaque"
    assert now + 890 < token.expires_at < now + 930


@pytest.mark.parametrize(
    ("command", "cause"),
    [
        ("no-such-command", "No such file"),
        ("echo 'no closing quote", "No closing quotation"),
        (" ", "an empty command"),
        ("true", "is no token"),
        ("echo two words", "is no token"),
        ("""echo '{"access_token": ""}'""", "is no token"),
        ("""echo '{"error": "hunter2"}'""", "is no token"),
    ],
)
def test_a_command_that_gives_no_token_is_named_and_its_output_is_not_shown(command: str, cause: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{cause}.*WORKER_KAFKA_OAUTH_COMMAND|COMMAND.*{cause}") as raised:
        token_of_command(command)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (400, '{"error": "invalid_scope"}', ConfigurationError, "HTTP 400 invalid_scope. .*WORKER_KAFKA_OAUTH_SCOPE"),
        (404, "<html>", ConfigurationError, "HTTP 404. Check"),
        (200, "<html>", ConfigurationError, "WORKER_KAFKA_OAUTH_ENDPOINT gives is no token"),
        (429, "[]", Away, "HTTP 429"),
        (503, "", Away, "HTTP 503"),
    ],
)
def test_a_provider_that_refuses_is_told_from_one_that_is_busy(
    provider: OpenIdProvider, status: int, body: str, error: type[Exception], words: str
) -> None:
    provider.answer = (status, body)
    with pytest.raises(error, match=words):
        token_of_endpoint(provider.url, "emotions", SECRET, None)


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
def test_a_provider_whose_answer_is_cut_off_or_no_http_is_away(answer: bytes) -> None:
    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(2**16)
            self.request.sendall(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        with pytest.raises(Away, match=r"gives tokens for Kafka, is away: .*(SSH|Incomplete)"):
            token_of_endpoint(f"http://127.0.0.1:{server.server_address[1]}/token", "emotions", SECRET, None)
        server.shutdown()


def test_all_clients_of_a_process_share_a_token(provider: OpenIdProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_settings(monkeypatch)
    for name, value in provider.settings().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WORKER_KAFKA_SASL_MECHANISM", "OAUTHBEARER")
    tokens = [tokens_of(Settings.load()) for _ in range(3)]
    assert {each.renew() for each in tokens if each} == set(provider.given)
    assert len(provider.given) == 1


def test_a_token_for_msk_is_signed_with_the_aws_credentials_at_hand(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ConfigurationError, match=r"Unable to locate credentials.*kafka-cluster:Connect"):
        token_of_msk("eu-central-1")

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    token = token_of_msk("eu-central-1")
    signed = urlsplit(base64.urlsafe_b64decode(token.value + "==").decode())
    query = parse_qs(signed.query)
    assert signed.hostname == "kafka.eu-central-1.amazonaws.com"
    assert query["Action"] == ["kafka-cluster:Connect"]
    assert query["X-Amz-Credential"][0].startswith("AKIDEXAMPLE/")
    assert time.time() + 800 < token.expires_at < time.time() + 1000
