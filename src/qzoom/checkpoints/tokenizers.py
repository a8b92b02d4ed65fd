"""Read the tokenizer that lies beside the weights, if there is one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qzoom.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase | None:
    """The folder's tokenizer, with its chat template; None for token-id checkpoints.

    Raises:
        CheckpointError: If the files are damaged or would need code from the folder.
    """
    import transformers

    has_settings = (folder / "tokenizer_config.json").exists()
    if not (folder / "tokenizer.json").exists():
        return None
    tokenizer: PreTrainedTokenizerBase
    try:
        if has_settings:
            auto_class = transformers.AutoTokenizer
            tokenizer = auto_class.from_pretrained(folder, trust_remote_code=False)
        else:
            fast_class: Any = transformers.PreTrainedTokenizerFast
            tokenizer = fast_class(tokenizer_file=str(folder / "tokenizer.json"))
    except Exception as error:  # the tokenizers library raises bare exceptions
        detail = " ".join(str(error).split())
        raise CheckpointError(f"cannot read the tokenizer in {folder}: {detail}") from error
    return tokenizer
