"""Reviewing a batch: who is handed which face, what is kept of what people say, what the figures mean."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.webapp.reviewing import CLASSES, ask, indexes, make_batch, row, say
from webapp.accounts.models import User
from webapp.labeling import review
from webapp.labeling.estimate import wilson
from webapp.labeling.models import Correction, LabelBatch, Prediction

pytestmark = pytest.mark.django_db


@pytest.fixture
def batch(editor: User) -> LabelBatch:
    return make_batch(editor)


def test_two_reviewers_and_two_tabs_are_never_handed_the_same_face(
    editor: User, administrator: User, client_of: Any, batch: LabelBatch
) -> None:
    mine, theirs = client_of(editor), client_of(administrator)
    first = indexes(ask(mine, batch, "a"))
    assert first == list(range(29, 19, -1)), "the least confident come first"
    second, third = indexes(ask(mine, batch, "b")), indexes(ask(theirs, batch, "a"))
    assert len({*first, *second, *third}) == 30
    assert indexes(ask(theirs, batch, "c")) == []
    assert indexes(ask(mine, batch, "a")) == first, "a page that was reloaded goes on with its faces"


def test_a_face_whose_loan_ran_out_goes_to_somebody_else(
    editor: User, administrator: User, client_of: Any, batch: LabelBatch
) -> None:
    mine, theirs = client_of(editor), client_of(administrator)
    held = indexes(ask(mine, batch, "a", 2))
    assert ask(mine, batch, "a", 0, holding=held)["kept"] == sorted(held)
    Prediction.objects.filter(index__in=held).update(leased_until=timezone.now() - review.LEASE)
    assert indexes(ask(theirs, batch, "b", 2)) == held
    assert ask(mine, batch, "a", 0, holding=held)["kept"] == []


def test_faces_of_a_page_that_was_left_go_to_the_next_at_once_but_not_those_borrowed_since(
    editor: User, client_of: Any, batch: LabelBatch
) -> None:
    client, url = client_of(editor), reverse("labeling:give_back", args=[batch.pk])

    def leave(page: str, until: str) -> Any:
        return client.post(url, {"page": page, "until": until}, content_type="application/json")

    first = ask(client, batch, "a")
    assert leave("b", first["until"]).json() == {"freed": 0}, "another page's are not given back"
    assert leave("a", first["until"]).json() == {"freed": 10}
    again = ask(client, batch, "c")
    assert indexes(again) == indexes(first)
    ask(client, batch, "c", 0, holding=indexes(again))  # a reload borrows before the farewell arrives
    assert leave("c", again["until"]).json() == {"freed": 0}
    for nonsense in ("", "2026-02-30T00:00:00+00:00", "2026-02-03T00:00:00"):
        assert leave("c", nonsense).status_code == 400


def test_what_is_counted_with_every_answer_is_read_from_an_index_however_many_faces_there_are(
    editor: User, client_of: Any, batch: LabelBatch
) -> None:
    say(client_of(editor), batch, row(0), row(1, 0))
    with CaptureQueriesContext(connection) as asked:
        assert review.standing(batch, editor).reviewed == 2
    plans = {}
    with connection.cursor() as cursor:
        for query in asked.captured_queries:
            cursor.execute("EXPLAIN QUERY PLAN " + query["sql"])
            plans[query["sql"]] = " ".join(str(line[3]) for line in cursor.fetchall())
    counting = [plan for sql, plan in plans.items() if "GROUP BY" in sql]
    assert len(counting) == 1
    assert "USING COVERING INDEX faces_counted" in counting[0]
    first_open = [
        plan for sql, plan in plans.items() if sql.startswith('SELECT "labeling_prediction"."draw"')
    ]
    assert len(first_open) == 2
    assert all("faces_at_random" in plan and "TEMP B-TREE" not in plan for plan in first_open)


def test_orders_and_what_is_left(editor: User, client_of: Any, batch: LabelBatch) -> None:
    client = client_of(editor)
    assert indexes(ask(client, batch, "a", 3, order="file")) == [29, 28, 27]
    drawn = list(batch.predictions.filter(label=0).order_by("draw", "index").values_list("index", flat=True))
    assert indexes(ask(client, batch, "b", 24, order="random")) == [i for i in drawn if i < 27][:24]
    say(client, batch, row(0), row(1, None, "skipped"), row(2, None, "unsure"), row(3, None, "not_a_face"))
    Prediction.objects.update(leased_until=None)
    assert not {0, 1, 2, 3} & set(indexes(ask(client, batch, "c", 24, order="file")))


def test_an_answer_that_is_sent_twice_is_kept_once_with_who_and_when(
    editor: User, client_of: Any, batch: LabelBatch
) -> None:
    sent = row(4) | {"said_at": "2020-01-02T03:04:05Z"}
    client = client_of(editor)
    assert say(client, batch, sent)["fates"] == {sent["key"]: "kept"}
    assert say(client, batch, sent, sent)["fates"] == {sent["key"]: "kept"}
    kept = Correction.objects.get()
    assert (kept.by, kept.label, kept.said_at.year) == (editor, 1, 2020)
    late = row(5) | {"said_at": "2999-01-01T00:00:00Z"}
    say(client, batch, late)
    assert Correction.objects.get(key=late["key"]).said_at <= timezone.now(), "no clock runs ahead of ours"


def test_the_latest_holds_and_undo_is_a_row_that_restores_what_held(
    editor: User, client_of: Any, batch: LabelBatch
) -> None:
    client = client_of(editor)
    first, second = row(7, 1), row(7, 2)
    say(client, batch, first, second)

    def holds() -> tuple[str, int | None]:
        face = batch.predictions.get(index=7)
        return face.verdict, face.corrected

    assert holds() == ("label", 2)
    for undone, left in ((second, ("label", 1)), (first, ("", None))):
        say(client, batch, {"key": str(uuid.uuid4()), "index": 7, "undoes": undone["key"]})
        assert holds() == left
    assert Correction.objects.count() == 4
    assert batch.predictions.get(index=7).reviewed_by is None


def test_undo_never_takes_back_what_somebody_else_said(
    editor: User, administrator: User, client_of: Any, batch: LabelBatch
) -> None:
    mine, theirs = row(7, 1), row(7, 2)
    say(client_of(editor), batch, mine)
    say(client_of(administrator), batch, theirs)
    undo = {"key": str(uuid.uuid4()), "index": 7, "undoes": mine["key"]}
    assert say(client_of(editor), batch, undo)["fates"][undo["key"]] == "overtaken"
    early = {"key": str(uuid.uuid4()), "index": 7, "undoes": str(uuid.uuid4())}
    assert say(client_of(editor), batch, early)["fates"][early["key"]] == "early"
    assert batch.predictions.get(index=7).corrected == 2


def test_what_would_take_back_a_refused_answer_is_refused_and_an_undo_of_nothing_does_not_come_for_ever(
    editor: User, administrator: User, client_of: Any, batch: LabelBatch
) -> None:
    say(client_of(administrator), batch, row(7, 2))
    late = row(7, 1) | {"said_at": (timezone.now() - timedelta(minutes=5)).isoformat()}
    undo = {"key": str(uuid.uuid4()), "index": 7, "undoes": late["key"]}
    fates = say(client_of(editor), batch, late, undo)["fates"]
    assert fates == {late["key"]: "overtaken", undo["key"]: "overtaken"}
    lost = {"key": str(uuid.uuid4()), "index": 99, "undoes": None, "verdict": "unsure", "label": None}
    undo = {"key": str(uuid.uuid4()), "index": 7, "undoes": lost["key"]}
    assert say(client_of(editor), batch, lost, undo)["fates"][undo["key"]] == "overtaken"
    for hours, fate in ((23, "early"), (25, "overtaken")):
        said_at = (timezone.now() - timedelta(hours=hours)).isoformat()
        stuck = {"key": str(uuid.uuid4()), "index": 7, "undoes": str(uuid.uuid4()), "said_at": said_at}
        assert say(client_of(editor), batch, stuck)["fates"][stuck["key"]] == fate


def test_a_word_that_waited_does_not_replace_a_newer_one_of_somebody_else(
    editor: User, administrator: User, client_of: Any, batch: LabelBatch
) -> None:
    """The second person's clock is an hour slow, the first one's an hour fast: that changes nothing."""
    now, hour = timezone.now(), timedelta(hours=1)

    def send(user: User, minutes_ago: int, clock: timedelta, label: int) -> str:
        said = row(7, label) | {"said_at": (now - timedelta(minutes=minutes_ago) + clock).isoformat()}
        url = reverse("labeling:say", args=[batch.pk])
        body = {"rows": [said], "sent_at": (now + clock).isoformat()}
        answer = client_of(user).post(url, body, content_type="application/json")
        fate: str = answer.json()["fates"][said["key"]]
        return fate

    assert send(administrator, 5, hour, 2) == "kept"
    assert send(editor, 10, -hour, 1) == "overtaken", "said before, but waited for a connection"
    assert batch.predictions.get(index=7).corrected == 2
    assert Correction.objects.get().said_at - now + timedelta(minutes=5) < timedelta(minutes=1)
    assert send(administrator, 7, hour, 0) == "kept", "one's own words hold in the order they come"
    assert send(editor, 1, -hour, 1) == "kept"
    assert batch.predictions.get(index=7).corrected == 1


@pytest.mark.parametrize("sent_at", [None, 7, "2026-02-30T00:00:00Z", "2020-01-01T00:00:00"])
def test_a_page_that_tells_no_sound_time_is_believed_its_clock(
    sent_at: object, editor: User, client_of: Any, batch: LabelBatch
) -> None:
    said = row(7) | {"said_at": "2020-01-02T03:04:05Z"}
    body = {"rows": [said], "sent_at": sent_at}
    url = reverse("labeling:say", args=[batch.pk])
    client_of(editor).post(url, body, content_type="application/json")
    assert Correction.objects.get().said_at.isoformat() == "2020-01-02T03:04:05+00:00"
    body = {"rows": [row(8) | {"said_at": "9999-12-31T00:00:00Z"}], "sent_at": "0001-01-01T00:00:00Z"}
    answer = client_of(editor).post(url, body, content_type="application/json")
    assert list(answer.json()["fates"].values()) == ["gone"]


@pytest.mark.parametrize("holding", [[2**70], [-1], ["1"], "all"])
def test_what_no_page_of_ours_holds_is_refused(
    editor: User, client_of: Any, batch: LabelBatch, holding: object
) -> None:
    url = reverse("labeling:next_faces", args=[batch.pk])
    asked = {"page": "a", "count": 1, "holding": holding}
    assert client_of(editor).post(url, asked, content_type="application/json").status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"index": 99}, {"index": 30}, {"index": -1}, {"index": "0"}, {"label": 3}, {"label": None},
        {"label": True}, {"verdict": ""}, {"verdict": "boss"}, {"key": "no"}, {"verdict": "unsure"},
        {"said_at": "2020-01-01T00:00:00"},
    ],
)  # fmt: skip
def test_what_no_page_of_ours_says_is_not_kept(
    wrong: dict[str, Any], editor: User, client_of: Any, batch: LabelBatch
) -> None:
    sent = row(0) | wrong
    good = row(1)
    fates = say(client_of(editor), batch, sent, good)["fates"]
    assert fates == {str(sent["key"]): "gone", good["key"]: "kept"}
    assert Correction.objects.count() == 1


def test_accuracy_comes_from_the_gapless_beginning_of_the_random_order_alone(
    editor: User, client_of: Any, batch: LabelBatch
) -> None:
    client = client_of(editor)
    drawn = list(batch.predictions.filter(label=0).order_by("draw").values_list("index", flat=True))
    told = say(client, batch, *(row(i, 1) for i in drawn[10:]))
    assert told["standing"]["accuracy"] is None, "hand-picked faces say nothing of the rest"
    answers = [row(i, 0) for i in drawn[:6]] + [row(drawn[6], 2), row(drawn[7], None, "unsure")]
    estimate = say(client, batch, *answers)["standing"]["accuracy"]
    assert estimate["of"] == 7
    assert estimate["share"] == pytest.approx(6 / 7)
    assert told["standing"]["changed"] == 20


def test_wilson_intervals_agree_with_published_ones() -> None:
    for right, of, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)):
        found = wilson(right, of)  # Newcombe, Statistics in Medicine 17, 1998, table I, method 3
        assert found is not None
        assert [found.low, found.high] == pytest.approx([low, high], abs=1e-4)
    assert wilson(0, 0) is None


def test_the_pages_show_what_was_said_and_filter_by_it(
    editor: User, client_of: Any, batch: LabelBatch
) -> None:
    client = client_of(editor)
    say(client, batch, row(0, 0), row(1, 2), row(2, None, "unsure"))
    url = reverse("labeling:faces", args=[batch.pk])

    def shown(query: str) -> list[int]:
        return [item.row.index for item in client.get(f"{url}?{query}").context["shown"]]

    assert shown("review=reviewed") == [0, 1, 2]
    assert shown("review=changed") == [1]
    assert shown("review=unsure") == [2]
    assert shown("review=open") == list(range(3, 30))
    page = client.get(reverse("labeling:review", args=[batch.pk])).content.decode()
    assert all(f'data-label="{i}"' in page for i in range(len(CLASSES)))
