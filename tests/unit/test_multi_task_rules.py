"""What a person sees when `train.multi_task`, or held-out examples by task, cannot be meant so."""

from pathlib import Path

import pytest

from tests.support.run_folder import RUN, RunFolder

TWO = """\
name: tickets
model: model
prompt: prompt.yaml
data:
  tasks:
    tickets: {path: train.jsonl}
    refunds: {path: train2.jsonl}
  held_out: {fraction: 0.2}
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path)
    folder.write("train2.jsonl", (tmp_path / "train.jsonl").read_bytes())
    return folder


AT = "run.yaml:9: train.multi_task"
REFUSED = {
    "plans: [mixed, mixed]": [f"{AT}.plans: mixed stands here twice; name each plan once"],
    "plans: []": [f"{AT}.plans: this is an empty list; expected a list of mixed, separate, key_tasks or dual_stage"],
    "plans: [separate, mixed]": [
        f"{AT}.plans: separate cannot be the first plan: it leaves a model for each task, and the first plan makes the "
        "one tuned model of the run; write plans: [mixed, separate]"
    ],
    "plans: [mixed, key_tasks]": [
        f"{AT}.key_tasks: plan key_tasks needs it: write key_tasks: [tickets] with the tasks that it is about"
    ],
    "plans: [mixed, key_tasks], key_tasks: [refund]": [
        f"{AT}.key_tasks[0]: 'refund' is no task; did you mean refunds? data.tasks has tickets and refunds"
    ],
    "plans: [mixed, key_tasks], key_tasks: [refunds, refunds]": [
        f"{AT}.key_tasks[1]: 'refunds' stands here twice; remove one"
    ],
    "key_tasks: [refunds]": [f"{AT}.key_tasks: has no effect without plan key_tasks; add it to plans, or remove this"],
    "specialised_share: 0.1": [
        f"{AT}.specialised_share: has no effect without plan dual_stage; add it to plans, or remove this"
    ],
    "plans: [mixed, dual_stage], specialised: [tickets, refunds]": [
        f"{AT}.specialised: names every task, so nothing is left for the second part; add data.general, or name fewer "
        "tasks"
    ],
}


@pytest.mark.parametrize("written", REFUSED)
def test_what_cannot_be_meant(run: RunFolder, written: str) -> None:
    run.write("run.yaml", f"{TWO}train: {{multi_task: {{{written}}}}}\n")
    assert run.messages() == REFUSED[written]


WITH_OTHERS = {
    "train: {method: p_tuning, multi_task: {plans: [mixed, dual_stage], specialised: [tickets]}}": (
        "run.yaml:9: train.multi_task.plans: dual_stage does not go with method p_tuning: the second part goes on from "
        "the model that the first part leaves, and this method leaves an adapter alone; use a method of the LoRA "
        "family or full"
    ),
    "train: {seeds: 2, multi_task: {plans: [mixed, separate]}}": (
        "run.yaml:9: train.seeds: 2 does not go with train.multi_task.plans mixed and separate; compare the plans with "
        "one seed, then train the plan that you choose with several"
    ),
}


@pytest.mark.parametrize("written", WITH_OTHERS)
def test_what_does_not_go_together(run: RunFolder, written: str) -> None:
    run.write("run.yaml", f"{TWO}{written}\n")
    assert run.messages() == [WITH_OTHERS[written]]


def test_dual_stage_counts_in_passes(run: RunFolder) -> None:
    more = "  mix: {mode: capped}\ntrain: {multi_task: {plans: [dual_stage], specialised: [tickets]}}\n"
    run.write("run.yaml", TWO + more)
    assert run.messages() == [
        "run.yaml:10: train.multi_task.plans: dual_stage does not go with data.mix.mode capped: how much of a task its "
        "parts hold is counted in passes; use mode: epochs"
    ]


def test_separate_needs_two_tasks(run: RunFolder) -> None:
    assert run.with_more("train: {multi_task: {plans: [mixed, separate]}}\n") == [
        "run.yaml:8: train.multi_task.plans: separate needs at least two tasks, and data.tasks has one; remove it"
    ]


def test_plans_are_compared_task_by_task(run: RunFolder) -> None:
    """A held-out file that says of no example to which task it belongs will not do; a fraction, or files by task do."""
    more = "train: {multi_task: {plans: [mixed, separate]}}\n"
    run.write("run.yaml", TWO.replace("{fraction: 0.2}", "{path: held_out.jsonl}") + more)
    assert run.messages() == [
        "run.yaml:8: data.held_out.path: says of no example to which task it belongs, and plans are compared task by "
        "task; give each task its own file (data.tasks.<name>.held_out), or set data.held_out to {fraction: 0.1}"
    ]
    by_task = TWO.replace("train.jsonl}", "train.jsonl, held_out: held_out.jsonl}")
    by_task = by_task.replace("train2.jsonl}", "train2.jsonl, held_out: held_out.jsonl}")
    run.write("run.yaml", by_task.replace("  held_out: {fraction: 0.2}\n", "") + more)
    assert run.messages() == []


def test_held_out_examples_by_task_are_for_all_tasks_and_instead_of_others(run: RunFolder) -> None:
    run.write("run.yaml", TWO.replace("train.jsonl}", "train.jsonl, held_out: held_out.jsonl}"))
    assert run.messages() == [
        "run.yaml:7: data.tasks.refunds: other tasks name their held-out examples and this one does not; write "
        "held_out: FILE here too",
        "run.yaml:8: data.held_out.fraction: has no effect: the tasks name their held-out examples "
        "(data.tasks.<name>.held_out); remove it",
    ]


def test_held_out_examples_of_a_task_are_looked_at_like_other_files(run: RunFolder) -> None:
    one = RUN.replace("  held_out: {path: held_out.jsonl}\n", "")
    run.write("run.yaml", one.replace("train.jsonl}", "train.jsonl, held_out: train.jsonl}"))
    assert run.messages() == [
        "run.yaml:6: data.tasks.tickets.held_out: 'train.jsonl' is also data.tasks.tickets.path: held-out examples are "
        "never trained on; name another file, or set data.held_out to {fraction: 0.1}"
    ]
    run.write("run.yaml", one.replace("train.jsonl}", "train.jsonl, held_out: gone.jsonl}"))
    (message,) = run.messages()
    assert message.startswith("run.yaml:6: data.tasks.tickets.held_out: gone.jsonl")


def test_no_held_out_examples_at_all(run: RunFolder) -> None:
    run.write("run.yaml", RUN.replace("  held_out: {path: held_out.jsonl}\n", ""))
    (message,) = run.messages()
    assert "data.held_out" in message
    assert "write path: held_out.jsonl, or fraction: 0.1 to set aside a tenth" in message
