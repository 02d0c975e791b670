"""Advice as a person asks for it: `sftjobs check`, with and without GPUs, and `sftjobs sizes`."""

import json
from typing import Any

from sftjobs.names import Exit
from tests.support.cli_run import CliRun, records

CLUSTER = "gpu: {name: A100-80GB, per_node: 8, nodes: 2, price_per_hour: 1.8, currency: EUR}\n"
QWEN = {
    "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18_944, "num_hidden_layers": 28,
    "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152_064, "tie_word_embeddings": False,
    "max_position_embeddings": 32_768,
}  # fmt: skip


def with_sizes(sft: CliRun) -> None:
    """The model has a tokenizer alone; its config.json says that it is a Qwen2.5-7B."""
    config = sft.folder / "model" / "config.json"
    config.unlink()
    config.write_text(json.dumps(QWEN), "utf-8")


def advice(sft: CliRun, *options: str) -> dict[str, dict[str, Any]]:
    return {row["topic"]: row for row in sft("check", "-o", "json", *options).json()["training"]}


def test_check_advises_for_the_gpus_of_the_cluster(sft: CliRun) -> None:
    with_sizes(sft)
    (sft.folder / "cluster.yaml").write_text(CLUSTER, "utf-8")
    found = advice(sft, "--cluster", "cluster.yaml")
    assert found["train.method"]["value"] == "lora" and found["train.method"]["this_run"] == "lora"
    assert found["train.precision"]["value"] == "bfloat16" and found["train.precision"]["this_run"] == "float32"
    assert found["resources.train"]["value"] == "1 GPU" and found["resources.train"]["this_run"] == "1 x CPU"
    assert 14 < float(found["memory per GPU"]["value"].removesuffix(" GiB")) < 25
    assert found["cost"]["value"].endswith("EUR")
    text = sft("check", "--cluster", "cluster.yaml")
    assert text.code == 0 and "none of it is a condition" in text.out


def test_check_on_a_cpu_says_what_its_time_is_based_on(sft: CliRun) -> None:
    with_sizes(sft)
    assert "measured with SmolLM2-135M" in advice(sft)["time"]["reason"]


def test_what_the_run_has_counts_the_epochs_of_each_task_and_max_steps(sft: CliRun) -> None:
    with_sizes(sft)
    run = sft.folder / "run.yaml"
    one = run.read_text("utf-8")

    def found(old: str, new: str) -> tuple[str, str]:
        run.write_text(one.replace(old, new), "utf-8")
        rows = advice(sft)
        return rows["train.epochs"]["this_run"], rows["time"]["value"]

    sft.write("other.jsonl", records(8, start=200))
    path = "train.jsonl"
    assert found("", "") == ("1", "below 1 min")
    said, passes = found(f"{path}}}", f"{path}, epochs: 400}}")
    assert said == "tickets 400"
    assert found("epochs: 1}", "epochs: 400}") == ("400", passes)
    assert found("epochs: 1}", "epochs: 400, max_steps: 1}") == ("400", "below 1 min")
    assert found(f"{path}}}", f"{path}, epochs: 400}}\n    more: {{path: other.jsonl}}")[0] == "1, tickets 400"


def test_check_says_that_ranks_on_cpus_are_more_than_a_step_needs(sft: CliRun) -> None:
    with_sizes(sft)
    run = sft.folder / "run.yaml"
    text = run.read_text("utf-8").replace("micro_batch_size: 4, global_batch_size: 8, ", "")
    run.write_text(text + "resources: {train: {nodes: 500, processes_per_node: 2}}\n", "utf-8")
    row = advice(sft)["train.global_batch_size"]
    assert row["this_run"] == "1000"
    assert row["reason"].endswith("; 1,000 ranks make it 1,000 at least, which leaves few steps: use fewer ranks")


def test_check_says_that_a_step_is_more_than_the_data(sft: CliRun) -> None:
    with_sizes(sft)
    run = sft.folder / "run.yaml"
    one = run.read_text("utf-8")
    assert "one step per epoch" not in sft("check").out
    run.write_text(one.replace("global_batch_size: 8", "global_batch_size: 100000"), "utf-8")
    assert (
        "advice: make the global batch smaller: leave train.global_batch_size and train.micro_batch_size auto "
        "(one step per epoch: the global batch of 100,000 is more than an epoch's 8 examples)"
    ) in sft("check").out
    ranks = "micro_batch_size: 1, epochs: 1}\nresources: {train: {nodes: 100000}}\n"
    run.write_text(one.replace("micro_batch_size: 4, global_batch_size: 8, epochs: 1}\n", ranks), "utf-8")
    found = sft("check", "-o", "json").json()
    (said,) = (row for row in found["advice"] if "one step per epoch" in row["reason"])
    assert said["text"] == (
        "make the global batch smaller: use at most 2 ranks (resources.train), and leave train.micro_batch_size auto"
    )
    assert said["reason"].endswith("; 99,992 of 100,000 ranks have nothing to do")
    (time,) = (row for row in found["training"] if row["topic"] == "time")
    assert time["reason"].startswith("16 threads of "), "8 ranks have an example, with 2 threads each"


def test_check_refuses_examples_and_virtual_tokens_that_the_model_has_no_positions_for(sft: CliRun) -> None:
    run = sft.folder / "run.yaml"
    settings = "micro_batch_size: 4, global_batch_size: 8, epochs: 1, method: prompt_tuning"
    text = run.read_text("utf-8").replace("micro_batch_size: 4, global_batch_size: 8, epochs: 1", settings)
    run.write_text(text, "utf-8")
    assert sft("check").code == 0
    run.write_text(text.replace("prompt_tuning", "prompt_tuning, prompt_learning: {virtual_tokens: 511}"), "utf-8")
    answer = sft("check")
    assert answer.code == Exit.BAD_CONFIG
    assert "model: the longest example has " in answer.out
    assert "and 511 virtual ones before it, the model has positions for 512: set train.prompt_learning." in answer.out


def test_check_says_what_it_does_not_know(sft: CliRun) -> None:
    answer = sft("check", "-o", "json").json()
    assert "train.method" in {row["topic"] for row in answer["training"]}
    assert any("config.json has no num_hidden_layers" in note for note in answer["notes"])


def test_check_on_gpus_that_nobody_described(sft: CliRun) -> None:
    with_sizes(sft)
    run = sft.folder / "run.yaml"
    run.write_text(run.read_text("utf-8") + "resources: {train: {gpus_per_node: 1}}\n", "utf-8")
    answer = sft("check", "-o", "json").json()
    assert any("give --cluster with a cluster.yaml that has a block gpu" in note for note in answer["notes"])


def test_sizes_of_one_card_and_of_a_node(sft: CliRun) -> None:
    rows = sft("sizes", "--gpu", "A100-80GB", "--gpus", "8", "-o", "json").json()
    found = {(row["size"], row["method"]): row for row in rows}
    assert found["7B", "full"]["fits"] and found["7B", "full"]["zero_stage"] >= 1
    assert found["7B", "lora"]["gpus"] == 1
    assert found["72B", "lora"]["zero_stage"] == 3, "its frozen weights are divided"
    assert not found["72B", "prefix_tuning"]["fits"], "check refuses train.zero with it"
    card = {(row["size"], row["method"]): row for row in sft("sizes", "--gpu-memory", "24", "-o", "json").json()}
    assert card["7B", "qlora"]["fits"] and not card["72B", "qlora"]["fits"]
    text = sft("sizes", "--gpu-memory", "24")
    assert text.out.startswith("1 node x 1 GPU with 24 GiB of 24 GiB")
    assert "no (" in text.out


def test_sizes_of_a_cluster_with_options_over_it(sft: CliRun) -> None:
    (sft.folder / "cluster.yaml").write_text(CLUSTER, "utf-8")
    assert sft("sizes", "--cluster", "cluster.yaml").out.startswith("2 nodes x 8 A100-80GB of 80 GiB")
    larger = sft("sizes", "--cluster", "cluster.yaml", "--nodes", "64", "--gpu", "H200")
    assert larger.out.startswith("64 nodes x 8 H200 of 141 GiB")


def test_sizes_of_nothing(sft: CliRun) -> None:
    answer = sft("sizes")
    assert answer.code == Exit.BAD_CONFIG
    assert "which GPUs? Give --gpu-memory GIB" in answer.err
    assert "--gpu ABACUS is not known. Give --gpu-memory GIB" in sft("sizes", "--gpu", "ABACUS").err
