"""The data stage: records in, a training set and a held-out set out, and a ledger of what became of each record.

python -m jobs.data        under the environment of `sftjobs.program`
"""

from pathlib import Path

from jobs.data.counts import count
from jobs.data.croissant import croissant
from jobs.data.gather import Gathered, Progress, Reading, gathered, sources
from jobs.data.helpers import InputFile, find_helpers
from jobs.data.ledger import write_ledger
from jobs.data.prepare import Given, prepare, stop_if_empty
from jobs.data.problems import Problems
from jobs.data.section import section
from jobs.data.write import write_examples, write_review
from jobs.lm.render import Renderer, load_tokenizer
from sftjobs.canonical import readable
from sftjobs.plan.configs import DataConfig, DataCounts
from sftjobs.program import Program, Stopped, main


def run(program: Program) -> None:
    """Prepare the data. Raises DataError for whatever a person has to mend."""
    config = DataConfig.model_validate(program.plan.config)
    model = program.input("model")
    renderer = Renderer(load_tokenizer(model))
    if renderer.warning:
        print(f"warning: {renderer.warning}", flush=True)
    files = input_files(program, config)
    progress = stoppable(program)
    problems = Problems()
    helpers = find_helpers(files, renderer, problems.add)
    processes = program.plan.resources.threads_per_process
    with gathered(config, files, helpers, problems, progress, Reading(processes)) as found:
        problems.stop_if_any()
        prepared = prepare(found.table, Given(config, files, problems, progress, model, renderer, processes))
        problems.stop_if_any()
        stop_if_empty(found.table, config)
        counts = count(found.table, found.bad, config, renderer, model)
        write(program.content, found, config, counts)
        program.write_counts(counts.model_dump(mode="json"))
        program.write_report("data", section(found, prepared, config, counts, renderer))
    print(arithmetic(counts))


def stoppable(program: Program) -> Progress:
    """Progress that ends the program when the agent asks for it: there is nothing to save."""

    def progress(phase: str, step: int, total: int | None) -> None:
        if program.stop_requested:
            raise Stopped("the data stage begins anew when it is started again")
        program.progress(phase, step, total)

    return progress


def input_files(program: Program, config: DataConfig) -> dict[str, InputFile]:
    """Every input but the model, by name; messages call them as the user did."""
    files = {}
    for name, given in program.plan.inputs.items():
        if name == "model":
            continue
        folder = program.input(name)
        found = sorted(folder.iterdir())
        path = found[0] if given.external is not None and len(found) == 1 and found[0].is_file() else folder
        files[name] = InputFile(path, path.name if given.external is None else given.external.source, given.digest)
    missing = [source.input for _, source, _ in sources(config) if source.input not in files]
    assert not missing, f"inputs without a place: {missing}"
    return files


def write(folder: Path, found: Gathered, config: DataConfig, counts: DataCounts) -> None:
    """The content of the artifact: equal inputs and config give equal bytes."""
    table = found.table
    write_examples(table, "train", folder / "train.jsonl")
    write_examples(table, "held_out", folder / "held_out.jsonl")
    if config.dev_fraction is not None:
        write_examples(table, "dev", folder / "dev.jsonl")
    write_ledger(table, [source.digest for source in found.sources], found.bad, folder / "ledger.parquet")
    write_review(table, folder / "review.csv")
    (folder / "prompt.json").write_bytes(readable(config.prompt.model_dump(mode="json")))
    # named by its tasks: runs of other names share the artifact
    (folder / "croissant.json").write_bytes(croissant("-".join(sorted(config.tasks)), folder, config, counts))


def arithmetic(counts: DataCounts) -> str:
    """The numbers in one line."""
    train = sum(task.examples for task in counts.tasks.values())
    supervised = sum(task.supervised_tokens for task in counts.tasks.values())
    dropped = ", ".join(f"{rule} {number:,}" for rule, number in counts.dropped.items()) or "none"
    dev = f" | {counts.dev:,} dev" if counts.dev else ""
    return (
        f"{counts.records:,} records | dropped: {dropped} | {train:,} training examples | "
        f"{counts.held_out:,} held-out{dev} | {supervised:,} supervised tokens"
    )


if __name__ == "__main__":
    main(run)
