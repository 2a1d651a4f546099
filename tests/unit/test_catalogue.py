"""The Italian catalogue: nothing left open, no placeholder lost, and compiled as it is written."""

from __future__ import annotations

import ast
import gettext
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.utils.translation.template import templatize

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "codestream" / "locale" / "it" / "LC_MESSAGES"
APPS = ("codestream", "endpoints", "webhooks", "pipelines", "executions")
MARKS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "ngettext_lazy"}
IN_TEMPLATE = re.compile(r"""gettext\(u?('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""")
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[sd]|\$?\{[^{}]*\}|</?\w[^>]*>")
KEYWORD = re.compile(r"(msg\w+(?:\[\d\])?) ")


@dataclass
class Entry:
    """One message of the catalogue; ``texts`` has a text for each of msgid, msgstr[0] and so on."""

    flags: set[str] = field(default_factory=set)
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def msgid(self) -> str:
        return self.texts["msgid"]

    @property
    def plural(self) -> str | None:
        return self.texts.get("msgid_plural")

    @property
    def translations(self) -> list[str]:
        return [text for key, text in self.texts.items() if key.startswith("msgstr")]


class Absent(gettext.NullTranslations):
    """What a catalogue answers for a message that it lacks."""

    def gettext(self, message: str) -> str:
        return f"absent: {message}"

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return f"absent: {msgid1}, {msgid2}, {n}"


def read_entry(block: str) -> Entry:
    entry = Entry()
    key = ""
    for line in block.splitlines():
        if line.startswith("#,"):
            entry.flags |= {flag.strip() for flag in line[2:].split(",")}
        if line.startswith("#"):
            continue
        if keyword := KEYWORD.match(line):
            key = keyword[1]
        text = line.removeprefix(f"{key} ")
        entry.texts[key] = entry.texts.get(key, "") + ast.literal_eval(text)
    return entry


def read_catalogue(text: str) -> list[Entry]:
    """All messages of a .po, without its header and what is obsolete."""
    entries = [read_entry(block) for block in re.split(r"\n\s*\n", text)]
    return [entry for entry in entries if entry.texts.get("msgid")]


def placeholders(text: str) -> Counter[str]:
    return Counter(PLACEHOLDER.findall(text))


def placeholders_agree(entry: Entry) -> bool:
    if entry.plural is None:
        return all(placeholders(text) == placeholders(entry.msgid) for text in entry.translations)
    one, *more = entry.translations
    many = placeholders(entry.plural)
    # The form for one may leave the number out, as the English one may.
    return placeholders(one) in (placeholders(entry.msgid), many) and all(
        placeholders(text) == many for text in more
    )


def texts_of_code() -> set[str]:
    """What the Python code marks for translation."""
    calls = (
        node
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args
    )
    return {
        str(call.args[0].value)
        for call in calls
        if getattr(call.func, "id", "") in MARKS and isinstance(call.args[0], ast.Constant)
    }


def texts_of_templates() -> set[str]:
    """What the templates mark for translation, as Django's own makemessages reads them."""
    return {
        str(ast.literal_eval(found[1]))
        for path in (ROOT / "templates").rglob("*.html")
        for found in IN_TEMPLATE.finditer(templatize(path.read_text(encoding="utf-8")))
    }


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return read_catalogue((FOLDER / "django.po").read_text(encoding="utf-8"))


def test_every_message_is_translated(entries: list[Entry]) -> None:
    assert len(entries) > 300
    assert [
        entry.msgid
        for entry in entries
        if "fuzzy" in entry.flags or not entry.translations or not all(entry.translations)
    ] == []


@pytest.mark.parametrize("texts", [texts_of_code, texts_of_templates])
def test_the_catalogue_lacks_no_text(entries: list[Entry], texts: Callable[[], set[str]]) -> None:
    marked = texts()

    assert len(marked) > 100
    assert sorted(marked - {entry.msgid for entry in entries}) == []


def test_plural_messages_have_both_forms(entries: list[Entry]) -> None:
    plurals = [entry for entry in entries if entry.plural]

    assert plurals
    assert [entry.msgid for entry in plurals if len(entry.translations) != 2] == []


def test_translations_keep_placeholders_and_tags(entries: list[Entry]) -> None:
    assert [entry.msgid for entry in entries if not placeholders_agree(entry)] == []


def test_the_compiled_catalogue_says_the_same(entries: list[Entry]) -> None:
    with (FOLDER / "django.mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    compiled.add_fallback(Absent())

    for entry in entries:
        if entry.plural is None:
            found = [compiled.gettext(entry.msgid)]
        else:
            found = [compiled.ngettext(entry.msgid, entry.plural, count) for count in (1, 2)]
        assert found == entry.translations


@pytest.mark.parametrize(
    ("msgid", "msgstr", "agree"),
    [
        ("Token %(name)s revoked.", "Token %(name)s revocato.", True),
        ("Token %(name)s revoked.", "Token %(nome)s revocato.", False),
        ("Use <code>${var.name}</code>.", "Usa <code>${var.name}</code>.", True),
        ("Use <code>${var.name}</code>.", "Usa ${var.name}.", False),
        ("%s of %s", "%s", False),
    ],
)
def test_lost_placeholders_are_noticed(msgid: str, msgstr: str, agree: bool) -> None:
    entry = Entry(texts={"msgid": msgid, "msgstr": msgstr})

    assert placeholders_agree(entry) is agree


def test_the_reader_sees_flags_plurals_and_long_texts() -> None:
    (entry,) = read_catalogue(
        'msgid ""\nmsgstr "Language: it\\n"\n\n'
        '#, fuzzy, python-format\n#| msgid "Day"\nmsgid ""\n"%(days)s "\n"day"\n'
        'msgid_plural "%(days)s days"\nmsgstr[0] ""\nmsgstr[1] "%(days)s giorni"\n\n'
        '#~ msgid "Old"\n#~ msgstr ""\n'
    )

    assert entry.flags == {"fuzzy", "python-format"}
    assert entry.msgid == "%(days)s day"
    assert entry.translations == ["", "%(days)s giorni"]
