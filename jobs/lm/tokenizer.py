"""Open a tokenizer from a model folder. Does not import torch, so that `sftjobs check` answers in seconds."""

from pathlib import Path
from typing import TYPE_CHECKING

from sftjobs.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A folder needs all files of one of these sets.
TOKENIZER_FILES = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"), ("vocab.txt",))


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model folder, with character offsets ("fast"). Raises DataError naming what is missing."""
    _check(folder)
    try:
        if (folder / "tokenizer.json").is_file():
            # The file as it stands. AutoTokenizer would import torch and rebuild parts of it from the model's class.
            from transformers import PreTrainedTokenizerFast

            tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        else:
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # the tokenizers library raises bare Exception for a file that it cannot parse
        raise DataError(f"{folder}: the tokenizer cannot be opened: {type(error).__name__}: {error}") from error
    if not tokenizer.is_fast:
        raise DataError(
            f"{folder}: the tokenizer has no character offsets, which decide the trained tokens; "
            "give a folder with a tokenizer.json (transformers writes one with save_pretrained)"
        )
    return tokenizer


def _check(folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such model folder")
    if any(all((folder / name).is_file() for name in names) for names in TOKENIZER_FILES):
        return
    wanted = ", or ".join(" and ".join(names) for names in TOKENIZER_FILES)
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise DataError(
        f"{folder}: a model folder without tokenizer: expected {wanted}; found {found}. "
        "Copy the tokenizer files of the model into the folder"
    )
