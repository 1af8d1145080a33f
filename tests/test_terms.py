"""The book's apparatus: its glossary and its bibliography, and where pages lead to them."""

import re
from collections import Counter
from pathlib import Path

import pytest

from innerbook.build.notebooks import read_papers
from innerbook.build.pages import chapter_numbers, toc_names

ROOT = Path(__file__).parents[1]
CHAPTERS = list(chapter_numbers(ROOT))
TERM = re.compile(r"\{term\}`(?:[^`<]*<)?([^`<>]+)>?`")
CITED = re.compile(r"\{cite:\w+\}`([^`]+)`")
ENTRY = re.compile(r"^((?:\S[^\n]*\n)+)  (\S.*)\n\n  (See .*\.)$", flags=re.M)


def text(name: str) -> str:
    return (ROOT / f"{name}.md").read_text("utf-8")


def entries() -> list[tuple[list[str], str, str]]:
    """The words of each entry of the glossary, their meaning, and where to read more."""
    found = ENTRY.findall(text("book/glossary").split(":sorted:\n")[1])
    return [(words.replace("$", "").splitlines(), means, more) for words, means, more in found]


def test_a_meaning_is_short_and_names_its_page() -> None:
    assert 40 <= len(entries()) <= 60
    for words, means, more in entries():
        assert len(re.findall(r"[.?!](?= |$)", means)) <= 2 and len(means) <= 200, words
        assert "$" not in means and "{" not in means, f"{words}: the meaning is shown as plain text, too"
        (page,) = re.findall(r"\{doc\}`/(.*?)`", more)
        assert page in toc_names(ROOT), words


def test_every_word_of_the_glossary_is_linked() -> None:
    linked = {target.lower() for name in toc_names(ROOT) for target in TERM.findall(text(name))}
    assert [words for words, _, _ in entries() if not linked & {word.lower() for word in words}] == []


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_links_a_few_words_each_once(name: str) -> None:
    known = {word.lower(): words[0] for words, _, _ in entries() for word in words}
    linked = Counter(known[target.lower()] for target in TERM.findall(text(name)))
    assert 2 <= len(linked) <= 6 and max(linked.values()) == 1, linked


@pytest.mark.parametrize("name", toc_names(ROOT))
def test_words_and_papers_are_named_in_prose_alone(name: str) -> None:
    cells, titles = r"^```(?:\{code-cell\}|python).*?^```$", r"^(?:#|:{3,}\{|`{3,}\{)[^\n]*$"
    for part in re.findall(f"{cells}|{titles}", text(name), flags=re.M | re.S):
        assert "{term}" not in part and "{cite:" not in part, part


def test_every_paper_is_named_and_every_name_is_a_paper() -> None:
    papers = {key for key in read_papers(ROOT / "book" / "references.bib") if not key.startswith("source-")}
    cited = {key for name in toc_names(ROOT) for keys in CITED.findall(text(name)) for key in keys.split(",")}
    assert cited == papers
