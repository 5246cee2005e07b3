"""Several people label each face, apart from each other; where they differ somebody decides."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from tests.webapp.reviewing import CLASSES, ask, indexes, make_batch, row, say
from webapp.accounts.models import User
from webapp.labeling import keeping, review, standing
from webapp.labeling.agreement import agreement
from webapp.labeling.models import Answer, Correction, LabelBatch

pytestmark = pytest.mark.django_db


@pytest.fixture
def batch(editor: User) -> LabelBatch:
    batch = make_batch(editor)
    standing.want_labels(batch, 2)
    batch.refresh_from_db()
    return batch


@pytest.fixture
def third(db: None) -> User:
    return User.objects.create_user("tess", password="a long pass phrase", role="editor")


def held(batch: LabelBatch, index: int) -> tuple[str, int | None, str | None]:
    face = batch.predictions.get(index=index)
    return face.verdict, face.corrected, None if face.reviewed_by is None else str(face.reviewed_by)


def test_a_face_goes_to_two_people_once_each_and_its_answers_stay_apart(
    editor: User, administrator: User, third: User, client_of: Any, batch: LabelBatch
) -> None:
    ada, ben, tess = client_of(editor), client_of(administrator), client_of(third)
    mine = indexes(ask(ada, batch, "a", 4))
    assert indexes(ask(ben, batch, "b", 4)) != mine, "not while somebody else looks at it"
    told = say(ada, batch, *(row(i, 1) for i in mine[:3]), row(mine[3], None, "skipped"))
    assert told["standing"]["reviewed"] == 0
    assert told["standing"]["mine"] == 4
    assert not set(mine) & set(indexes(ask(ada, batch, "other tab", 24)))
    assert held(batch, mine[0]) == ("", None, None), "half a pair decides nothing, and nobody is told of it"

    offered = indexes(ask(tess, batch, "t", 4))
    assert offered == mine, "at once, the skipped one too"
    say(tess, batch, row(mine[0], 1), row(mine[1], 2), row(mine[2], None, "unsure"), row(mine[3], 1))
    assert held(batch, mine[0]) == ("label", 1, str(third))
    assert held(batch, mine[1]) == held(batch, mine[2]) == ("conflict", None, None)
    assert held(batch, mine[3]) == ("", None, None), "a skip is no answer"
    batch.predictions.update(leased_until=None)
    left = indexes(ask(ben, batch, "b", 24))
    assert mine[3] in left, "a third person may give the answer that is missing"
    assert not set(mine[:3]) & set(left)


def test_a_face_is_not_lent_again_to_who_answers_while_the_page_renews_its_loans(
    editor: User, administrator: User, client_of: Any, batch: LabelBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = client_of(editor), client_of(administrator)
    [face] = indexes(ask(mine, batch, "a", 1))
    free_for = review._free_for

    def answered_meanwhile(whose: str) -> Any:
        monkeypatch.setattr(review, "_free_for", free_for)
        say(mine, batch, row(face))  # after the page's faces were looked up, before they are lent
        return free_for(whose)

    monkeypatch.setattr(review, "_free_for", answered_meanwhile)
    assert ask(mine, batch, "a", 0, holding=[face])["kept"] == []
    assert face in indexes(ask(theirs, batch, "b", 24)), "the second person is asked at once"


def test_a_conflict_is_decided_by_the_owner_or_a_third_person_and_can_be_taken_back(
    editor: User, administrator: User, third: User, client_of: Any, batch: LabelBatch
) -> None:
    ada, ben, tess = client_of(editor), client_of(administrator), client_of(third)
    say(tess, batch, row(3, 0), row(4, 0))
    say(ben, batch, row(3, 1), row(4, 1))
    assert indexes(ask(tess, batch, "t", 9, deciding=True)) == [], "who has answered is no third person"
    own = row(3, 0) | {"decides": True}
    assert say(tess, batch, own)["fates"][own["key"]] == "overtaken"

    told = ask(ada, batch, "a", 9, deciding=True)
    assert indexes(told) == [4, 3]
    assert [(a["by"], a["label"]) for a in told["faces"][0]["answers"]] == [
        (str(third), 0), (str(administrator), 1),
    ]  # fmt: skip
    decision, second = row(3, 2) | {"decides": True}, row(4, 1) | {"decides": True}
    say(ada, batch, decision, second)
    assert held(batch, 3) == ("label", 2, str(editor))
    say(ada, batch, {"key": str(uuid.uuid4()), "index": 3, "undoes": decision["key"]})
    assert held(batch, 3) == ("conflict", None, None)
    again = row(4, 0) | {"decides": True}
    assert say(ada, batch, again)["fates"][again["key"]] == "kept", "one may think again"
    assert held(batch, 4) == ("label", 0, str(editor))
    assert Answer.objects.filter(prediction__batch=batch).count() == 4, "a decision is no answer"
    assert Correction.objects.filter(decides=True).count() == 4, "all of it is kept"


def test_an_answer_is_taken_back_by_who_gave_it_without_touching_the_others(
    editor: User, administrator: User, client_of: Any, batch: LabelBatch
) -> None:
    first = row(5, 1)
    say(client_of(editor), batch, first)
    say(client_of(administrator), batch, row(5, 1))
    assert held(batch, 5)[:2] == ("label", 1)
    undo = {"key": str(uuid.uuid4()), "index": 5, "undoes": first["key"]}
    assert say(client_of(editor), batch, undo)["fates"][undo["key"]] == "kept"
    assert held(batch, 5) == ("", None, None)
    say(client_of(editor), batch, row(5, 2))
    assert held(batch, 5)[0] == "conflict"
    standing.want_labels(batch, 1)
    assert held(batch, 5) == ("label", 2, str(editor)), "one label a face: the latest holds"
    standing.want_labels(batch, 2)
    assert held(batch, 5)[0] == "conflict"


def test_of_three_answers_two_decide(
    editor: User, administrator: User, third: User, client_of: Any, batch: LabelBatch
) -> None:
    standing.want_labels(batch, 3)
    for client, labels in ((editor, (1, 0)), (administrator, (1, 1)), (third, (0, 2))):
        say(client_of(client), batch, row(6, labels[0]), row(7, labels[1]))
    assert held(batch, 6) == ("label", 1, str(administrator))
    assert held(batch, 7)[0] == "conflict"


def test_an_answer_is_weighed_by_how_many_are_asked_when_it_is_kept_not_when_its_request_began(
    editor: User, administrator: User, client_of: Any, batch: LabelBatch
) -> None:
    ada, ben = client_of(editor), client_of(administrator)
    of_two = LabelBatch.objects.get(pk=batch.pk)
    standing.want_labels(batch, 1)
    of_one = LabelBatch.objects.get(pk=batch.pk)
    keeping.keep(of_two, editor, [keeping.parse(row(3, 1), len(CLASSES))])
    assert held(batch, 3) == ("label", 1, str(editor)), "one is asked now, and has answered"

    standing.want_labels(batch, 2)
    keeping.keep(of_one, editor, [keeping.parse(row(4, 1), len(CLASSES))])
    assert held(batch, 4) == ("", None, None), "a second person is still to answer"
    say(ben, batch, row(4, 2))
    assert held(batch, 4)[0] == "conflict"
    say(ada, batch, row(5, 0))
    early = row(5, 2) | {"said_at": (timezone.now() - timedelta(hours=1)).isoformat()}
    fates = keeping.keep(of_one, administrator, [keeping.parse(early, len(CLASSES))])
    assert list(fates.values()) == ["kept"], "where two are asked, the first to answer overtakes nobody"


def test_the_page_tells_who_differs_from_whom_and_only_the_owner_says_how_many_are_asked(
    editor: User, administrator: User, third: User, client_of: Any, batch: LabelBatch
) -> None:
    ada, ben, tess = client_of(editor), client_of(administrator), client_of(third)
    say(ada, batch, *(row(i, 0) for i in range(10)), row(10, None, "not_a_face"), row(11, None, "unsure"))
    say(ben, batch, *(row(i, 0) for i in range(5)), *(row(i, 1) for i in range(5, 8)))
    say(tess, batch, row(8, 2), row(9, 0), row(10, None, "not_a_face"), row(11, 0), row(20, 1))
    found = agreement(LabelBatch.objects.get(pk=batch.pk))
    assert (found.answered, found.unsure, found.compared, found.unanimous) == (12, 1, 11, 7)
    least = found.pairs[0]
    assert (least.first, least.second, least.faces, least.agreed) == (str(editor), str(administrator), 8, 5)
    assert least.apart == ("neutral", "happiness", 3)
    assert found.differences[0][1] == found.differences[1][0] == 3
    assert found.specific == [pytest.approx(2 * 6 / (2 * 6 + 4)), 0.0, 0.0, 1.0]
    url = reverse("labeling:agreement", args=[batch.pk])
    page = tess.get(url).content.decode()
    assert f'{editor}: neutral, {administrator}: happiness <span class="muted">(3 times)' in page
    assert "Fleiss" in page
    want = reverse("labeling:want_labels", args=[batch.pk])
    assert tess.post(want, {"labels_wanted": 1}).status_code == 403
    ada.post(want, {"labels_wanted": 9})
    assert LabelBatch.objects.get(pk=batch.pk).labels_wanted == 2
    ada.post(want, {"labels_wanted": 1})
    assert LabelBatch.objects.get(pk=batch.pk).labels_wanted == 1


def test_where_one_person_labels_each_face_a_correction_is_no_second_opinion(
    editor: User, administrator: User, client_of: Any, batch: LabelBatch
) -> None:
    standing.want_labels(batch, 1)
    say(client_of(editor), batch, row(0, 0), row(1, 1))
    say(client_of(administrator), batch, row(0, 1), row(1, 2))
    found = agreement(LabelBatch.objects.get(pk=batch.pk))
    assert (found.answered, found.kappa, found.pairs) == (0, None, [])
    page = client_of(editor).get(reverse("labeling:agreement", args=[batch.pk])).content.decode()
    assert "ask two or more for each face" in page
    assert "Cohen" not in page
