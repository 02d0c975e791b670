"""A tokenizer and a model that are small enough to make in a second, with the traps of real ones.

tokenizer = tiny_tokenizer(folder)      byte-level BPE, ChatML template; pads with the end-of-turn token if asked
tiny_model(folder)                      a random Llama with that tokenizer, saved as a Hugging Face folder
"""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

END_OF_TEXT = "<|endoftext|>"
TURN = "<|im_start|>"
END_OF_TURN = "<|im_end|>"

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_TEXT = (
    "You sort messages of customers by what they want. Answer with exactly one label and nothing else.",
    "balance transfer card_lost out_of_scope greeting weather translate",
    "Message: how much money is on my account? system user assistant",
    "Message: please move twenty dollars to savings. Message: 我想查询我的余额",
)


def tiny_tokenizer(
    folder: Path | None = None, *, template: str | None = CHATML, pad_is_eos: bool = False, vocabulary: int = 384
) -> PreTrainedTokenizerFast:
    """Byte-level BPE over any text, made the same each time; saved to `folder` if one is given."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT, TURN, END_OF_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXT, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=TURN,
        eos_token=END_OF_TURN,
        unk_token=END_OF_TEXT,
        pad_token=END_OF_TURN if pad_is_eos else END_OF_TEXT,
        model_max_length=512,
    )
    fast.chat_template = template
    if folder is not None:
        fast.save_pretrained(folder)
    return fast


def tiny_model(
    folder: Path,
    *,
    layers: int = 2,
    hidden: int = 32,
    context: int = 512,
    seed: int = 0,
    template: str | None = CHATML,
    pad_is_eos: bool = False,
) -> Path:
    """A random Llama (float32, tied embeddings) with `tiny_tokenizer`, saved to `folder`; returns `folder`."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer(folder, template=template, pad_is_eos=pad_is_eos)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(folder)
    return folder
