"""Secret numbers are taken out of texts, and all else stays."""

import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.redaction import Secret, redact

ALL: tuple[Secret, ...] = get_args(Secret)

WORDS = ["алло", "мой номер", "серия", "номер", "карта", "плюс", "тысяч", "рублей", "8", "7", "+7", "916", "45", "10"]
WORDS += ["восемь", "девятьсот", "шестнадцать", "сто", "двадцать", "три", "сорок", "ноль", "123456", "4276", "3800"]
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(" -(),.+0123456789[]аяё\n№", max_size=6)).flatmap(
    lambda words: st.sampled_from([" ", "", "-", ", "]).map(lambda gap: gap.join(words))
)
PLACEHOLDER = re.compile(r"\[(?:card|phone|passport)\]")


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("карта 4276 3800 1234 5678 двенадцать двадцать пять", "карта [card] двенадцать двадцать пять"),
        ("4276380012345678", "[card]"),
        ("4 2 7 6 3 8 0 0 1 2 3 4 5 6 7 8.", "[card]."),
        ("мой телефон +7 (916) 123-45-67, запишите", "мой телефон [phone], запишите"),
        ("восемь 916 123 45 67", "[phone]"),
        ("8 9 1 6 1 2 3 4 5 6 7", "[phone]"),
        ("89161234567", "[phone]"),
        ("9161234567 добавочный 12", "[phone] добавочный 12"),
        ("8, 495, 123, 45, 67", "[phone]"),
        ("квартира 5 8 916 123 45 67", "квартира 5 [phone]"),
        ("звоните +375 29 123 45 67", "звоните [phone]"),
        ("паспорт 4510 123456 выдан", "паспорт [passport] выдан"),
        ("серия 45 10 номер 123 456", "серия [passport]"),
        ("45 10 123456", "[passport]"),
        ("карта 4276 3800 1234 5678 телефон 89161234567", "карта [card] телефон [phone]"),
        ("квартира 25 4276 3800 1234 5678", "квартира 25 [card]"),
        ("+7 916 123 45 67, 4276 3800 1234 5678", "[phone], [card]"),
        ("+7 916 123 45 67 8 903 111 22 33", "[phone] [phone]"),
        ("8‑916‑123‑45 67", "[phone]"),
        ("4276... 3800… 1234 … 5678", "[card]"),
        ("Серия 4510. Номер 123456.", "Серия [passport]."),
        ("серия 4510 номер: 123456", "серия [passport]"),
    ],
)
def test_numbers_in_digits_are_taken_out(text: str, stored: str) -> None:
    assert redact(text, ALL) == stored


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (
            "ну восемь девятьсот шестнадцать сто двадцать три сорок пять шестьдесят семь да",
            "ну [phone] да",
        ),
        ("Плюс семь девятьсот три ноль ноль один двадцать два тридцать три", "Плюс [phone]"),
        ("восемь девять один шесть сто двадцать три сорок пять шестьдесят семь", "[phone]"),
        ("серия сорок пять десять номер сто двадцать три четыреста пятьдесят шесть", "серия [passport]"),
        (
            "карта сорок два семьдесят шесть тридцать восемь ноль ноль сто двадцать три четыреста пять десять ну вот",
            "карта [card] ну вот",
        ),
    ],
)
def test_numbers_in_words_are_taken_out(text: str, stored: str) -> None:
    assert redact(text, ALL) == stored


@pytest.mark.parametrize(
    "text",
    [
        "жду 40 минут, заказ 123456, сумма 1 250 300 рублей",
        "сто двадцать три тысячи четыреста пятьдесят шесть рублей восемьдесят копеек",
        "1 000 000 000",
        "84 000 000 000 рублей",
        "9 100, 200, 300",
        "один два три четыре пять",
        "с 9 00 до 18 00 по адресу ленина 25 корпус 3",
        "семья и сторона, трижды стоял",
        "20 цифр счёта 40817810099910004312",
        "",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert redact(text, ALL) == text


def test_only_what_is_asked_for_is_taken_out() -> None:
    text = "4276 3800 1234 5678 и 89161234567 и 4510 123456"
    assert redact(text, ["card"]) == "[card] и 89161234567 и 4510 123456"
    assert redact(text, ["phone", "passport"]).endswith("и [phone] и [passport]")
    assert redact(text, []) == text


@given(TEXTS)
def test_what_is_redacted_stays_as_it_is(text: str) -> None:
    once = redact(text, ALL)
    assert redact(once, ALL) == once


@given(TEXTS)
def test_nothing_becomes_longer_and_what_stays_is_what_was_said(text: str) -> None:
    stored = redact(text, ALL)
    assert len(stored) <= len(text)
    kept = PLACEHOLDER.split(stored)
    assert re.fullmatch(".*".join(map(re.escape, kept)), text, re.DOTALL)


@given(st.text())
def test_a_text_without_numbers_stays(text: str) -> None:
    words = re.sub(r"\d", "", text)
    assert redact(words, ALL) == words


@given(st.lists(st.integers(0, 9), min_size=16, max_size=16), st.lists(st.sampled_from(["", " ", "-"]), min_size=15))
def test_no_card_is_left_however_its_digits_are_grouped(digits: list[int], gaps: list[str]) -> None:
    card = "".join(f"{digit}{gap}" for digit, gap in zip(digits, [*gaps[:15], ""], strict=True))
    assert redact(f"вот {card} да", ["card"]) == "вот [card] да"
