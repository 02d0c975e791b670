"""A whole run whose method leaves an adapter and no model: from data to a comparison, and what `pull` says."""

from pathlib import Path

from tests.support.whole_run import STAGES, WholeRun, make_inputs


def test_virtual_tokens_are_trained_compared_and_compared_with(tmp_path: Path) -> None:
    whole = WholeRun(make_inputs(tmp_path / "run"))
    whole.change("method: lora", "method: prefix_tuning, prompt_learning: {virtual_tokens: 8}")
    shown = whole.cli("run")
    assert any(line.startswith("tuned") for line in shown.splitlines())
    assert whole.endings() == {stage: ["committed"] for stage in STAGES}
    assert "verified" in whole.cli("pull", "whole", "adapter", str(tmp_path / "adapter"))
    said = whole.cli("pull", "whole", "model", str(tmp_path / "model"), code=10)
    assert "cannot be merged into a model" in said and "pull RUN adapter" in said
    assert whole.json("report", "whole")["stages"]
    whole.change("name: whole", "name: second")
    whole.change("eval: {baselines: []}", "eval: {baselines: [], compare_to: whole}")
    whole.change("learning_rate: 1e-2", "learning_rate: 5e-3")
    again = whole.cli("run")
    assert "previous" in again
