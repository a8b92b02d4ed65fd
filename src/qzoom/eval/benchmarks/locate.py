"""Where the files of a benchmark are: as given, or in the hub's local cache."""

from __future__ import annotations

from pathlib import Path

from qzoom.errors import DataError
from qzoom.eval.benchmarks.base import Benchmark


def data_of(benchmark: Benchmark, given: Path | None) -> Path:
    """The given path, or the newest cached snapshot of the benchmark's datasets; no download.

    Raises:
        DataError: when there is neither.
    """
    if given is not None:
        if not given.exists():
            raise DataError(f"--data {given} is not there; name a folder or a file")
        return given
    if not benchmark.hub_ids:  # made, not read
        return Path()
    for hub_id in benchmark.hub_ids:
        if (found := _cached(hub_id)) is not None:
            return found
    raise DataError(
        f"no copy of {' or '.join(benchmark.hub_ids)} is in the hub's cache; download one with "
        f"'hf download --repo-type dataset {benchmark.hub_ids[0]}', or name its files with --data"
    )


def _cached(hub_id: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, repo_type="dataset", local_files_only=True))
    except LocalEntryNotFoundError:
        return None
