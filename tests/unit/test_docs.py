"""Documentation that can break: what the README and docs/ say exists."""

import re
from pathlib import Path

import click
import pytest

from jobs.data.rules import RULES
from sftjobs.attempts import FailureClass
from sftjobs.cli.main import VERBS, cli
from sftjobs.cli.reference import TARGET, render
from sftjobs.names import Exit
from sftjobs.runs.events import KINDS
from sftjobs.spec.load import load

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [m.group(1) for m in LINK.finditer(page.read_text("utf-8")) if "://" not in m.group(1)]
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_pages_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    verbs = set(re.findall(r"(?:^|`|\$ )\s*sftjobs ([a-z]+)\b", text, re.M))
    assert verbs <= set(VERBS), verbs - set(VERBS)
    targets = set(re.findall(r"`make ([a-z-]+)", text)) | set(re.findall(r"^    make ([a-z-]+)", text, re.M))
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    assert targets <= known, targets - known


def test_the_run_yaml_of_the_readme_loads(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.S)
    assert found
    assert len(found.group(1).splitlines()) <= 18
    (tmp_path / "prompts").mkdir()
    prompt = (ROOT / "examples/intent/prompts/intent.yaml").read_bytes()
    (tmp_path / "prompts/intent.yaml").write_bytes(prompt)
    (tmp_path / "run.yaml").write_text(found.group(1), "utf-8")
    assert load(tmp_path / "run.yaml", check_files=False).spec.data.general is not None


@pytest.mark.parametrize(
    "file", sorted((ROOT / "examples").glob("[!c]*/*.yaml")), ids=lambda file: f"{file.parent.name}/{file.stem}"
)
def test_examples_load(file: Path) -> None:
    assert load(file, check_files=False).spec.name


def test_every_verb_with_a_result_speaks_json() -> None:
    context = click.Context(cli)
    without = {verb for verb in VERBS if not any("--output" in p.opts for p in command_of(context, verb).params)}
    assert without == {"logs", "completion"}, "a log is text, a completion script is for a shell"


def command_of(context: click.Context, verb: str) -> click.Command:
    command = cli.get_command(context, verb)
    assert command is not None
    return command


def test_command_reference_is_up_to_date() -> None:
    assert TARGET.read_text("utf-8") == render(), "run `make generate`"


def test_every_exit_code_and_failure_class_is_documented() -> None:
    text = (ROOT / "docs" / "failures.md").read_text("utf-8")
    assert [code for code in Exit if not re.search(rf"\b{int(code)}\b", text)] == []
    classes = FailureClass.__args__  # type: ignore[attr-defined]
    assert [name for name in classes if f"`{name}`" not in text] == []


def test_every_event_is_documented_with_its_fields() -> None:
    text = (ROOT / "docs" / "store.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (`[^|]*`) \|", text, re.MULTILINE))
    documented = {kind: tuple(re.findall(r"`(\w+)`", cells)) for kind, cells in rows.items() if kind in KINDS}
    assert documented == KINDS


def test_no_machine_specific_words() -> None:
    """Pages speak to users: no absolute path of a machine."""
    found = [p.name for p in PAGES if re.search(r"/(root|work|home/\w+)/", p.read_text("utf-8"))]
    assert found == []


def test_every_rule_of_the_data_stage_has_a_page() -> None:
    titles = [page.read_text("utf-8").splitlines()[0] for page in (ROOT / "docs" / "rules").glob("*.md")]
    described = {name.strip() for title in titles for name in title.removeprefix("# ").split(",")} | {"style"}
    assert {rule.name for rule in RULES} - described == set()
    assert (ROOT / "docs" / "answer-style.md").is_file()
