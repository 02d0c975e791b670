"""A record becomes an example, or the message says what is wrong with it."""

from typing import Any

import pytest

from jobs.data.examples import Source as Origin
from jobs.data.examples import make_example, question
from jobs.data.prompt import Made, Prompt, RecordError
from jobs.data.read import Record
from jobs.data.shapes import Shape
from sftjobs.plan.configs import SourceConfig
from sftjobs.spec.data import ColumnMap
from sftjobs.spec.prompt import OutputSpec, PromptExample, PromptSpec

LABELLED = PromptSpec(
    system="Sort. {{ labels }}",
    instruction="One of:\n{{labels}}\n",
    input="From {{ sender }}: {{ text }}",
    labels={"balance": "how much", "pay_bill": "pays"},
    output=OutputSpec(format="label"),
    examples=[PromptExample(input={"sender": "A", "text": "how much?"}, output="balance")],
)
CONFIG = SourceConfig(input="task.t", format="jsonl", output_column="label")


def made(values: dict[str, Any], prompt: PromptSpec = LABELLED, free: bool = False, **more: Any) -> Made:
    config = CONFIG.model_copy(update=more)
    shape: Shape = "messages" if "messages" in values else "columns"
    return Prompt(prompt).example(Record(7, values), "t", config, shape, "d" * 64, free)


def example(values: dict[str, Any], prompt: PromptSpec = LABELLED, free: bool = False, **more: Any) -> Any:
    """The example; a fault of its answer is an error here."""
    one = made(values, prompt, free, **more)
    if one.fault is not None:
        raise RecordError("label" if one.fault.rule == "label" else "answer", one.fault.reason)
    return one.example


def test_three_parts_examples_and_labels_become_messages() -> None:
    one = example({"sender": "B", "text": "  {{ text }} \n", "label": " pay_bill "})
    assert one.messages == [
        {"role": "system", "content": "Sort. - balance: how much\n- pay_bill: pays"},
        {
            "role": "user",
            "content": "One of:\n- balance: how much\n- pay_bill: pays\n\nExamples:\n\n"
            "From A: how much?\nAnswer: balance\n\nFrom B:   {{ text }}",
        },
        {"role": "assistant", "content": "pay_bill"},
    ]
    assert (one.label, one.source, one.user_id) == ("pay_bill", Origin("d" * 64, 7), None)


def test_values_that_are_not_text_are_written_as_json() -> None:
    prompt = PromptSpec(input="{{ a }} {{ b }}", output=OutputSpec(format="json"))
    one = example({"a": 3, "b": [True, "é"], "label": {"x": 1}}, prompt, columns=ColumnMap(id="a"))
    assert [message["content"] for message in one.messages] == ['3 [true, "é"]', '{"x": 1}']
    assert one.user_id == "3" and one.label is None


@pytest.mark.parametrize(
    ("values", "kind", "parts"),
    [
        (
            {"sender": "B", "txt": "a", "label": "balance"},
            "column",
            ["no column 'text', did you mean 'txt'?", "sender, txt and label", "{{ text }}"],
        ),
        ({"sender": "B", "text": "a"}, "column", ["no column 'label'", "sender and text", "`columns`"]),
        ({"sender": "B", "text": None, "label": "balance"}, "column", ["column 'text' is null"]),
        ({"sender": " ", "text": "", "label": "balance"}, "column", ["nothing is asked: sender, text is empty"]),
        ({"sender": "B", "text": "a", "label": "Balence"}, "label", ["'Balence'", "did you mean 'balance'?"]),
        ({"sender": "B", "text": "a", "label": "zzz"}, "label", ["'zzz'", "balance and pay_bill"]),
        ({"sender": "B", "text": "a", "label": " "}, "answer", ["the answer is empty"]),
    ],
)
def test_record_that_does_not_fit_the_prompt(values: dict[str, Any], kind: str, parts: list[str]) -> None:
    with pytest.raises(RecordError) as caught:
        example(values)
    assert caught.value.kind == kind
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("output", "answer", "part"),
    [
        (OutputSpec(format="json"), "{", "is not JSON"),
        (OutputSpec(format="json"), '{"a": NaN}', "is not JSON: NaN has no place"),
        (OutputSpec(format="json"), "[" * 100_000, "is not JSON: nested more than 100 deep"),
        (OutputSpec(format="json"), "[" * 101 + "]" * 101, "is not JSON: nested more than 100 deep"),
        (OutputSpec(format="json"), '{"a": 1, "a": 2}', "is not JSON: two values of 'a'"),
        (OutputSpec(format="json"), '{"a": 1e999}', "is not JSON: 1e999 is too large"),
        (OutputSpec(format="json"), '{"a": 1} 2', "is not JSON: Extra data"),
        (OutputSpec(format="json", json_schema={"required": ["a"]}), "{}", "breaks output.json_schema: 'a' is a requ"),
        (OutputSpec(format="regex", pattern="[0-9]+"), "12x", "does not match output.pattern '[0-9]+'"),
    ],
)
def test_answer_that_breaks_the_output_format(output: OutputSpec, answer: str, part: str) -> None:
    with pytest.raises(RecordError, match="answer") as caught:
        example({"a": "x", "label": answer}, PromptSpec(input="{{ a }}", output=output))
    assert part in str(caught.value)


CONVERSATION = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "pay_bill"}]


def test_ready_conversations_are_kept_and_checked_unless_they_are_general_data() -> None:
    assert example({"messages": CONVERSATION}).label == "pay_bill"
    other = [CONVERSATION[0], {"role": "assistant", "content": "anything"}]
    assert example({"messages": other}, free=True).messages == other
    with pytest.raises(RecordError, match="not one of the prompt's labels"):
        example({"messages": other})


@pytest.mark.parametrize(
    ("messages", "part"),
    [
        ("text", "must be a list"),
        ([], "must be a list"),
        ([{"role": "user"}], "message 1 must have a role and a content"),
        ([{"role": "robot", "content": "q"}], "message 1 has the role 'robot'; known: system, user, assistant"),
        (CONVERSATION[:1], "the last message must be the assistant's"),
        ([CONVERSATION[1]], "the first message is the assistant's"),
        ([{"role": "system", "content": "s"}, CONVERSATION[1]], "there is no message of the user"),
    ],
)
def test_conversation_that_cannot_be_used(messages: Any, part: str) -> None:
    with pytest.raises(RecordError) as caught:
        example({"messages": messages}, free=True)
    assert caught.value.kind == "messages" and part in str(caught.value)


def test_question_ignores_case_width_spacing_system_and_answer() -> None:
    def asked(user: str, system: str = "s", answer: str = "a") -> str:
        contents = (("system", system), ("user", user), ("assistant", answer))
        return question(make_example("t", [{"role": r, "content": c} for r, c in contents], Origin("d", 1)))

    assert asked("How  MUCH\n") == asked("how ｍｕｃｈ", system="other", answer="b")
    assert asked("how much") != asked("how much?")


def test_id_depends_on_task_and_messages_only() -> None:
    one = make_example("t", CONVERSATION, Origin("d", 1), label="pay_bill")
    assert one.id == make_example("t", list(CONVERSATION), Origin("e", 2)).id
    assert one.id != make_example("u", CONVERSATION, Origin("d", 1)).id


def test_a_conversation_that_the_prompt_made_asks_what_its_record_asks() -> None:
    record = {"sender": "B", "text": "two\nlines: {{ text }}", "label": "pay_bill"}
    from_columns = example(record)
    corrected = [*from_columns.messages[:-1], {"role": "assistant", "content": "balance"}]
    ready = example({"messages": corrected})
    assert ready.inputs == from_columns.inputs and question(ready) == question(from_columns)
    other = example({"messages": [{"role": "user", "content": "hello"}, corrected[-1]]})
    assert other.inputs == ()
    assert example({"messages": corrected}, free=True).inputs == (), "general data may have any form"


def test_a_placeholder_that_stands_twice_is_filled_alike() -> None:
    prompt = PromptSpec(input="{{ a }} and {{ b }} and {{ a }}")
    made = [{"role": "user", "content": "x and y and x"}, {"role": "assistant", "content": "z"}]
    assert example({"messages": made}, prompt).inputs == ("x", "y")
    made[0] = {"role": "user", "content": "x and y and z"}
    assert example({"messages": made}, prompt).inputs == ()
