"""What a line stands for, as `publish` and `classify` read it."""

import msgspec
import pytest

from worker.publish import message_of


def as_text(text: str) -> bytes:
    return msgspec.json.encode({"text": text})


@pytest.mark.parametrize("line", ["", "   ", "\n", "\t\r\n"])
def test_a_blank_line_is_no_message(line: str) -> None:
    assert message_of(line) is None


@pytest.mark.parametrize("line", ["ну наконец то", '"да"', "112", "null", "алло {да}", "да [смех]"])
def test_text_is_the_text_of_a_transcript(line: str) -> None:
    assert message_of(f"  {line} \n") == as_text(line)


@pytest.mark.parametrize(
    "line",
    ["[смех] ну ладно", "[музыка]", "[", "[]]", "[5] да", "[1, 2", '["а"] б', "[" * 100_000, "[" * 9_000 + "]" * 9_000],
    ids=lambda line: line[:20],
)
def test_text_may_begin_with_a_tag_in_brackets(line: str) -> None:
    assert message_of(line) == as_text(line)


@pytest.mark.parametrize("line", ['{"text": "да"}', "[1, 2]", "[]", '["text"]', '[{"text": "да"}]'])
def test_json_stays_as_it_is(line: str) -> None:
    assert message_of(f" {line}\n") == line.encode()


@pytest.mark.parametrize("line", ['{"text":', "{да}", "{"])
def test_broken_json_stays_as_it_is_for_the_dead_letters_to_show(line: str) -> None:
    assert message_of(line) == line.encode()
