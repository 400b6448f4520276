"""The words that normalization knows: short closed lists, so that no rule reaches a word nobody thought of."""

from typing import Final

_NOISES = """
    смех смеется смеются хохот хохочет музыка аплодисменты шум тишина пауза вздох вздыхает плач плачет кашель кашляет
    всхлип всхлипывает неразборчиво неразб нрзб помехи гудок гудки крик кричит шепот шепчет щелчок звонок
    laughter laughs laughing laugh music applause noise silence pause sigh sighs crying cries cough coughs coughing
    inaudible unintelligible unk unknown crosstalk beep ringing breath breathing
"""

NOISES: Final = frozenset(_NOISES.split())
"""What recognizers and transcribers write, between brackets or asterisks, for a sound that is no word."""

PLACEHOLDERS: Final = {
    **dict.fromkeys(("name", "person", "user", "username", "имя", "имени", "имен"), "имя"),
    **dict.fromkeys(("фамилия", "фамилии", "фамилию", "фамилией"), "имя"),
    **dict.fromkeys(("religion", "религия", "религии", "религию", "религией"), "религия"),
}
"""What anonymization leaves of a name, and the word that stands for it: a recognizer never writes brackets."""

_DOUBLED = """
    да нет очень много никогда нельзя давай давайте хорошо ладно спасибо пожалуйста извините простите помогите подождите
    подожди стойте стоп тихо тише быстрее скорее ужасно долго далеко давно сильно точно правда конечно ура
    вот ну так ой ай ах ох эй ха хе хи фу але алло пока бла тук чуть еле едва только
"""

DOUBLED: Final = frozenset(_DOUBLED.split())
"""Words that are said twice on purpose ("очень очень") or written so without their hyphen ("чуть чуть", "вот вот")."""

_CYRILLIC_TWINS = "авсенкмортху"
_LATIN_TWINS = "abcehkmoptxy"

LATIN_TO_CYRILLIC: Final = str.maketrans(_LATIN_TWINS, _CYRILLIC_TWINS)
"""Letters of one shape in either alphabet, in upper case (B, H, K, M, T) or lower."""

CYRILLIC_TO_LATIN: Final = str.maketrans(_CYRILLIC_TWINS, _LATIN_TWINS)
"""The same the other way round."""

_MAKER = r"(?:dima ?torzok|дима ?торзок|(?:сообщество\W+)?amara\W?org|симон)"
_EDITOR = r"(?:\W+\w\W{1,2}\w+)"

PHANTOMS: Final = (
    rf"субтитры (?:(?:делал|сделал|создавал|создал|подготовил|подогнал|предоставил)\W+)?(?:от\W+)?{_MAKER}",
    rf"редактор субтитров{_EDITOR}?",
    rf"корректор{_EDITOR}",
    r"продолжение следует",
    r"(?:большое )?спасибо за просмотр(?: видео)?",
    r"(?:ставьте лайки и |не забудьте )?подпис(?:ывайтесь|аться) на (?:мой |наш |этот )?канал",
    r"(?:динамичная|спокойная|лирическая|тревожная|веселая|грустная|торжественная|напряженная) музыка",
    r"с вами был игорь негода",
    r"thanks for watching",
    r"thank you for watching",
    r"subtitles by (?:the )?amara\W?org(?: community)?",
)
"""What Whisper writes over silence and music, learned from the captions of videos; patterns in lower case."""
