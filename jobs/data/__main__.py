"""The data stage: records in, one training set and one held-out set out, and a ledger of what became of each record.

python -m jobs.data        under the environment of `sftjobs.program`
"""

from collections.abc import Sequence
from pathlib import Path

from jobs.data.counts import count
from jobs.data.examples import as_json
from jobs.data.gather import InputFile, gather, sources
from jobs.data.ledger import Entry, kept, write_ledger
from jobs.data.prepare import measure, reduce, split, stop_if_empty
from jobs.data.problems import Problems
from jobs.data.section import section
from jobs.lm.render import Renderer, load_tokenizer
from sftjobs.canonical import canonical, readable
from sftjobs.plan.configs import DataConfig, DataCounts
from sftjobs.program import Program, main


def run(program: Program) -> None:
    """Prepare the data. Raises DataError for whatever a person has to mend."""
    config = DataConfig.model_validate(program.plan.config)
    renderer = Renderer(load_tokenizer(program.input("model")))

    problems = Problems()
    entries = gather(config, input_files(program, config), problems, program.progress)
    problems.stop_if_any()

    split(entries, config)
    measure(entries, config, renderer, program.progress)
    reduce(entries, config)
    stop_if_empty(entries)

    counts = count(entries, config, renderer)
    write(program.content, entries, config)
    program.write_counts(counts.model_dump(mode="json"))
    program.write_report("data", section(entries, config, counts, renderer))
    print(arithmetic(counts))


def input_files(program: Program, config: DataConfig) -> dict[str, InputFile]:
    """The input files by input name; messages call them as the user did."""
    files = {}
    for _, source, _ in sources(config):
        path = program.input_file(source.input)
        external = program.plan.inputs[source.input].external
        files[source.input] = InputFile(path, path.name if external is None else external.source)
    return files


def write(folder: Path, entries: Sequence[Entry], config: DataConfig) -> None:
    """The content of the artifact: equal inputs and config give equal bytes."""
    write_examples(folder / "train.jsonl", kept(entries, "train"))
    write_examples(folder / "held_out.jsonl", kept(entries, "held_out"))
    write_ledger(entries, folder / "ledger.parquet")
    (folder / "prompt.json").write_bytes(readable(config.prompt.model_dump(mode="json")))


def write_examples(path: Path, entries: Sequence[Entry]) -> None:
    """One example per line."""
    with path.open("wb") as file:
        for entry in entries:
            assert entry.tokens is not None, "every kept example was counted"
            file.write(canonical(as_json(entry.example, entry.tokens)) + b"\n")


def arithmetic(counts: DataCounts) -> str:
    """The numbers in one line."""
    train = sum(task.examples for task in counts.tasks.values())
    supervised = sum(task.supervised_tokens for task in counts.tasks.values())
    dropped = ", ".join(f"{rule} {number:,}" for rule, number in counts.dropped.items()) or "none"
    return (
        f"{counts.records:,} records | dropped: {dropped} | {train:,} training examples | "
        f"{counts.held_out:,} held-out | {supervised:,} supervised tokens"
    )


if __name__ == "__main__":
    main(run)
