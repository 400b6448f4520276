"""Tables of a user's own: none hides another of its name, and a table without validation rows gets some, by call."""

from pathlib import Path

import pytest

from training.data.datasets import load
from training.data.own_tables import may_choose, name_tables, part_tables
from training.errors import UnusableData


def table(file: Path, words: str, rows: int = 3, calls: int = 0) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{at},{words} {at},joy,{f'call-{at % calls}' if calls else ''}" for at in range(rows)]
    file.write_text("\n".join(["id,text,emotions,session_id", *lines]), encoding="utf-8")
    return file


def test_two_tables_of_one_name_are_two_sets_with_ids_of_their_own(tmp_path: Path) -> None:
    files = [table(tmp_path / folder / "calls.csv", folder) for folder in ("north", "south")]
    north, south = load(map(str, files), "train")
    assert (north.source, south.source) == ("north-calls", "south-calls")
    assert set(north.ids).isdisjoint(south.ids), "a row of one that is refused takes none of the other with it"
    assert name_tables([str(files[0]), "seara/ru_go_emotions"]) == {str(files[0]): "calls"}


def test_a_table_takes_no_name_that_the_program_gives_itself(tmp_path: Path) -> None:
    [examples] = load([str(table(tmp_path / "dialogues.csv", "да"))], "train")
    assert examples.source == "dialogues-table"


def test_sets_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    files = [table(tmp_path / "calls.csv", "да"), table(tmp_path / "calls.tsv", "да")]
    with pytest.raises(UnusableData, match=r"two sets are called .*-calls: name each set once"):
        name_tables(map(str, files))
    with pytest.raises(UnusableData, match="two sets are called ru_calls"):
        load(["calls", "calls"], "validation")


def test_a_fifth_of_the_calls_chooses_and_no_call_does_both(tmp_path: Path) -> None:
    file = table(tmp_path / "mine.csv", "да", rows=1_000, calls=200)
    [examples] = load([str(file)], "train")
    [learned], [chosen] = part_tables([examples], [], ["mine"])
    assert set(learned.dialogues or ()).isdisjoint(chosen.dialogues or ())
    assert len(learned) + len(chosen) == 1_000
    assert 100 < len(chosen) < 300


def test_without_calls_texts_are_parted_however_they_are_spelled(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    texts = [spelled for at in range(100) for spelled in (f"ответ {at}", f"Ответ {at}!")]
    file.write_text("\n".join(["text,emotions", *(f"{text},joy" for text in texts)]), encoding="utf-8")
    [examples] = load([str(file)], "train")
    [learned], [chosen] = part_tables([examples], [], ["mine"])
    plain = [{text.lower().strip("!") for text in each.texts} for each in (learned, chosen)]
    assert plain[0].isdisjoint(plain[1])


def test_what_is_measured_already_stays_whole(tmp_path: Path) -> None:
    [examples] = load([str(table(tmp_path / "mine.csv", "да"))], "train")
    assert part_tables([examples], [examples.conventions], ["mine"]) == ([examples], [])
    assert part_tables([examples], [], []) == ([examples], [])


def test_too_few_calls_are_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    [examples] = load([str(table(tmp_path / "mine.csv", "да", rows=30, calls=1))], "train")
    with pytest.raises(UnusableData, match=r"mine has too few calls or texts to part \(1\): label more"):
        part_tables([examples], [], ["mine"])


def test_tables_may_choose_after_what_is_named_for_it(tmp_path: Path) -> None:
    assert may_choose(["ru_calls"], [str(tmp_path / "mine.csv"), "calls"]) == ("ru_calls", "mine")
