"""The scratch folder of one attempt: everything the program sees lies below it."""

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workdir:
    """Paths below SFTJOBS_WORKDIR. Only these are made and removed; the folder itself belongs to the backend."""

    root: Path

    @property
    def plan(self) -> Path:
        return self.root / "plan.json"

    @property
    def inputs(self) -> Path:
        return self.root / "inputs"

    @property
    def output(self) -> Path:
        return self.root / "output"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def resume(self) -> Path:
        """Where the checkpoint to go on from is fetched to."""
        return self.root / "resume"

    @property
    def progress(self) -> Path:
        return self.root / "progress.jsonl"

    @property
    def errors(self) -> Path:
        return self.root / "errors"

    def error_file(self, rank: int) -> Path:
        return self.errors / f"rank-{rank}.json"

    def phase_file(self, rank: int) -> Path:
        """Where a rank says where it is; beside the error files, for it lives as long."""
        return self.errors / f"phase-{rank}.json"

    def make(self) -> None:
        """Start empty, also after a predecessor that was killed here."""
        self.remove()
        for folder in (self.inputs, self.output, self.checkpoints, self.resume, self.errors):
            folder.mkdir(parents=True)
        self.progress.touch()

    def remove(self) -> None:
        """Give back the disk space."""
        for folder in (self.inputs, self.output, self.checkpoints, self.resume, self.errors):
            shutil.rmtree(folder, ignore_errors=True)
        for file in (self.plan, self.progress):
            file.unlink(missing_ok=True)
