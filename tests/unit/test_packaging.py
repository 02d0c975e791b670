"""The wheel brings the chart: `sftjobs run --backend kubernetes` works from an installation, too."""

import tomllib
from pathlib import Path

from sftjobs.release.install import CHART, SHARED

ROOT = Path(__file__).resolve().parents[2]


def test_every_file_of_the_chart_is_in_the_wheel_where_it_is_looked_for() -> None:
    data_files = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["data-files"]
    shipped = {
        (Path(folder) / path.name).as_posix(): path.relative_to(ROOT).as_posix()
        for folder, patterns in data_files.items()
        for pattern in patterns
        for path in ROOT.glob(pattern)
    }
    there = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / CHART).rglob("*") if path.is_file())
    assert shipped == {f"{SHARED.as_posix()}/{path}": path for path in there}
