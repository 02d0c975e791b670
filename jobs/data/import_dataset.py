"""The import stage of a data set: its data files on the hub, at one commit -> the store, as they are.

    python -m jobs.data.import_dataset        under the environment of `sftjobs.program`

Only data files are brought in, never scripts. They are opened and counted before they are committed; every later stage
reads the store.
"""

from jobs.data.hub import download
from jobs.data.problems import Problems
from jobs.data.read import SourceFile, read_records
from sftjobs.errors import DataError
from sftjobs.plan.configs import DatasetImportConfig
from sftjobs.program import Program, main
from sftjobs.spec.formats import SUFFIXES

_PATTERNS = [f"*{suffix}{compressed}" for suffix in SUFFIXES for compressed in ("", ".gz", ".zst")]
_NO_DATA = ("dataset_infos.json", "*.ipynb_checkpoints/*", ".git*")
_PROGRESS_EVERY = 10_000


def run(program: Program) -> None:
    """Import the data set; counts: records, files, bytes. Raises DataError, StoreError."""
    config = DatasetImportConfig.model_validate(program.plan.config)
    name = f"hf://datasets/{config.repository}"
    program.progress("download", 0, unit="files")
    download(program, config.repository, config.revision, "dataset", _PATTERNS, program.content, list(_NO_DATA))
    files = [path for path in program.content.rglob("*") if path.is_file()]
    if not files:
        raise DataError(f"{name}: the repository has no file of a format that can be read ({', '.join(SUFFIXES)})")
    records = _count(program, config, name)
    size = sum(path.stat().st_size for path in files)
    program.write_counts({"records": records, "files": len(files), "bytes": size})
    program.progress("done", records, records, "records")
    print(f"imported {name}: {records:,} records in {len(files):,} files, {size:,} bytes")


def _count(program: Program, config: DatasetImportConfig, name: str) -> int:
    """Records of the wanted split; whatever a reader finds wrong stops the import."""
    problems, records = Problems(), 0
    for _ in read_records(SourceFile(program.content, name, "folder", split=config.split), problems.add):
        records += 1
        if records % _PROGRESS_EVERY == 0:
            program.progress("check", records, unit="records")
    problems.stop_if_any()
    return records


if __name__ == "__main__":
    main(run)
