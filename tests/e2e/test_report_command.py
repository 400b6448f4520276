"""`classify --explain` and `report`, as an analyst calls them who has a file and no database."""

import json
from pathlib import Path

from commands import emotion_worker, told_error

CALL = [
    ("agent", "добрый день слушаю вас"),
    ("customer", "здравствуйте я по поводу заказа"),
    ("customer", "вы меня обманули это возмутительно просто безобразие какое то верните мне мои деньги немедленно"),
    ("customer", ""),
]


def test_a_file_becomes_a_page_that_marks_the_words_which_carried_a_score(tmp_path: Path) -> None:
    lines = [
        {"id": f"c-{at}", "session_id": "c", "source": "shop", "speaker": side, "segment": at, "text": text}
        for at, (side, text) in enumerate(CALL)
    ]
    given = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    classified = emotion_worker("classify", "--explain", stdin=given, WORKER_MODEL="tiny")
    answers = [json.loads(line) for line in classified.stdout.splitlines()]
    (tmp_path / "answers.jsonl").write_text(classified.stdout, encoding="utf-8")

    done = emotion_worker("report", "answers.jsonl", cwd=tmp_path, WORKER_MODEL="tiny")

    assert [answer["session_id"] for answer in answers] == ["c"] * len(CALL)
    ((emotion, words),) = answers[2]["because"].items()
    assert emotion in answers[2]["emotions"]
    assert {word for word, _ in words} <= set(CALL[2][1].split())
    assert "because" not in answers[3]
    assert done.returncode == 0, done.stderr
    assert done.stdout == "wrote calls.html\n"
    page = (tmp_path / "calls.html").read_text(encoding="utf-8")
    assert "1 call, 4 utterances" in page
    assert "<mark>" in page


def test_what_cannot_be_reported_is_refused_in_one_line(tmp_path: Path) -> None:
    answer = {"id": None, "text": "да", "emotions": [], "scores": None, "model_version": "m", "convention": "calls"}
    broken = tmp_path / "broken.jsonl"
    broken.write_text(json.dumps(answer) + '\n{"text": ', encoding="utf-8")

    assert "is not what `emotion-worker classify` writes" in told_error(emotion_worker("report", str(broken)).stderr)
    assert "WORKER_DATABASE_URL is not set" in told_error(emotion_worker("report").stderr)
    assert "write an age such as" in told_error(emotion_worker("report", str(broken), "--since", "soon").stderr)
