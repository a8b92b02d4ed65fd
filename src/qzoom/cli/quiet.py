"""Keep the libraries underneath from writing over the answer."""

from __future__ import annotations

import os
import sys
import warnings

from qzoom.cli.terminal import is_terminal

_SETTINGS = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "HF_HUB_VERBOSITY": "error",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TOKENIZERS_PARALLELISM": "false",
}


def hush_libraries() -> None:
    """Turn library chatter off; what the user has set in the environment or with -W stays.

    To be called before torch and transformers are imported, since they read this only once.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    # A download of gigabytes should show its progress to a person, and to nobody else.
    if not is_terminal(sys.stderr):
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
