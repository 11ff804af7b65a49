"""Links between the pages lead somewhere: to a file that is there, and to a heading that it has."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.snippets import PAGES, ROOT, prose

ALL = [*PAGES, ROOT / "CHANGELOG.md"]
_LINK = re.compile(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)|(?:src|href)=\"([^\"]+)\"")
_CODE = re.compile(r"`[^`\n]*`|^    .*$", re.MULTILINE)


def links(page: Path) -> list[str]:
    """Return where a page's links lead, but those to elsewhere."""
    found = ["".join(match) for match in _LINK.findall(_CODE.sub("", prose(page)))]
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as they are made where Markdown is shown, and those written by hand."""
    text = prose(page)
    seen: Counter[str] = Counter()
    found = set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", text))
    for title in re.findall(r"^#{1,6} (.+?) *#*$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in ALL])
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target}: there is no such file"
        assert there.is_relative_to(ROOT), f"{target} leads out of the repository"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{target}: the page has no such heading, it has {sorted(anchors(there))}"


def test_links_are_found() -> None:
    assert sum(len(links(page)) for page in ALL) > 100


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs/README.md"
    listed = {(index.parent / target.partition("#")[0]).resolve() for target in links(index)}
    missing = [page for page in sorted((ROOT / "docs").rglob("*.md")) if page != index and page not in listed]
    assert missing == []


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in ALL])
def test_no_merge_was_left_half_done(page: Path) -> None:
    assert not re.findall(r"^(?:<{7}|>{7}) .*$", page.read_text("utf-8"), re.MULTILINE)
