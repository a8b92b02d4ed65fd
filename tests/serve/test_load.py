"""The load tool: traffic that repeats, numbers worked out by hand, and a run on a toy server."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import pytest
from tests.serve.live import NAME, served
from tests.tiny_chat import chat_model

from qzoom.bench.load.client import Outcome
from qzoom.bench.load.summary import summarised, table_of
from qzoom.bench.load.traffic import Traffic, arrivals_s
from qzoom.cli import main


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(chat_model("qwen3_vl")) as (_, found):
        yield found


def test_a_seed_gives_the_same_traffic() -> None:
    first, again, other = (
        list(islice(Traffic("m", 3, fire_rate=0.5, seed=seed).requests(), 40)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    looks = [json.dumps(body["qzoom"]) for body in first]
    assert set(looks) == {'{"gate_threshold": 0.0}', '{"direct": true}'}
    assert "qzoom" not in next(Traffic("m", 1).requests())


def test_arrivals_come_at_the_rate() -> None:
    times = arrivals_s(4.0, 4000, seed=0)
    assert times == sorted(times) == arrivals_s(4.0, 4000, seed=0)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert statistics.mean(gaps) == pytest.approx(0.25, rel=0.05)
    assert statistics.stdev(gaps) == pytest.approx(0.25, rel=0.1)


def test_the_numbers_of_a_report() -> None:
    outcomes = [
        Outcome(200, "a", None, first_s=n / 100, total_s=n / 10, new_tokens=2, zoomed=n % 2 == 0)
        for n in range(1, 101)
    ]
    outcomes += [Outcome(503, error="full"), Outcome(503, error="full"), Outcome(200, error="cut")]
    report = summarised(outcomes, seconds=50.0)
    assert (report["requests"], report["answered"], report["zoomed"]) == (103, 100, 50)
    assert report["failed"] == {"503 full": 2, "200 cut": 1}
    assert (report["requests_per_s"], report["tokens_per_s"]) == (2.0, 4.0)
    assert report["first_token_s"] == {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    assert report["total_s"] == {"p50": 5.0, "p95": 9.5, "p99": 9.9}
    assert "failed 2: 503 full" in table_of(report)
    assert summarised([], 1.0)["total_s"] == {"p50": None, "p95": None, "p99": None}


@pytest.mark.parametrize("pace", [["--users", "3"], ["--rate", "200"]])
def test_a_run_on_a_server(
    url: str, pace: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "load.json"
    options = ["--requests", "6", "--pictures", "2", "--new-tokens", "3", "--exact"]
    given = ["bench", "serve", "--url", url, *pace, *options, "--fire-rate", "0.5"]
    assert main([*given, "--out", str(out)]) == 0
    assert "answered 6 of 6" in capsys.readouterr().out
    report = json.loads(out.read_text())
    assert report["asked"]["model"] == NAME
    assert report["answered"] == 6
    assert report["tokens_per_s"] == pytest.approx(18 / report["seconds"], rel=0.01)


def test_an_endpoint_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "serve", "--url", "http://127.0.0.1:9/v1"]) == 2
    assert "is it up?" in capsys.readouterr().err
    assert main(["bench", "serve", "--rate", "-1"]) == 2
    assert "is no rate" in capsys.readouterr().err
