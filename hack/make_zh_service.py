"""Make the data of examples/zh-service from the Chinese help of LibreOffice and the BELLE seed tasks.

    apt-get download libreoffice-help-zh-cn=4:7.4.7-1+deb12u14
    python hack/make_zh_service.py libreoffice-help-zh-cn_*.deb belle_zh_seed_tasks.json examples/zh-service/data

Needs `dpkg-deb`. Texts are taken as they are: only markup is removed, and the white space that HTML does not show.
The same input gives the same files; examples/zh-service/data/README.md says what was taken and what was left out.
"""

import csv
import hashlib
import html
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

HELP = "usr/share/libreoffice/help/zh-CN"
# Folder of the help -> label. sdatabase is left out: it is not translated.
LABELS = {
    "swriter": "文字文档",
    "scalc": "电子表格",
    "simpress": "演示文稿",
    "sdraw": "绘图",
    "smath": "公式",
    "schart": "图表",
    "sbasic": "宏编程",
    "shared": "通用",
}
TOPICS_PER_LABEL, KEYWORDS_PER_LABEL, HELD_OUT_PER_LABEL = 40, 60, 10
HELD_OUT_SHARE = 0.2
ANSWER_CHARACTERS = range(30, 401)
GENERAL_CHARACTERS = 200
# Seed tasks with swear words (67, 151), a stereotype as the answer (113), a prescription (16).
LEFT_OUT = {"seed_task_16", "seed_task_67", "seed_task_113", "seed_task_151"}
CHINESE = re.compile("[\u4e00-\u9fff]")
BOOKMARK = re.compile(r'\{url:"zh-CN/text/([^"?#]+)[^"]*", app:"[A-Z]+", text:"((?:[^"\\]|\\.)*)"')
VOID = {"br", "img", "meta", "input", "link", "hr", "col", "source", "base"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
NOT_PLAIN = {"table", "pre", "svg", "dl", "img"}


class Item(NamedTuple):
    """What a customer may ask, and the page of the help that it was found on."""

    page: str
    text: str

    @property
    def label(self) -> str:
        return LABELS[self.page.partition("/")[0]]


@dataclass
class Section:
    """A heading and the lines below it, up to the next heading."""

    level: int
    title: str
    lines: list[str] = field(default_factory=list)
    plain: bool = True
    """Only paragraphs and lists that are not nested."""


class Page(HTMLParser):
    """The sections of one page of the help, without its links to other pages."""

    def __init__(self) -> None:
        super().__init__()
        self.sections = [Section(0, "")]
        self._inside = self._over = False
        self._hidden = 0
        self._lists: list[int | None] = []  # the number of the next step, or None for bullets
        self._lead = ""
        self._text: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        classes, name = values.get("class") or "", values.get("id") or ""
        self._inside |= name == "DisplayArea"
        self._over |= classes in ("related", "relatedtopics") or name == "SearchFrame"
        if not self._inside or self._over:
            return
        self.sections[-1].plain &= tag not in NOT_PLAIN and classes != "howtoget"
        if tag in VOID:
            return
        # names of keys come for each system; the default one is shown where the system is not known
        if self._hidden or ("hidden" in values and not name.startswith("default")):
            self._hidden += 1
        elif tag in ("ol", "ul"):
            self._lists.append(int(values.get("start") or 1) if tag == "ol" else None)
            self.sections[-1].plain &= len(self._lists) == 1
        elif tag == "li" and self._lists:
            number = self._lists[-1]
            self._lead = "- " if number is None else f"{number}. "
            self._lists[-1] = None if number is None else number + 1
        elif tag == "p" or tag in HEADINGS:
            self._text = []

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            self._hidden -= tag not in VOID
        elif tag in ("ol", "ul") and self._lists:
            self._lists.pop()
        elif self._text is not None and (tag == "p" or tag in HEADINGS):
            text, self._text = " ".join("".join(self._text).split()), None
            if tag in HEADINGS:
                self.sections.append(Section(int(tag[1]), text))
            elif text:
                self.sections[-1].lines.append(self._lead + text)
                self._lead = ""

    def handle_data(self, data: str) -> None:
        if self._text is not None and not self._hidden:
            self._text.append(data)


def rank(*parts: str) -> float:
    """A number in [0, 1) that depends on the parts only."""
    return int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:6]) / 2**48


def by_side(items: Iterable[Item]) -> tuple[list[Item], list[Item]]:
    """What is trained on and what is held out: all that comes from one page is on one side."""
    sides: tuple[list[Item], list[Item]] = [], []
    for item in items:
        sides[rank("held out", item.page) < HELD_OUT_SHARE].append(item)
    return sides


def read_pages(folder: Path) -> dict[str, list[Section]]:
    """Sections of the pages, by the page's path; those in folders named 00 are only parts of other pages."""
    pages = {}
    for file in sorted((folder / "text").rglob("*.html")):
        name = file.relative_to(folder / "text").as_posix()
        if name.partition("/")[0] in LABELS and "/00/" not in name:
            page = Page()
            page.feed(file.read_text(encoding="utf-8"))
            pages[name] = page.sections
    return pages


def title_of(sections: list[Section]) -> str:
    """The first main heading; empty if the page has none."""
    return next((section.title for section in sections if section.level == 1 and section.title), "")


def read_keywords(folder: Path) -> list[Item]:
    """Entries of the index that have Chinese in them."""
    found = BOOKMARK.findall((folder / "bookmarks.js").read_text(encoding="utf-8"))
    items = [Item(page, html.unescape(json.loads(f'"{text}"'))) for page, text in found]
    return [item for item in items if item.page.partition("/")[0] in LABELS and CHINESE.search(item.text)]


def take(items: Iterable[Item], per_label: int, order: Callable[[Item], tuple[object, ...]]) -> list[Item]:
    """At most `per_label` items of each label, the first by `order`; then in an order without meaning."""
    chosen, counts = [], Counter[str]()
    for item in sorted(items, key=order):
        if counts[item.label] < per_label:
            counts[item.label] += 1
            chosen.append(item)
    return sorted(chosen, key=lambda item: rank("order", *item))


def write_jsonl(path: Path, records: Iterable[dict[str, object]]) -> None:
    """One record per line, Chinese as it is."""
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")


def write_csv(path: Path, records: list[dict[str, object]]) -> None:
    """A header line, then one record per line."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def routing(letter: str, items: Iterable[Item]) -> list[dict[str, object]]:
    """Records of the label task, numbered in their order."""
    numbered = enumerate(items, start=1)
    return [{"编号": f"{letter}{n:03}", "页面": i.page, "问题": i.text, "产品": i.label} for n, i in numbered]


def answers(pages: dict[str, list[Section]]) -> list[dict[str, object]]:
    """Sections of how-to pages that are short, plain, translated and have no sub-sections: title and whole text.

    Pages named main are lists of links; so is text without a full stop.
    """
    records = []
    for name, sections in pages.items():
        for number, section in enumerate(sections):
            if "/guide/" not in name or name.endswith("/main.html"):
                continue
            text, following = "\n".join(section.lines), sections[number + 1 :]
            whole = "。" in text and (not following or following[0].level <= section.level)
            translated = CHINESE.search(section.title) and len(CHINESE.findall(text)) > len(text) / 3
            if section.plain and whole and translated and len(text) in ANSWER_CHARACTERS:
                records.append({"页面": name, "问题": section.title, "回答": text})
    records.sort(key=lambda record: rank("order", *record.values()))
    return [{"编号": f"A{number:03}", **record} for number, record in enumerate(records, start=1)]


def general(seeds: Path) -> list[dict[str, object]]:
    """BELLE seed tasks as conversations: the instruction, its input on the next line, and the answer."""
    records: list[dict[str, object]] = []
    for line in seeds.read_text(encoding="utf-8").splitlines():
        task = json.loads(line)
        if task["id"] in LEFT_OUT:
            continue
        for instance in task["instances"]:
            question = "\n".join(part for part in (task["instruction"], instance["input"]) if part)
            if len(question) + len(instance["output"]) <= GENERAL_CHARACTERS:
                user, assistant = ("user", question), ("assistant", instance["output"])
                messages = [{"role": role, "content": content} for role, content in (user, assistant)]
                records.append({"编号": task["id"], "messages": messages})
    return records


def main(package: Path, seeds: Path, target: Path) -> None:
    """Unpack, choose, write; prints how many records each file has."""
    with tempfile.TemporaryDirectory() as unpacked:
        subprocess.run(["dpkg-deb", "-x", str(package), unpacked], check=True)
        pages, keywords = read_pages(Path(unpacked) / HELP), read_keywords(Path(unpacked) / HELP)
    topics = [Item(name, title) for name, sections in pages.items() if (title := title_of(sections))]

    def how_to_first(item: Item) -> tuple[object, ...]:
        return "/guide/" not in item.page, rank("topic", *item)

    def by_hash(item: Item) -> tuple[object, ...]:
        return (rank("keyword", *item),)

    topics_trained, topics_held_out = by_side(topics)
    keywords_trained, keywords_held_out = by_side(keywords)
    held_out = take(topics_held_out, HELD_OUT_PER_LABEL, how_to_first)
    held_out += take(keywords_held_out, HELD_OUT_PER_LABEL, by_hash)
    write_jsonl(target / "topics.jsonl", routing("T", take(topics_trained, TOPICS_PER_LABEL, how_to_first)))
    write_csv(target / "keywords.csv", routing("K", take(keywords_trained, KEYWORDS_PER_LABEL, by_hash)))
    write_jsonl(target / "held_out.jsonl", routing("H", held_out))
    write_jsonl(target / "answers.jsonl", answers(pages))
    write_jsonl(target / "general.jsonl", general(seeds))
    for path in sorted([*target.glob("*.jsonl"), *target.glob("*.csv")]):
        lines = len(path.read_text(encoding="utf-8").splitlines()) - (path.suffix == ".csv")
        print(f"{path.name}: {lines} records, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
