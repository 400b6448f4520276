"""What normalization changes, what it leaves alone, and that a second time changes nothing."""

import sys
import unicodedata

import emoji
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas import normalization
from schemas.normalization import MAX_CHARACTERS, normalize

SPOKEN = st.text(alphabet="абвгдеёжзийклмнопрстуфхцчшщъыьэюяЭМХ aeopcxyhkmt0123456789.,!?…-—«»\n")
# What some step looks for, whole and in pieces: joined at random they make each step's work for the others.
PIECES = (
    "я|да|нет|э|ээ|э-э|мм|ммм|хм|гм|м-м|5|8|,|.|...|…|!|-|—|«|[|]|(|)|<|>|*|/|_|смех|laughter|unk|name|♪|а|a|о|o|х|x|ё|"
    "Ё|субтитры|сделал|dimatorzok|редактор субтитров|корректор|а.б|продолжение следует|спасибо за просмотр|İ|Σ|ß|각|"
    "😂|❤|♂|👨|🏽|🇷|\u0308|\u0306|\u0301|\u0331|\u200d|\ufe0f|\u20e3|\U000e0067|\U000e007f|\x00|\x1c|\x85|\u2028|\ud83d"
)
FRAGMENTS = st.sampled_from(PIECES.split("|"))
PICTURES = st.lists(st.one_of(st.sampled_from(sorted(emoji.EMOJI_DATA)), st.sampled_from([" ", "\u200d", "да"])))
ANY_TEXT = st.one_of(
    st.text(),
    st.text(alphabet=st.characters(exclude_categories=())),
    SPOKEN,
    st.lists(FRAGMENTS).map("".join),
    st.lists(FRAGMENTS).map(" ".join),
    PICTURES.map("".join),
    st.lists(FRAGMENTS, min_size=1, max_size=6).map(lambda fragments: "".join(fragments) * 500),
)


@settings(max_examples=2_000)
@given(ANY_TEXT)
@example("[a [b [смех]]]")
@example("я эээ [unk] я")
@example("ё\u0306 H\u0331 1\x00\ufe0f\u20e3")
def test_a_second_time_changes_nothing(text: str) -> None:
    once = normalize(text)

    assert normalize(once) == once
    assert len(once) <= MAX_CHARACTERS


@settings(max_examples=1_000)
@given(ANY_TEXT)
def test_the_outcome_is_clean_text_that_tokenizers_and_databases_take(text: str) -> None:
    clean = normalize(text)

    clean.encode()
    assert "\0" not in clean
    assert "ё" not in clean
    assert clean == " ".join(clean.split())
    assert unicodedata.is_normalized("NFC", clean)
    assert not {unicodedata.category(character) for character in clean} & {"Cc", "Cf", "Cs"}


def test_every_invisible_character_goes_and_every_space_is_one() -> None:
    """The module lists the ranges by hand; this holds the list to Python's own tables."""
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character) in {"Cc", "Cf", "Cs"} or character.isspace():
            assert normalize(f"а{character}б") in {"аб", "а б"}, hex(code)


@pytest.mark.parametrize(
    "name", ["лень", "эмма", "хмель", "гамма", "программа", "мм-да", "эра", "поэт", "дуэт", "иммунитет"]
)
def test_real_words_stay(name: str) -> None:
    assert normalize(name) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ещё ЁЛКИ", "еще елки"),
        ("и\u0306 е\u0308", "й е"),
        ("  а\t б\u00a0\n в ", "а б в"),
        ("при\u200bвет\x00 м\u00adир\ud83d", "привет мир"),
        ("Что?! Не может быть… «Да», — сказал он.", "что?! не может быть… «да», — сказал он."),
        ("", ""),
        (" \u200b\x00 ", ""),
    ],
)
def test_case_yo_composition_spaces_and_punctuation(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("приехал 😊", "приехал довольно улыбается"),
        ("да😂😂 😂ну", "да смеется до слез ну"),
        ("👍🏽", "большой палец вверх"),
        ("❤️ ❤", "алое сердце"),
        ("👨\u200d👩\u200d👧", "семья мужчина женщина девочка"),
        ("номер 1️⃣", "номер 1"),
        ("snake_case :smile:", "snake_case :smile:"),
    ],
)
def test_emoji_become_russian_words(text: str, expected: str) -> None:
    assert normalize(text) == expected


def test_every_emoji_becomes_words() -> None:
    """Except skin tones by themselves, and keycaps, of which the key stays."""
    for picture in emoji.EMOJI_DATA:
        words = normalize(picture)
        assert words or 0x1F3FB <= ord(picture[0]) <= 0x1F3FF
        assert not emoji.emoji_count(words)
        assert "_" not in words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[laughter] ну да [Music]", "ну да"),
        ("я <unk> думаю <|ru|>", "я думаю"),
        ("(смех) вот *вздох* так ♪♪", "вот так"),
        ("привет [NAME], это [ИМЯ]", "привет имя, это имя"),
        ("[RELIGION] <username>", "религия имя"),
        ("хорошо [шум] , понял [звонит телефон] .", "хорошо, понял."),
        ("врач (терапевт) сказал 2 < 3 и a[0] = *важно*", "врач (терапевт) сказал 2 < 3 и a[0] = *важно*"),
    ],
)
def test_tags_of_recognizers_go_and_other_brackets_stay(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("эээ я ээ хочу ммм узнать", "я хочу узнать"),
        ("Э-э-э, хмм... не знаю, эмм.", "не знаю."),
        ("ну вот как бы так", "ну вот как бы так"),
        ("шланг 5 мм мм короткий", "шланг 5 мм короткий"),
        ("5мм", "5мм"),
        ("эээ", ""),
    ],
)
def test_hard_fillers_go_soft_ones_and_units_stay(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("я я я хочу", "я хочу"),
        ("Я, я... я хочу", "я хочу"),
        ("я эээ я хочу", "я хочу"),
        ("вижу вижу иду", "вижу иду"),
        ("очень очень рад", "очень очень рад"),
        ("да да да да", "да да"),
        ("чуть чуть вот вот", "чуть чуть вот вот"),
        ("номер 8 8 0 0", "номер 8 8 0 0"),
        ("это он. он пришел", "это он. он пришел"),
        ("не на на самом деле", "не на самом деле"),
    ],
)
def test_a_stutter_is_said_once_and_emphasis_twice(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("п\u0070ив\u0065т \u004bто т\u0061м", "привет кто там"),
        ("OTBET", "otbet"),
        ("ПPИBET", "привет"),
        ("hеllo gооgle", "hello google"),
        ("smsка iphoneа vipы", "smsка iphoneа vipы"),
        ("wi-fi и sim-карта", "wi-fi и sim-карта"),
        ("гoogle", "гoogle"),
    ],
)
def test_words_of_mixed_script_are_spelled_in_one(text: str, expected: str) -> None:
    assert normalize(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Субтитры сделал DimaTorzok",
        "субтитры создавал dimatorzok",
        "Субтитры делал DimaTorzok Субтитры делал DimaTorzok",
        "Продолжение следует...",
        "Спасибо за просмотр!",
        "Редактор субтитров А.Семкин Корректор А.Егорова",
        "редактор субтитров а семкин корректор а егорова",
        "ПОДПИСЫВАЙТЕСЬ НА КАНАЛ!",
        "[музыка] Продолжение следует…",
        "ДИНАМИЧНАЯ МУЗЫКА",
    ],
)
def test_phantom_captions_are_no_speech(text: str) -> None:
    assert normalize(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "субтитры сделал мой брат",
        "спасибо за просмотр квартиры",
        "а в конце написано продолжение следует",
        "подписывайтесь на канал нашей школы",
        "музыка",
    ],
)
def test_the_same_words_within_speech_stay(text: str) -> None:
    assert normalize(text) == text


def test_a_long_text_is_cut_at_a_space() -> None:
    words = [f"слово{number}" for number in range(1_000)]

    cut = normalize(" ".join(words))

    assert MAX_CHARACTERS - 10 < len(cut) <= MAX_CHARACTERS
    assert cut.split() == words[: len(cut.split())]


def test_a_word_longer_than_the_cap_is_cut() -> None:
    assert normalize("аб" * MAX_CHARACTERS) == "аб" * (MAX_CHARACTERS // 2)


@settings(max_examples=2_000)
@given(
    st.one_of(
        ANY_TEXT,
        SPOKEN,
        st.lists(
            st.sampled_from(
                ["я", "Я", "да", "да,", "да.", "нет!", "э", "эх", "мм", "ммм", "гм", "хм", "м-м", "мм8", "...", "-"]
            )
        ).map(" ".join),
    )
)
def test_the_short_cut_is_taken_only_where_no_step_would_change_the_text(text: str) -> None:
    slow = text[: normalization._MOST_READ]
    while (simpler := normalization._round(slow)) != slow:
        slow = simpler

    assert normalize(text) == slow


def test_what_lies_beyond_twice_the_cap_is_not_looked_at() -> None:
    """Each pair of brackets costs a round: without a limit, a message of 20,000 would stop the worker for seconds."""
    beyond = "[смех" * 2 * MAX_CHARACTERS

    assert normalize("слово " + beyond + "]" * len(beyond)) == normalize("слово " + beyond)
    assert normalize(" " * 2 * MAX_CHARACTERS + "слово") == ""
