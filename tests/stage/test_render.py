"""Messages become ids and labels: exactly what the assistant says is trained, and prompts are prefixes."""

from pathlib import Path

import pytest

from jobs.lm.render import IGNORE, Rendered, Renderer, common_prefix, load_tokenizer
from sftjobs.errors import DataError
from tests.support.tiny import CHATML, END_OF_TURN, tiny_tokenizer

SINGLE = [
    {"role": "system", "content": "Answer with one label."},
    {"role": "user", "content": "how much money is left? 余额"},
    {"role": "assistant", "content": "balance"},
]
MULTI = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "a"},
    {"role": "user", "content": "Message: 我想查询"},
    {"role": "assistant", "content": "  two\n\nlines 好 "},
]
BOTH = [SINGLE, MULTI]

NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] | trim + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>model\n' }}{% endif %}"
).replace("m['role'] + '\n'", "(m['role'] if m['role'] == 'user' else 'model') + '\n'")

THINKING = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{% endif %}"
)

REASONING = CHATML.replace("assistant\n' }}", "assistant\n<think>\n' }}")


def trained_text(renderer: Renderer, rendered: Rendered) -> list[str]:
    """The supervised ids as text, one string per stretch."""
    stretches: list[list[int]] = []
    inside = False
    for label in rendered.labels:
        if label != IGNORE:
            if not inside:
                stretches.append([])
            stretches[-1].append(label)
        inside = label != IGNORE
    return [renderer.tokenizer.decode(ids) for ids in stretches]


@pytest.mark.parametrize("pad_is_eos", [False, True])
def test_exactly_the_answers_with_their_end_of_turn_are_supervised(pad_is_eos: bool) -> None:
    renderer = Renderer(tiny_tokenizer(pad_is_eos=pad_is_eos))
    single, multi = renderer.render(BOTH)
    assert trained_text(renderer, single) == ["balance" + END_OF_TURN]
    assert trained_text(renderer, multi) == ["a" + END_OF_TURN, MULTI[-1]["content"] + END_OF_TURN]
    assert all(label in (IGNORE, token) for token, label in zip(multi.ids, multi.labels, strict=True))
    assert single.supervised_tokens == sum(label != IGNORE for label in single.labels)


@pytest.mark.parametrize("template", [CHATML, NO_SYSTEM, THINKING, REASONING])
def test_prompts_are_prefixes_and_do_not_depend_on_the_answer(template: str) -> None:
    renderer = Renderer(tiny_tokenizer(template=template))
    for conversation, rendered in zip(BOTH, renderer.render(BOTH), strict=True):
        [prompt] = renderer.prompts([conversation])
        assert rendered.ids[: len(prompt)] == prompt
        assert rendered.labels[len(prompt)] != IGNORE
        assert renderer.prompts([conversation[:-1]]) == [prompt]
        assert trained_text(renderer, rendered)[-1].endswith(conversation[-1]["content"].strip() + END_OF_TURN) or (
            conversation is MULTI
        )


def test_prompt_stays_a_prefix_where_prompt_and_answer_would_merge_into_one_token() -> None:
    template = CHATML.replace("assistant\n' }}", "assistant\n' }}").replace("'\n' + message", "': m' + message")
    template = template.replace("assistant\n' }}", "assistant: m' }}")
    renderer = Renderer(tiny_tokenizer(template=template))
    conversation = [SINGLE[1], {"role": "assistant", "content": "essage"}]  # "message" is one token or two
    [rendered], [prompt] = renderer.render([conversation]), renderer.prompts([conversation])
    assert rendered.ids[: len(prompt)] == prompt
    assert trained_text(renderer, rendered) == ["essage" + END_OF_TURN]
    assert renderer.tokenizer(renderer.tokenizer.decode(rendered.ids)).input_ids != rendered.ids, "nothing merged"


def test_system_text_goes_into_the_question_where_the_template_has_no_system_role() -> None:
    renderer = Renderer(tiny_tokenizer(template=NO_SYSTEM))
    [rendered] = renderer.render([SINGLE])
    text = renderer.tokenizer.decode(rendered.ids)
    assert f"{SINGLE[0]['content']}\n\n{SINGLE[1]['content']}" in text
    assert trained_text(renderer, rendered) == ["balance" + END_OF_TURN]


def test_thinking_template_asks_for_the_plain_answer() -> None:
    renderer = Renderer(tiny_tokenizer(template=THINKING))
    _, multi = renderer.render(BOTH)
    assert trained_text(renderer, multi) == ["a" + END_OF_TURN, MULTI[-1]["content"] + END_OF_TURN]
    assert renderer.tokenizer.decode(renderer.prompts([SINGLE])[0]).endswith("</think>\n\n")


def test_a_template_that_prints_the_date_gives_the_same_text_every_day() -> None:
    renderer = Renderer(tiny_tokenizer(template="{{ strftime_now('%d %B %Y') }}" + CHATML))
    assert renderer.segments(SINGLE)[0][0].startswith("26 Jul 2024")


def test_stop_ids_hold_the_end_of_turn_and_the_end_of_text() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    ids = tokenizer.convert_tokens_to_ids([END_OF_TURN, "<|endoftext|>"])
    assert Renderer(tokenizer).stop_ids == ids
    assert Renderer(tiny_tokenizer()).stop_ids == ids[:1]


def test_segments_join_to_the_whole_text_with_the_answers_marked() -> None:
    renderer = Renderer(tiny_tokenizer())
    segments = renderer.segments(MULTI)
    assert "".join(text for text, _ in segments) == renderer.tokenizer.decode(renderer.render([MULTI])[0].ids)
    assert [text for text, trained in segments if trained] == ["a" + END_OF_TURN, MULTI[-1]["content"] + END_OF_TURN]


def test_answers_are_encoded_with_the_end_of_turn() -> None:
    renderer = Renderer(tiny_tokenizer())
    [rendered] = renderer.render([SINGLE])
    assert renderer.answers(["balance"]) == [[label for label in rendered.labels if label != IGNORE]]


def test_template_hash_follows_the_template() -> None:
    hashes = {Renderer(tiny_tokenizer(template=t)).template_hash for t in (CHATML, CHATML, THINKING)}
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("ids", "length"),
    [([], 0), ([[1, 2]], 2), ([[1, 2, 3], [1, 2, 4], [1, 2]], 2), ([[5], [6]], 0), ([[1, 9], [1, 2], [1, 5]], 1)],
)
def test_common_prefix(ids: list[list[int]], length: int) -> None:
    assert common_prefix(ids) == length


def test_tokenizer_without_chat_template_and_end_of_text_says_what_to_do(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer(template=None)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(DataError) as caught:
        Renderer(load_tokenizer(tmp_path))
    message = str(caught.value)
    assert str(tmp_path) in message and "no chat template" in message
    assert "instruct model" in message and "chat_template.jinja" in message


def test_folder_without_tokenizer_names_folder_and_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError) as caught:
        load_tokenizer(tmp_path)
    message = str(caught.value)
    assert str(tmp_path) in message and "tokenizer.json" in message and "found config.json" in message


def test_damaged_tokenizer_file_is_a_data_error(tmp_path: Path) -> None:
    tiny_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version"')
    with pytest.raises(DataError, match="cannot be opened"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("template", "part"),
    [
        (CHATML.replace("<|im_end|>", ""), "learn to stop"),
        (CHATML.replace("<|im_end|>", "[done]"), "is no token"),
        (CHATML.replace("message['content']", "message['content'] | upper"), "learn to stop"),
        (CHATML + "{% if %}", "chat template, line"),
    ],
)
def test_template_that_cannot_be_trained_on_is_refused(template: str, part: str) -> None:
    with pytest.raises(DataError, match=part):
        Renderer(tiny_tokenizer(template=template))


def test_conversation_that_the_template_refuses_is_a_data_error() -> None:
    renderer = Renderer(tiny_tokenizer(template=NO_SYSTEM))
    with pytest.raises(DataError, match="System role not supported"):
        renderer.render([[SINGLE[1], SINGLE[0], SINGLE[2]]])
    with pytest.raises(DataError, match="must end with a message of the assistant"):
        renderer.render([SINGLE[:2]])
    with pytest.raises(DataError, match="must begin with a question"):
        renderer.render([SINGLE[2:]])
