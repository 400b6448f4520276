"""A Label Studio of the test's own, and what one does there, over HTTP."""

import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any, Final

from services import wait_for

from worker.demo.services import end_with_this_process, free_port

_TOKEN: Final = "0123456789abcdef0123456789abcdef01234567"  # noqa: S105 - of a server that lives for a minute.
_QUIET: Final = {
    "COLLECT_ANALYTICS": "false",
    "FRONTEND_SENTRY_DSN": "",
    "LATEST_VERSION_CHECK": "false",
    "SENTRY_DSN": "",
}
"""It calls nobody."""

Annotation = dict[str, Any]


class Person:
    """Someone at Label Studio: the owner of a token, or a browser's session where there is none yet."""

    def __init__(self, address: str, token: str = "") -> None:
        self.address = address
        self._headers = {"Authorization": f"Token {token}"} if token else {}
        self._cookies = CookieJar()
        self._browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def text(self, method: str, path: str, body: Any = None, form: dict[str, str] | None = None) -> str:
        """Send a request, with a body as JSON or a form, and return what comes back.

        Raises:
            AssertionError: the answer is an error.
        """
        headers = self._headers | {"Referer": self.address + path}
        content = None if form is None else urllib.parse.urlencode(form).encode()
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.address + path, content, headers, method=method)  # noqa: S310 - http, ours.
        try:
            with self._browser.open(request, timeout=60) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error}: {error.read().decode()[:1000]}") from error

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request and return what comes back as JSON."""
        return json.loads(self.text(method, path, body))

    def invited(self, email: str) -> "Person":
        """Let someone else sign up by an invitation's link, as a colleague does."""
        guest = Person(self.address)
        link = self.json("GET", "/api/invite")["invite_url"]
        guest.text("GET", link)
        [csrf] = [str(cookie.value) for cookie in guest._cookies if cookie.name == "csrftoken"]
        guest.text("POST", link, form={"email": email, "password": "secret-2", "csrfmiddlewaretoken": csrf})
        return Person(self.address, guest.json("GET", "/api/current-user/token")["token"])


class Project:
    """A project with a labelling configuration and tasks."""

    def __init__(self, owner: Person, configuration: str, tasks: list[dict[str, Any]]) -> None:
        self._owner = owner
        settings = {"title": "emotions", "label_config": configuration, "maximum_annotations": 2}
        self._number = owner.json("POST", "/api/projects/", settings)["id"]
        imported = owner.json("POST", f"/api/projects/{self._number}/import", tasks)
        assert (imported["task_count"], imported["prediction_count"]) == (len(tasks), len(tasks))
        listed = owner.json("GET", f"/api/tasks?project={self._number}&fields=all&page_size=100")["tasks"]
        self._tasks = {task["data"]["transcript_id"]: task for task in listed}

    def shown_predictions(self) -> list[dict[str, Any]]:
        """Return the answers that the next task comes with, as the annotator sees them."""
        return list(self._owner.json("GET", f"/api/projects/{self._number}/next")["predictions"])

    def prediction(self, transcript: str) -> dict[str, Any]:
        """Return the model's answer, as Label Studio has it."""
        [prediction] = self._tasks[transcript]["predictions"]
        return dict(prediction)

    def annotate(self, who: Person, transcript: str, *emotions: str, **more: Any) -> Annotation:
        """Submit an answer, or with was_cancelled skip the task."""
        answer = {"result": _result(emotions), "lead_time": 3.5, "project": self._number} | more
        return dict(who.json("POST", f"/api/tasks/{self._tasks[transcript]['id']}/annotations/", answer))

    def change(self, who: Person, annotation: Annotation, *emotions: str) -> None:
        """Update an answer that was submitted."""
        who.json("PATCH", f"/api/annotations/{annotation['id']}/", {"result": _result(emotions)})

    def draft(self, who: Person, transcript: str, *emotions: str) -> None:
        """Leave a task with something ticked that is not submitted."""
        draft = {"result": _result(emotions), "lead_time": 1.0}
        who.json("POST", f"/api/tasks/{self._tasks[transcript]['id']}/drafts", draft)

    def exported(self, form: str) -> str:
        """Return the export that the button gives: the tasks with answers, in the form of this name."""
        return self._owner.text("GET", f"/api/projects/{self._number}/export?exportType={form}")

    def snapshot(self) -> str:
        """Return the export by snapshot: all tasks, and people by name instead of number."""
        wish = {"title": "all", "serialization_options": {"annotations__completed_by": {"only_id": False}}}
        at = f"/api/projects/{self._number}/exports/"
        number = self._owner.json("POST", at, wish)["id"]
        wait_for(lambda: self._owner.json("GET", f"{at}{number}")["status"] == "completed", "the snapshot")
        return self._owner.text("GET", f"{at}{number}/download?exportType=JSON")


def _result(emotions: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return what the choices of the configuration send."""
    value = {"choices": list(emotions)}
    return [{"from_name": "emotions", "to_name": "text", "type": "choices", "value": value}] if emotions else []


@contextmanager
def label_studio(environment: Path, folder: Path) -> Iterator[Person]:
    """Run a server at a free port of this machine, with its data in a folder, and yield its first user.

    Args:
        environment: the virtual environment that Label Studio is installed in.
        folder: for its data; it exists.
    """
    address = ("127.0.0.1", free_port())
    options = {
        "data-dir": folder / "data",
        "internal-host": address[0],
        "port": address[1],
        "username": "anna@example.com",
        "password": "secret-1",
        "user-token": _TOKEN,
    }
    command = [str(environment / "bin" / "label-studio"), "start", "--no-browser", "--enable-legacy-api-token"]
    command += [f"--{name}={value}" for name, value in options.items()]
    homes = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"), str(folder))
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **_QUIET, **homes})
    (folder / "pid").write_text(f"{server.pid}\n")
    try:
        with end_with_this_process(folder / "pid"):
            someone = Person("http://{}:{}".format(*address), _TOKEN)
            wait_for(lambda: _healthy(server, someone, folder / "log"), "Label Studio")
            yield someone
    finally:
        server.kill()
        server.wait()


def _healthy(server: "subprocess.Popen[bytes]", someone: Person, log: Path) -> bool:
    assert server.poll() is None, log.read_text(errors="replace")[-3000:]
    try:
        return bool(someone.json("GET", "/health")["status"] == "UP")
    except urllib.error.URLError:
        return False
