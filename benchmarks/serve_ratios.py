"""What batching and known images are worth to a server: ratios taken in one run.

Eight users at once against one, in turns, with answers of a given length; the time to the first
text of a second question about a picture against that of the first.

    PYTHONPATH=. python benchmarks/serve_ratios.py --out benchmarks/results/serving.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from itertools import count
from pathlib import Path
from typing import Any

import httpx
from benchmarks.serving import server

from qzoom.bench.load.client import ask
from qzoom.bench.load.run import closed_loop, served_name
from qzoom.bench.load.summary import summarised
from qzoom.bench.load.traffic import Traffic
from qzoom.eval.machine import machine

USERS = 8
PICTURES = 16
LOOKS: dict[str, dict[str, Any]] = {"direct": {"direct": True}, "zoomed": {"gate_threshold": 0.0}}


def main() -> None:
    """Run and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with server(args.threads) as (_, url):
        report = asyncio.run(measured(url, args.repeats))
    report["machine"] = machine() | {"threads": args.threads, "dtype": "float32"}
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")


async def measured(url: str, repeats: int) -> dict[str, Any]:
    """Both comparisons."""
    name = await served_name(url, None)
    return {
        "users": [await users(url, name, new, repeats) for new in (8, 16, 32, 64)],
        "second_question": {look: await second(url, name, look) for look in LOOKS},
    }


async def users(url: str, name: str, new_tokens: int, repeats: int) -> dict[str, Any]:
    """Requests a second of eight users and of one; every picture is known to the server."""
    mix = Traffic(name, PICTURES, fire_rate=0.35, new_tokens=new_tokens, exact=True)
    await closed_loop(url, None, mix.requests(), 2 * PICTURES, 2)
    rates: dict[int, list[float]] = {1: [], USERS: []}
    for _ in range(repeats):
        for crowd, found in rates.items():
            outcomes, seconds = await closed_loop(url, None, mix.requests(), 4 * USERS, crowd)
            assert all(outcome.answered for outcome in outcomes)
            found.append(summarised(outcomes, seconds)["requests_per_s"])
    ratios = [many / one for one, many in zip(rates[1], rates[USERS], strict=True)]
    per_s = {str(crowd): statistics.median(found) for crowd, found in rates.items()}
    return {"new_tokens": new_tokens, "requests_per_s": per_s, "ratio": statistics.median(ratios)}


async def second(url: str, name: str, look: str) -> dict[str, Any]:
    """Seconds to the first text of the first question about a picture, and of another one."""
    salts, firsts, seconds = count(), list[float](), list[float]()
    bodies = Traffic(name, PICTURES, fire_rate=0.0, new_tokens=4, seed=1).requests()
    async with httpx.AsyncClient(base_url=url, timeout=60.0, trust_env=False) as client:
        for _ in range(24):
            body = next(bodies) | {"qzoom": LOOKS[look], "cache_salt": f"{look}-{next(salts)}"}
            other = json.loads(json.dumps(body))
            other["messages"][0]["content"][1]["text"] = "how many signs are there?"
            for each, found in ((body, firsts), (other, seconds)):
                outcome = await ask(client, each)
                assert outcome.first_s is not None
                found.append(outcome.first_s)
    ratio = statistics.median(b / a for a, b in zip(firsts, seconds, strict=True))
    medians = {"first_s": statistics.median(firsts), "second_s": statistics.median(seconds)}
    return medians | {"ratio": ratio}


if __name__ == "__main__":
    main()
