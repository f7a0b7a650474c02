"""The documentation's pages: their fenced blocks, links and headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

_FENCE = re.compile(r"^(`{3,})(\w*)\s*$")
_FILE = re.compile(r"^<!-- file: (\S+) -->$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        language: the word behind the fence. text: what is inside. line: the number of its first line.
        file: the name in a comment `<!-- file: NAME -->` right above the fence.
        follows: whether nothing but blank lines is between it and the block before.
    """

    language: str
    text: str
    line: int
    file: str | None
    follows: bool


def pages() -> list[Path]:
    """Every page: the READMEs of the repository and of the core, CONTRIBUTING, and all in docs/."""
    top = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "core" / "README.md"]
    return top + sorted((REPOSITORY / "docs").rglob("*.md"))


def page_name(page: Path) -> str:
    """A page's path in the repository."""
    return page.relative_to(REPOSITORY).as_posix()


def blocks_of(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order.

    Raises:
        ValueError: a fence does not stand at the margin, or is not closed.
    """
    blocks: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    number, above, follows = 0, "", False
    while number < len(lines):
        line = lines[number]
        fence = _FENCE.match(line)
        if fence is None:
            if line.lstrip().startswith("```"):
                raise ValueError(f"{page}:{number + 1}: a fence stands at the margin and names only a language.")
            follows = follows and not line.strip()
            above = line or above
            number += 1
            continue
        end = _end_of(lines, number, fence[1], page)
        named = _FILE.match(above)
        text = "\n".join(lines[number + 1 : end]) + "\n"
        blocks.append(Block(fence[2], text, number + 2, named[1] if named else None, follows))
        number, above, follows = end + 1, "", True
    return blocks


def _end_of(lines: list[str], start: int, fence: str, page: Path) -> int:
    for number in range(start + 1, len(lines)):
        if lines[number].rstrip() == fence:
            return number
    raise ValueError(f"{page}:{start + 1}: this fence is not closed.")


def prose_of(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^(`{3,}).*?^\1\s*$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def links_of(page: Path) -> list[str]:
    """The targets of a page's links that lead to other places in the repository."""
    return [target for target in _LINK.findall(prose_of(page)) if not target.startswith(("http://", "https://"))]


def anchors_of(page: Path) -> set[str]:
    """What can stand behind `#` in a link to the page, as GitHub makes it of headings."""
    headings = re.findall(r"^#+ (.+)$", prose_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
