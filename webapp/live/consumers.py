"""Sockets. They replay rows after the last seq that the browser has, then follow hints.

Reload, reconnect, late joining and a lost message are one code path.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.db import DatabaseError
from django.utils import timezone
from redis.exceptions import RedisError

from webapp.accounts.models import User
from webapp.jobs import selectors
from webapp.jobs.doorbell import EVERYBODY, group_of, group_of_owner
from webapp.jobs.models import Job
from webapp.live.sessions import user_of

log = logging.getLogger(__name__)

NO_PERMISSION = 4403  # close codes; browsers do not reconnect after these
COALESCE_SECONDS = 0.1  # hints that arrive within this become one message
ENDS_POLL_SECONDS = 30.0  # as below, for what is no hurry
POLL_SECONDS = 5.0  # rows are read this often even when no hint comes: hints may be lost
PAGE = 500  # events a message at most
Ends = tuple[datetime, list[dict[str, Any]], selectors.EndOfJob | None]


class HintedConsumer(AsyncJsonWebsocketConsumer):
    """Waits for hints in one group, and calls `refresh` soon after each, and now and then without one."""

    group: str

    async def follow(self, group: str) -> None:
        """Join and accept, then start to refresh."""
        self.group = group
        self.changed = asyncio.Event()
        self.changed.set()  # the first refresh replays
        await self._join()
        await self.accept()
        self.following = asyncio.create_task(self._follow())

    async def job_changed(self, message: dict[str, Any]) -> None:
        """A hint came."""
        self.changed.set()

    async def disconnect(self, code: int) -> None:
        if hasattr(self, "following"):
            self.following.cancel()
            with contextlib.suppress(OSError, RedisError):
                await self.channel_layer.group_discard(self.group, self.channel_name)

    async def refresh(self) -> bool:
        """Send what is new; False where nobody may be told any more."""
        news = await database_sync_to_async(self._look)()
        if news is None:
            return False
        await self.tell(news)
        return True

    def news(self, user: User) -> Any:
        """What the rows say now; None where `user` may not know. Called in a thread."""
        raise NotImplementedError

    async def tell(self, news: Any) -> None:
        """Send what of it is new."""
        raise NotImplementedError

    def poll_seconds(self) -> float:
        """How long to wait for a hint before looking without one."""
        return POLL_SECONDS

    def _look(self) -> Any:
        """Asked anew each time: a session may end while its page is open, and so may a permission."""
        user = user_of(self.scope)
        return None if user is None else self.news(user)

    async def _join(self) -> None:
        with contextlib.suppress(OSError, RedisError):  # without Redis there are no hints; polling goes on
            await self.channel_layer.group_add(self.group, self.channel_name)

    async def _follow(self) -> None:
        while True:
            try:
                await asyncio.wait_for(self.changed.wait(), self.poll_seconds())
            except TimeoutError:
                await self._join()  # Redis forgets groups after a day, and when it starts anew
            self.changed.clear()
            try:
                if not await self.refresh():
                    await self.close(code=NO_PERMISSION)
                    return
            except DatabaseError:  # locked, restarting: the rows are read again at the next poll
                log.warning("rows could not be read for a socket", exc_info=True)
            await asyncio.sleep(COALESCE_SECONDS)


class JobConsumer(HintedConsumer):
    """One job: `ws/jobs/7/?after=123` sends {"job": snapshot, "events": […]} from event 124 on."""

    async def connect(self) -> None:
        self.job_id = int(self.scope["url_route"]["kwargs"]["job_id"])
        after = parse_qs(self.scope["query_string"].decode()).get("after", ["0"])[0]
        self.seq = int(after) if after.isdigit() else 0
        self.snapshot: dict[str, Any] = {}
        await self.follow(group_of(self.job_id))

    def news(self, user: User) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """Of the head and the events; nothing of a job that `user` may not see."""
        job = Job.objects.filter(pk=self.job_id).first()
        if job is None or not selectors.may_watch(user, job):
            return None
        return selectors.snapshot(job), selectors.events_after(self.job_id, self.seq, PAGE)

    async def tell(self, news: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
        """Send the events, and the head where that has changed."""
        snapshot, events = news
        if events:
            self.seq = events[-1]["seq"]
        if events or snapshot != self.snapshot:
            self.snapshot = snapshot
            await self.send_json({"job": snapshot, "events": events})
        if len(events) == PAGE:
            self.changed.set()


class EndsConsumer(HintedConsumer):
    """One's own jobs that have finished or failed: `ws/ends/?after=2026-01-31T12:00:00+00:00`.

    Sends {"until": moment, "ended": […]}: at once, and whenever there is something new. A moment is no
    number in a sequence, so what ended shortly before `after` comes again; each has a key.
    """

    async def connect(self) -> None:
        user = self.scope["user"]
        if not user.is_authenticated:
            await self.accept()
            await self.close(code=NO_PERMISSION)
            return
        after = parse_qs(self.scope["query_string"].decode()).get("after", [""])[0]
        self.after = selectors.moment(after)
        self.told: set[str] = set()
        self.further: selectors.EndOfJob | None = None  # up to where it was told, if there is more
        self.is_first = True
        await self.follow(group_of_owner(user.pk))

    def news(self, user: User) -> Ends:
        """The moment of looking, the ends, and the last of them where there are more."""
        now = timezone.now()
        return now, *selectors.ends_of(user, self.after, self.further)

    async def tell(self, news: Ends) -> None:
        """Send what this page has not been told; at first also that there is nothing."""
        now, ended, self.further = news
        until = self.further[0] if self.further else now  # whoever leaves now is told the others later
        fresh = [end for end in ended if end["key"] not in self.told]
        if fresh or self.is_first:
            await self.send_json({"until": until.isoformat(), "ended": fresh})
        self.told |= {end["key"] for end in fresh}
        self.is_first, self.after = False, until
        if self.further:
            self.changed.set()

    def poll_seconds(self) -> float:
        """Every page of everybody has one of these."""
        return ENDS_POLL_SECONDS


class JobsConsumer(HintedConsumer):
    """Every job: says {"changed": true} when any has changed, so that lists fetch themselves anew."""

    async def connect(self) -> None:
        if not self.scope["user"].is_authenticated:
            await self.accept()
            await self.close(code=NO_PERMISSION)
            return
        await self.follow(EVERYBODY)

    def news(self, user: User) -> bool:
        """That something may have changed; what it is, each list reads for itself."""
        return True

    async def tell(self, news: bool) -> None:
        """Say so."""
        await self.send_json({"changed": news})
        await asyncio.sleep(1.0 - COALESCE_SECONDS)  # lists need no more than one refresh a second
