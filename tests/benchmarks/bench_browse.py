"""How long the server takes for a page of a large data set: unsorted, and sorted by what a model said.

    python -m tests.benchmarks.bench_browse [--faces 200000] [--rounds 5]

Makes the rows of a data set and of one model's scores in a database of its own (SQLite, as the embedded mode
has it), and asks for pages as a browser does. Prints the slowest twentieth and the median of each page's time
in this process, which other work on the machine hardly touches, and the number of queries of each.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterable

FILTERS = (
    "", "page=1600", "page=last", "split=test", "split=train&page=800", "label=fear&page=200", "text=9999",
    "text=image", "text=image&page=1600", "text=no such face", "flag=near_constant", "votes=half&page=900",
    "split=train&label=anger&text=77",
)  # fmt: skip


def scores_of(scoring_id: int, version_id: int) -> Iterable[dict[str, object]]:
    """A score for each face, as `webapp.registry.scoring` writes them; one in fifty has no loss."""
    from webapp.datasets.models import Sample
    from webapp.registry.models import AS_FILTERED

    chance = random.Random(0)
    for row in Sample.objects.filter(version=version_id).values("pk", *AS_FILTERED).iterator(2000):
        sure, has_loss = chance.random(), chance.random() > 0.02
        yield {
            "scoring_id": scoring_id, "sample_id": row.pop("pk"), "answer": 0, "probabilities": "[0.7, 0.3]",
            "confidence": sure, "loss": chance.expovariate(1) if has_loss else None,
            "disagreement": round(sure, 2) if has_loss else None, **row,
        }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "DATA_DIR": folder}
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        measure(chosen.faces, chosen.rounds)


def measure(faces: int, rounds: int) -> None:
    """Fill the database and ask."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext
    from django.urls import get_resolver, reverse

    from tests.webapp.test_datasets import write_many
    from webapp.accounts.models import User
    from webapp.datasets import loading, services
    from webapp.datasets.ordering import SORTS
    from webapp.jobs import services as jobs
    from webapp.jobs.models import Job
    from webapp.registry.models import Model, Score, Scoring

    get_resolver().url_patterns  # noqa: B018 - imports all views
    user = User.objects.create_user("bench", password="a long pass phrase", role="editor")
    version = services.draw(user).versions.get()
    write_many(version.folder, faces)
    loading.load(version)
    model = Model.objects.create(owner=user, name="Bench", classes=version.classes)
    job = jobs.create(kind="score", queue="cpu", owner=user, title="Score")
    Job.objects.filter(pk=job.pk).update(state=Job.State.FINISHED)
    scoring = Scoring.objects.create(version=version, model=model, job=job)
    begun = time.monotonic()
    loading._insert(Score, scores_of(scoring.pk, version.pk))
    print(f"{faces:,} faces; their scores were written in {time.monotonic() - begun:.1f} s", flush=True)
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    address = reverse("datasets:faces", args=[version.dataset_id, version.number])
    client.get(address)
    for sort in ("", *SORTS):
        all_took, asked = [], set()
        for query in FILTERS:
            took = []
            for _ in range(rounds):
                begun = time.process_time()
                answer = client.get(f"{address}?{query}&sort={sort}")
                took.append(time.process_time() - begun)
                assert answer.status_code == 200
            with CaptureQueriesContext(connection) as queries:
                client.get(f"{address}?{query}&sort={sort}")
            asked.add(len(queries))
            all_took += took
            print(f"  {sort or 'unsorted':14} {query or 'all':32} {1000 * statistics.median(took):6.0f} ms")
        p95 = sorted(all_took)[int(0.95 * len(all_took))]
        print(
            f"{sort or 'unsorted':14} 95th percentile {1000 * p95:.0f} ms, queries a page {sorted(asked)}",
            flush=True,
        )


if __name__ == "__main__":
    main()
