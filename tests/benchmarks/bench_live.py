"""Whether pages keep up with twenty trainings at ten times their speed, and two hundred sockets with one.

    python -m tests.benchmarks.bench_live [--seconds 60] [--runs 20] [--sockets 200]

Starts the whole embedded product on a data folder of its own, a headless Chromium, and processes that play
workers: each of their threads says what a training says (`tests.synthetic_runs`), in the mix and at ten times
the rate at which a training on two cores was recorded (a step and a progress every 2.1 s, here an epoch every
20 s). Prints the delay from an epoch's end that a worker records to its point on the chart of a watched run,
the longest task of the browser's main thread meanwhile, and how soon and how completely the sockets end.
The machine's load before and after is printed too: on a busy one, compare with the time of writing a row.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.benchmarks.bench_run_page import BLOCKED, WATCH
from tests.feeder import REPOSITORY, Feeder
from tests.product import Product, start_product

SPEED = 10
EPOCH, SAID_EVERY = 20.0, 2.1  # seconds of the recorded training
A_PROCESS = 5  # runs


def play(runs: int, seconds: float) -> None:
    """Be the workers of some runs: answer their keys, wait for a line, play, answer what was told when."""
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings")
    django.setup()
    from django.db import connection, transaction

    from tests import synthetic_runs
    from webapp.accounts.models import User
    from webapp.datasets.models import DatasetVersion
    from webapp.jobs import services
    from webapp.jobs.doorbell import hint_from_a_thread

    hint_from_a_thread()  # as workers do
    story = synthetic_runs.Story(epochs=10_000, steps=int(EPOCH / SAID_EVERY))
    owner = User.objects.filter(role="administrator").earliest("pk")
    played, jobs = [], []
    for number in range(runs):
        with transaction.atomic():  # so that no real worker sees it waiting
            version = DatasetVersion.objects.first() or synthetic_runs.ready_version(owner)
            changes = {"optim.epochs": story.epochs}
            run = synthetic_runs.queued_run(owner, version, name=f"replayed {number}", changes=changes)
            jobs.append(synthetic_runs.play(run, story, range(0)))
            played.append(run.pk)
    over = threading.Event()
    threading.Thread(target=live, args=(jobs, over), daemon=True).start()
    print(json.dumps(played), flush=True)
    sys.stdin.readline()
    told: list[dict[str, Any]] = [{"late": 0.0, "events": 0, "wrote": [], "epochs": {}} for _ in jobs]

    def perform(place: int) -> None:
        start = time.monotonic() + place * EPOCH / SPEED / runs  # not all epochs at once
        for at, event in told_by(story, seconds):
            time.sleep(max(0.0, start + at - time.monotonic()))
            said_at = time.time()
            told[place]["late"] = max(told[place]["late"], time.monotonic() - start - at)
            if event.kind == "epoch":
                told[place]["epochs"][event.epoch + 1] = said_at
            services.record(jobs[place], event)
            told[place]["events"] += 1
            told[place]["wrote"].append(time.time() - said_at)
        connection.close()

    threads = [threading.Thread(target=perform, args=(place,)) for place in range(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    print(json.dumps(told), flush=True)


def live(jobs: Sequence[Any], over: threading.Event) -> None:
    """Give signs of life of all jobs, or the reaper takes them away."""
    from django.db import connection

    from webapp.jobs import services

    while not over.wait(2.0):
        for job in jobs:
            services.heartbeat(job)
    connection.close()


def told_by(story: Any, seconds: float) -> Iterator[tuple[float, Any]]:
    """What a training says, and when: steps with progress between, then the epoch's end."""
    from tests import synthetic_runs

    for epoch in range(int(seconds * SPEED / EPOCH)):
        start = epoch * EPOCH / SPEED
        for place, step in enumerate(story.steps_of(epoch, every=1)):
            at = start + place * SAID_EVERY / SPEED
            yield at, step
            yield at + SAID_EVERY / SPEED / 2, synthetic_runs._progress(story, epoch)
        yield start + EPOCH / SPEED, story.epoch_end(epoch)


def measure_replay(page: Page, product: Product, *, runs: int, seconds: float) -> dict[str, Any]:
    """Seconds from an epoch's end to the chart of one of many runs, all of them going on."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_live", "--seconds", str(seconds), "--play"]
    players = [
        subprocess.Popen(
            [*command, str(min(A_PROCESS, runs - first))], cwd=REPOSITORY, env=dict(product.env), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for first in range(0, runs, A_PROCESS)
    ]  # fmt: skip
    replayed = [_answer(player) for player in players]
    watched = replayed[0][0]
    page.goto(f"{product.url}/experiments/runs/{watched}/")
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(3000)
    page.evaluate(WATCH)
    page.evaluate(BLOCKED)
    for player in players:
        assert player.stdin is not None
        player.stdin.write("go\n")
        player.stdin.flush()
    page.wait_for_timeout(1000 * seconds)
    told = [one for player in players for one in _answer(player)]
    epochs = {int(count): at for count, at in told[0]["epochs"].items()}
    page.wait_for_function(f"() => window.shownAt[{max(epochs)}] !== undefined")
    shown = {int(count): at for count, at in page.evaluate("() => window.shownAt").items()}
    delays = sorted(min(t for n, t in shown.items() if n >= count) - at for count, at in epochs.items())
    late = max(one["late"] for one in told)  # what could not be recorded in time was recorded after it
    wrote = sorted(took for one in told for took in one["wrote"])
    return {
        "runs": len(told),
        "epochs_watched": len(delays),
        "offered_a_second": sum(one["events"] for one in told) / seconds,
        "recorded_a_second": sum(one["events"] for one in told) / (seconds + late),
        "workers_late_s": late,
        "writing_median_s": statistics.median(wrote),
        "writing_p95_s": wrote[int(0.95 * len(wrote))],
        "to_chart_median_s": statistics.median(delays),
        "to_chart_p95_s": delays[int(0.95 * len(delays))],
        "to_chart_worst_s": delays[-1],
        "longest_task_s": page.evaluate("() => window.longest") / 1000,
    }


async def watch(address: str, headers: dict[str, str], until: asyncio.Event, last: list[int]) -> list[int]:
    """One socket: the numbers of all events that it was sent, until it has the last one."""
    import websockets

    seqs: list[int] = []
    async with websockets.connect(address, additional_headers=headers, open_timeout=60) as socket:
        while not (until.is_set() and seqs and seqs[-1] >= last[0]):
            try:
                message = await asyncio.wait_for(socket.recv(), 1.0)
            except TimeoutError:
                continue
            seqs += [event["seq"] for event in json.loads(message)["events"]]
    return seqs


def measure_sockets(product: Product, feeder: Feeder, cookie: str, *, sockets: int) -> dict[str, Any]:
    """How completely and how soon many sockets of one run have what its worker said."""
    job = feeder.do("start watched-by-many")["job"]
    address = f"ws://127.0.0.1:{product.port}/ws/jobs/{job}/?after=0"
    headers = {"Cookie": cookie, "Origin": product.url}
    began = 0.0

    async def everybody() -> list[list[int]]:
        nonlocal began
        over, last = asyncio.Event(), [0]
        watching = [asyncio.create_task(watch(address, headers, over, last)) for _ in range(sockets)]
        await asyncio.sleep(3.0)
        for epoch in range(15):
            await asyncio.to_thread(feeder.do, f"steps {epoch}")
            await asyncio.to_thread(feeder.do, f"epoch {epoch}")
            await asyncio.sleep(1.0)
        last[0] = product.rows("SELECT last_seq FROM jobs_job WHERE id = ?", job)[0][0]
        began = time.monotonic()
        over.set()
        return await asyncio.gather(*watching)

    received = asyncio.run(everybody())
    took = time.monotonic() - began
    stored = [
        seq for (seq,) in product.rows("SELECT seq FROM jobs_jobevent WHERE job_id = ? ORDER BY seq", job)
    ]
    return {
        "sockets": sockets,
        "events": len(stored),
        "sockets_with_every_event": sum(set(stored) <= set(seqs) for seqs in received),
        "sockets_with_doubles": sum(len(seqs) != len(set(seqs)) for seqs in received),
        "last_has_it_after_s": took,
    }


def _answer(player: subprocess.Popen[str]) -> list[Any]:
    assert player.stdout is not None
    line = player.stdout.readline()
    assert line, "a player died"
    answer: list[Any] = json.loads(line)
    return answer


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--sockets", type=int, default=200)
    parser.add_argument("--play", type=int, default=0, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.play:
        play(asked.play, asked.seconds)
        return
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        product = start_product(Path(folder))
        try:
            path = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
            browser = playwright.chromium.launch(
                executable_path=path if Path(path).exists() else None, args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(product.link)
            tell("load", os.getloadavg())
            tell("replay", measure_replay(page, product, runs=asked.runs, seconds=asked.seconds))
            cookie = "; ".join(f"{c.get('name')}={c.get('value')}" for c in page.context.cookies())
            browser.close()
            tell("load", os.getloadavg())
            with Feeder(product.env) as feeder:
                # Playwright owns this thread's event loop.
                found: list[dict[str, Any]] = []
                thread = threading.Thread(
                    target=lambda: found.append(
                        measure_sockets(product, feeder, cookie, sockets=asked.sockets)
                    )
                )
                thread.start()
                thread.join()
                tell("sockets", found[0] if found else "failed")
            tell("load", os.getloadavg())
        finally:
            product.stop()


def tell(what: str, figures: object) -> None:
    print(json.dumps({what: figures}, indent=2), flush=True)


if __name__ == "__main__":
    main()
