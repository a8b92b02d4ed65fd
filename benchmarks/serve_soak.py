"""A server under more load than it can take, with hostile requests and clients that leave.

Starts `qzoom serve` on the embedded model, measures its capacity, then sends 1.5 times as much: one
request in ten is hostile, one in twenty is given up by its client. Every answer is compared with
the one that the library gives alone. Ends with SIGTERM while requests are under way.

    PYTHONPATH=. python benchmarks/serve_soak.py --minutes 30 --out soak.json
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import torch
from benchmarks.serving import server
from PIL import Image

import qzoom
from qzoom.bench.load.client import Outcome, ask
from qzoom.bench.load.run import closed_loop, served_name
from qzoom.bench.load.summary import summarised
from qzoom.bench.load.traffic import Traffic
from qzoom.eval.machine import machine

CACHE_MB = 64
GRACE_S = 20
REST_S = 3.0
PICTURES = 48
HOSTILE = 0.10
LEAVING = 0.05


@dataclass
class Tally:
    """What became of every request.

    wrong: answers that differ from the library's own.
    unexplained: requests without an answer and without a stated reason.
    """

    outcomes: list[Outcome] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[dict[str, str]] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    hostile: Counter[int] = field(default_factory=Counter)
    left: int = 0


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--over", type=float, default=1.5, help="load, by the capacity")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    # As many as the server has: the comparison waits for no core, and rounds as the server does.
    torch.set_num_threads(args.threads)
    options = ["--cache-mb", str(CACHE_MB), "--grace", str(GRACE_S)]
    with server(args.threads, *options) as (process, url):
        report = asyncio.run(soak(process, url, args))
        process.wait(GRACE_S + 30)
    report["exit_code"] = process.returncode
    report["machine"] = machine()
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")


async def soak(
    process: subprocess.Popen[str], url: str, args: argparse.Namespace
) -> dict[str, Any]:
    """Capacity, load, stop."""
    name = await served_name(url, None)
    bodies = Traffic(name, PICTURES, fire_rate=0.35, new_tokens=16, seed=args.seed).requests()
    await closed_loop(url, None, bodies, 2 * PICTURES, 8)
    outcomes, seconds = await closed_loop(url, None, bodies, 200, 8)
    capacity = summarised(outcomes, seconds)
    # A queue that has been full once is part of what the server needs.
    await closed_loop(url, None, bodies, 200, 80)
    await idle(url)
    before_mb = rss_mb(process.pid)
    rate, tally = args.over * capacity["requests_per_s"], Tally()
    most_queued, seconds = await load(url, bodies, rate, args.minutes * 60, tally, args.seed)
    await idle(url)
    after_mb = rss_mb(process.pid)
    stop = asyncio.get_running_loop().call_later(2.0, process.send_signal, signal.SIGTERM)
    last = Tally()
    await load(url, bodies, rate, 4.0, last, args.seed + 1)
    stop.cancel()
    return {
        "rate_per_s": round(rate, 3),
        "capacity": capacity,
        "load": summarised(tally.outcomes, seconds),
        "statuses": dict(tally.statuses),
        "hostile_statuses": dict(tally.hostile),
        "clients_that_left": tally.left,
        "wrong_answers": tally.wrong[:10],
        "unexplained": tally.unexplained[:10],
        "wrong": len(tally.wrong),
        "unexplained_count": len(tally.unexplained),
        "most_queued": most_queued,
        "while_stopping": {
            "statuses": dict(last.statuses),
            "unexplained": last.unexplained[:10],
            "wrong": len(last.wrong),
        },
        "rss_mb": {"before": before_mb, "after": after_mb, "cache_budget": CACHE_MB},
    }


async def idle(url: str) -> None:
    """Wait until nothing is under way, and freed memory has been handed back."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        for _ in range(120):
            if await gauge(client, "queued") + await gauge(client, "running") == 0:
                return await asyncio.sleep(REST_S)
            await asyncio.sleep(0.5)


async def load(
    url: str,
    bodies: Iterator[dict[str, Any]],
    rate: float,
    seconds: float,
    tally: Tally,
    seed: int,
) -> tuple[float, float]:
    """Send until the time is up; the longest queue seen and the seconds until the last answer."""
    rng, offline, tasks = Random(f"soak/{seed}"), Offline(), set[asyncio.Task[None]]()
    began, due, queued = time.perf_counter(), 0.0, 0.0
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(
        base_url=url, limits=limits, timeout=300.0, trust_env=False
    ) as client:
        looked = 0.0
        while due < seconds:
            due += rng.expovariate(rate)
            await asyncio.sleep(max(0.0, due - (time.perf_counter() - began)))
            draw = rng.random()
            if draw < HOSTILE:
                work = hostile(client, rng, tally)
            elif draw < HOSTILE + LEAVING:
                work = leaving(client, next(bodies), rng, tally)
            else:
                work = honest(client, next(bodies), tally, offline)
            task = asyncio.create_task(work)
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            if due - looked > 5:
                looked, queued = due, max(queued, await gauge(client, "queued"))
        await asyncio.gather(*tasks)
        taken = time.perf_counter() - began
    offline.judge(tally)
    return queued, taken


class Offline:
    """Answers to be compared once the load is over, so that comparing does not slow the server."""

    def __init__(self) -> None:
        self._asked: list[tuple[dict[str, Any], Outcome]] = []

    def note(self, body: dict[str, Any], outcome: Outcome) -> None:
        """Remember an answer."""
        self._asked.append((body, outcome))

    def judge(self, tally: Tally) -> None:
        """Ask the library the same questions."""
        model, known = qzoom.load(dtype="float32"), dict[str, str]()
        for body, outcome in self._asked:
            key = json.dumps(body, sort_keys=True)
            if key not in known:
                known[key] = _alone(model, body)
            if known[key] != outcome.text:
                found = {"expected": known[key], "got": outcome.text}
                tally.wrong.append(found | {"question": body["messages"][0]["content"][1]["text"]})


def _alone(model: qzoom.ZoomModel, body: dict[str, Any]) -> str:
    picture, text = body["messages"][0]["content"]
    data = base64.b64decode(picture["image_url"]["url"].partition(",")[2])
    zoom: dict[str, Any] = dict(body["qzoom"])
    options: dict[str, Any] = {"zoom": "never"} if zoom.pop("direct", False) else zoom
    answer = model.open(io.BytesIO(data)).ask(
        text["text"], max_new_tokens=body["max_tokens"], **options
    )
    return answer.text


async def honest(
    client: httpx.AsyncClient, body: dict[str, Any], tally: Tally, offline: Offline
) -> None:
    """A request that wants its answer."""
    outcome = await ask(client, body)
    if outcome.error == "ConnectError":
        # The listening socket is closed: the request was never accepted.
        tally.statuses["not accepted"] += 1
        return
    tally.outcomes.append(outcome)
    tally.statuses[f"{outcome.status} {'' if outcome.answered else 'failed'}".strip()] += 1
    if outcome.answered:
        offline.note(body, outcome)
    elif "message" not in (outcome.error or "") and "server" not in (outcome.error or ""):
        tally.unexplained.append(f"{outcome.status} {outcome.error}")


async def leaving(
    client: httpx.AsyncClient, body: dict[str, Any], rng: Random, tally: Tally
) -> None:
    """A client that goes away before its answer is done."""
    tally.left += 1
    body = body | {"max_tokens": 64, "ignore_eos": True, "stream": rng.random() < 0.5}
    if not body["stream"]:
        body.pop("stream_options")
    try:
        async with asyncio.timeout(rng.uniform(0.02, 0.4)):
            await client.post("/chat/completions", json=body)
    except (TimeoutError, httpx.HTTPError):
        return


async def hostile(client: httpx.AsyncClient, rng: Random, tally: Tally) -> None:
    """A request that nobody decent would send."""
    body, headers = rng.choice(ATTACKS)
    try:
        response = await client.post(
            "/chat/completions",
            content=body,
            headers={"Content-Type": "application/json"} | headers,
        )
        tally.hostile[response.status_code] += 1
    except httpx.ConnectError:
        tally.statuses["not accepted"] += 1
    except httpx.HTTPError as error:
        tally.unexplained.append(f"hostile: {type(error).__name__}")


def _attack(url: str, text: str = "what?", **fields: Any) -> bytes:
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
    return json.dumps({"messages": [{"role": "user", "content": content}], **fields}).encode()


def _png(width: int, height: int) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


ATTACKS: list[tuple[bytes, dict[str, str]]] = [
    (b"{", {}),
    (b"[" * 50_000, {}),
    (b"\xff\xfe", {}),
    (b"{}", {"Content-Type": "text/plain"}),
    (_attack("/etc/passwd"), {}),
    (_attack("file:///etc/passwd"), {}),
    (_attack("http://169.254.169.254/latest"), {}),
    (_attack("data:image/png;base64," + _png(1, 1)), {}),
    (_attack("data:image/png;base64," + _png(9000, 1)), {}),
    (_attack("data:image/png;base64," + base64.b64encode(b"\x89PNG" + bytes(99)).decode()), {}),
    (_attack("data:image/png;base64,@@@"), {}),
    (_attack("x" * 100_000), {}),
    (_attack("data:,", max_tokens=10**9), {}),
    (_attack("data:,", n=10_000), {}),
    (_attack("data:,", prompt_embeds="AAAA"), {}),
    (_attack("data:,", text="y" * 200_000), {}),
    (json.dumps({"messages": [{"role": "user", "content": "<|image_pad|>" * 500}]}).encode(), {}),
]


async def gauge(client: httpx.AsyncClient, name: str) -> float:
    """A number of the server's own metrics; 0 where it does not answer any more."""
    try:
        text = (await client.get(str(client.base_url.copy_with(path="/metrics")))).text
    except httpx.HTTPError:
        return 0.0
    found = re.search(rf"^qzoom_{name} (\S+)", text, re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+)", text)
    return round(int(found.group(1)) / 1000, 1) if found else 0.0


if __name__ == "__main__":
    main()
