"""Turn what the user named, a folder or a hub id, into a folder on this machine."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from qzoom.errors import CheckpointError

SETTINGS_PATTERNS = ("*.json", "*.txt", "*.jinja")
WEIGHT_PATTERNS = (*SETTINGS_PATTERNS, "*.safetensors")


def is_local(path_or_id: str | Path) -> bool:
    """Whether this names a folder; one that exists wins over a hub id of the same name."""
    return Path(path_or_id).expanduser().is_dir()


def checkpoint_folder(path_or_id: str | Path, revision: str | None = None) -> Path:
    """Folder of a checkpoint, downloaded or taken from the offline cache if need be.

    Only JSON, safetensors, text and template files at the top of a repository are fetched, never
    pickles or code.

    Raises:
        CheckpointError: If there is neither such a folder nor such a repository.
    """
    path = Path(path_or_id).expanduser()
    if path.is_dir():
        if revision is not None:
            raise CheckpointError(f"{path} is a folder; revision={revision!r} needs a hub id")
        return path
    if path.exists():
        raise CheckpointError(f"{path} is a file; pass the folder that holds config.json")
    return download(str(path_or_id), WEIGHT_PATTERNS, revision)


def download(repo_id: str, patterns: tuple[str, ...], revision: str | None = None) -> Path:
    """Snapshot folder of a hub repository, limited to files that match `patterns`.

    Raises:
        CheckpointError: If the id is no hub id, is unknown, or cannot be reached and is not cached.
    """
    try:
        folder = snapshot_download(
            repo_id,
            revision=revision,
            allow_patterns=list(patterns),
            # fnmatch's * crosses slashes; subfolders hold other formats of the same weights.
            ignore_patterns=["*/*"],
        )
    except HFValidationError:
        raise CheckpointError(
            f"{repo_id!r} is neither a folder nor a hub id (owner/name)"
        ) from None
    except RepositoryNotFoundError:
        raise CheckpointError(
            f"no folder and no hub repository {repo_id!r}; check the name, log in if it is private"
        ) from None
    except RevisionNotFoundError:
        raise CheckpointError(f"hub repository {repo_id!r} has no revision {revision!r}") from None
    except Exception as error:  # transport errors differ between versions of the hub client
        raise CheckpointError(
            f"{repo_id!r} is no folder, and as a hub id it is not cached and cannot be downloaded"
            f" ({type(error).__name__}); go online once or pass a local folder"
        ) from error
    return Path(folder)
