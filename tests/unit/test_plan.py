"""Planning is pure: the same spec and facts give the same plan, and only what matters enters a key."""

import pytest

from sftjobs.canonical import canonical, digest, readable
from sftjobs.plan.configs import DataConfig
from sftjobs.plan.finish import finish, ready
from sftjobs.plan.key import differences
from sftjobs.plan.make import make
from sftjobs.plan.stages_data import data_config
from sftjobs.plan.types import RunPlan, StagePlan
from tests.support.specs import artifact, data_counts, external, make_facts, make_spec


def finished(plan: RunPlan, stage: str, examples: int = 400, dev: int = 0) -> StagePlan:
    """Finish one stage as if every stage before it were committed."""
    inputs = {
        "import": artifact("data", "import", {}),
        "data": artifact("data", "data", {**data_counts(examples), "dev": dev}),
        "train": artifact("train", "train"),
        "eval-base": artifact("eval", "base", {"metrics": {"accuracy": 0.1}}),
        "eval-tuned": artifact("eval", "tuned", {"metrics": {"accuracy": 0.8}}),
        "eval-previous": artifact("eval", "previous", {"metrics": {"accuracy": 0.7}}),
        "baselines": artifact("eval", "baselines"),
    }
    inputs |= {f"{name}-2": artifact(kind, f"{name}-2") for kind, name in (("train", "train"), ("eval", "eval-tuned"))}
    return finish(plan, stage, inputs)


def test_plan_is_the_same_byte_for_byte() -> None:
    first = canonical(make(make_spec(), make_facts()).model_dump(mode="json"))
    assert first == canonical(make(make_spec(), make_facts()).model_dump(mode="json"))


def test_chain_without_import_and_with_it() -> None:
    names = [stage.name for stage in make(make_spec(), make_facts()).stages]
    assert names == ["data", "train", "eval-base", "baselines", "eval-tuned", "compare"]
    facts = make_facts()
    facts = facts.model_copy(update={"externals": {**facts.externals, "model": external("m.gguf")}})
    assert make(make_spec(), facts).stages[0].name == "import"


def test_compare_to_adds_the_previous_model() -> None:
    ref, _ = artifact("train", "old")
    facts = make_facts(previous={"run_id": "old-1", "model": ref.model_dump()})
    plan = make(make_spec(), facts)
    assert plan.stage("compare").inputs["previous"].stage == "eval-previous"
    assert finished(plan, "eval-previous").inputs["model"].digest == ref.digest


def test_stages_come_after_what_they_need() -> None:
    plan = make(make_spec(), make_facts())
    assert ready(plan.stage("data"), {})
    assert not ready(plan.stage("train"), {})
    assert ready(plan.stage("train"), {"data": artifact("data", "data")})


@pytest.mark.parametrize(
    ("changes", "stages"),
    [
        ({"train": {"learning_rate": 1e-3}}, {"train"}),
        ({"train": {"epochs": 3}}, {"train"}),
        ({"seed": 1}, {"data", "train", "eval-base", "baselines", "eval-tuned", "compare"}),
        ({"resources": {"train": {"threads_per_process": 1}}}, {"train"}),
        ({"resources": {"train": {"memory_gib": 64, "disk_gib": 99}}}, set()),
        ({"retries": {"infrastructure": 0}}, set()),
        ({"limits": {"hang_after_s": 10, "grace_s": 5}}, set()),
        ({"train": {"checkpoint_every_s": 5}}, set()),
        ({"eval": {"batch_size": 3}}, set()),
        ({"eval": {"confidence": 0.9}}, {"compare"}),
        ({"eval": {"temperature": 0.7}}, {"eval-base", "baselines", "eval-tuned"}),
        ({"eval": {"shots": 2}}, {"baselines"}),
        ({"train": {"report_to": ["tensorboard"]}}, set()),
        ({"train": {"keep": "last"}}, set()),
        ({"train": {"packing": True}}, {"train"}),
        ({"name": "other"}, set()),
    ],
)
def test_which_fields_enter_which_key(changes: dict[str, object], stages: set[str]) -> None:
    before, after = make(make_spec(), make_facts()), make(make_spec(**changes), make_facts())
    changed = {n.name for n in before.stages if finished(before, n.name).key != finished(after, n.name).key}
    assert changed == stages


def test_where_an_input_lies_is_not_in_the_key_but_its_content_is() -> None:
    facts = make_facts()
    moved = facts.externals["task.t"].model_copy(update={"source": "/elsewhere/x.jsonl"})
    other = facts.externals["task.t"].model_copy(update={"digest": "d" * 64})
    keys = [
        finished(
            make(make_spec(), facts.model_copy(update={"externals": {**facts.externals, "task.t": e}})), "data"
        ).key
        for e in (facts.externals["task.t"], moved, other)
    ]
    assert keys[0] == keys[1] != keys[2]


def test_library_versions_and_source_enter_the_key() -> None:
    plan = finished(make(make_spec(), make_facts()), "train")
    newer = make_facts(versions={**make_facts().versions, "peft": "2.0"})
    assert finished(make(make_spec(), newer), "train").key != plan.key
    assert finished(make(make_spec(), newer), "data").key == finished(make(make_spec(), make_facts()), "data").key
    assert finished(make(make_spec(), make_facts(source_digest="x")), "train").key != plan.key


def test_differences_names_the_field() -> None:
    old = finished(make(make_spec(), make_facts()), "train").key_json
    new = finished(make(make_spec(train={"learning_rate": 1e-3}), make_facts()), "train").key_json
    assert differences(old, new) == [("config.learning_rate", 5e-4, 1e-3)]


def test_printed_arithmetic() -> None:
    spec = make_spec(train={"micro_batch_size": 4, "global_batch_size": 8, "epochs": 2})
    stage = finished(make(spec, make_facts()), "train", examples=384)
    assert stage.summary == (
        "world 1x1 | micro batch 4 | accumulation 2 | global batch 8 | 96 steps | 2 epochs | 3,072 supervised tokens"
    )
    assert stage.config["steps"] == 96


def test_world_size_counts() -> None:
    resources = {"train": {"nodes": 2, "gpus_per_node": 4}}
    spec = make_spec(train={"micro_batch_size": 2, "global_batch_size": 64}, resources=resources)
    config = finished(make(spec, make_facts()), "train").config
    assert (config["world_size"], config["gradient_accumulation_steps"]) == (8, 4)


@pytest.mark.parametrize(("examples", "batch"), [(24, 4), (390, 16), (5_000, 64), (1_000_000, 256)])
def test_auto_batch_grows_with_the_square_root(examples: int, batch: int) -> None:
    config = finished(make(make_spec(), make_facts()), "train", examples).config
    assert config["micro_batch_size"] * config["gradient_accumulation_steps"] == batch


def test_auto_decisions_have_reasons() -> None:
    stage = finished(make(make_spec(), make_facts()), "train")
    assert stage.config["method"] == "lora"
    assert set(stage.reasons) == {"method", "learning_rate", "global_batch_size", "group_by_length", "keep"}


def test_per_task_epochs() -> None:
    data = {"tasks": {"t": {"path": "x.jsonl", "epochs": 3}}, "held_out": {"path": "h.jsonl"}}
    config = finished(make(make_spec(data=data), make_facts()), "train").config
    assert config["mixture"]["epochs"] == {"t": 3}
    assert config["steps"] == 3 * 25


def test_generation_stops_soon_after_the_longest_answer() -> None:
    assert finished(make(make_spec(), make_facts()), "eval-base").config["decoding"]["max_new_tokens"] == 12


def test_a_seed_for_each_training() -> None:
    """The first one is that of a run with one seed: nothing is trained again when more are asked for."""
    one, two = make(make_spec(), make_facts()), make(make_spec(train={"seeds": 2}), make_facts())
    assert [stage.name for stage in two.stages if stage.name not in {stage.name for stage in one.stages}] == [
        "train-2",
        "eval-tuned-2",
    ]
    assert finished(one, "train").key == finished(two, "train").key
    assert [finished(two, name).config["seed"] for name in ("train", "train-2")] == [42, 43]
    assert two.stage("eval-tuned-2").inputs["model"].stage == "train-2"
    assert two.stage("compare").inputs["tuned-2"].stage == "eval-tuned-2"


def test_looks_at_the_dev_set_need_one() -> None:
    data = {"tasks": {"t": {"path": "x.jsonl"}}, "held_out": {"path": "h.jsonl"}, "dev_fraction": 0.1}
    without, with_dev = make(make_spec(), make_facts()), make(make_spec(data=data), make_facts())
    assert finished(without, "train").config["dev"] is None
    config = finished(with_dev, "train", dev=40).config
    assert (config["keep"], config["dev"]["every_steps"], config["dev"]["metric"]) == ("best", 5, None)
    on_answers = make(make_spec(data=data, train={"dev": {"by": "metric"}}), make_facts())
    config = finished(on_answers, "train", dev=40).config
    assert (config["dev"]["metric"]["name"], config["dev"]["max_new_tokens"]) == ("accuracy", 12)


def test_a_metric_of_the_users_is_an_input() -> None:
    eval_ = {"metrics": ["exact_match", {"file": "metrics.py", "function": "near"}]}
    facts = make_facts()
    facts = facts.model_copy(update={"externals": {**facts.externals, "metric.1": external("metrics.py")}})
    stage = finished(make(make_spec(eval=eval_), facts), "eval-tuned")
    assert [metric["name"] for metric in stage.config["metrics"]] == ["exact_match", "near"]
    assert (
        stage.inputs["metric.1"].external is not None
        and "metric.1" not in finished(make(make_spec(eval=eval_), facts), "train").inputs
    )


def test_what_the_previous_model_was_trained_on_is_known() -> None:
    model, data = artifact("train", "old")[0], artifact("data", "old")[0]
    facts = make_facts(previous={"run_id": "old-1", "model": model.model_dump(), "data": data.model_dump()})
    assert finished(make(make_spec(), facts), "eval-previous").inputs["trained_on"].digest == data.digest


def test_labels_keep_the_order_of_the_prompt_file() -> None:
    """Stored documents have sorted keys, and a model reads the labels in the order in which the user wrote them."""
    prompt = {"input": "{{ text }}", "labels": {"b": "first", "a": "second"}, "output": {"format": "label"}}
    config = data_config(make_spec(prompt=prompt))
    stored = DataConfig.model_validate_json(readable(config.model_dump(mode="json")))
    assert list(stored.prompt.labels) == ["a", "b"]
    assert list(stored.ordered_prompt.labels) == ["b", "a"]
    other = data_config(make_spec(prompt={**prompt, "labels": {"a": "second", "b": "first"}}))
    assert digest(other.model_dump(mode="json")) != digest(config.model_dump(mode="json"))
