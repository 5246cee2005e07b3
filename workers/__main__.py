"""python -m workers up | work QUEUE | reaper | prepare | health SERVICE.

    up            the whole embedded mode under one supervising process (what `make run` runs)
    work QUEUE    take jobs from a queue: gpu or cpu
    reaper        put back what lost its worker
    prepare       bring database and static files up to date
    health NAME   exit code 0 if this machine's web, gpu, cpu or reaper service does its work

In server mode each of these, but the first, is a service of its own (see docker-compose.yml).
"""

from __future__ import annotations

import sys

WRONG_USAGE = 2
COMMAND_LINES = {
    ("work", "gpu"),
    ("work", "cpu"),
    ("reaper",),
    ("prepare",),
    *(("health", name) for name in ("web", "gpu", "cpu", "reaper")),
}
OLDEST = (3, 11)


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit code. Nothing here is newer than the oldest Python that may ask."""
    if sys.version_info < OLDEST:
        print("Python 3.11 or newer is needed; this is %d.%d." % sys.version_info[:2], file=sys.stderr)  # noqa: UP031
        return WRONG_USAGE
    name, rest = (arguments or [""])[0], arguments[1:]
    if name == "up" and not rest:
        from workers.supervisor import up

        return up()
    if name == "undertaker" and len(rest) == 1:  # started by `up`
        from workers.undertaker import attend

        return attend(rest[0])
    if (name, *rest) in COMMAND_LINES:
        from workers.commands import COMMANDS

        return COMMANDS[name](*rest)
    print(__doc__, file=sys.stderr)
    return WRONG_USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
