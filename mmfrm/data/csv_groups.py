"""The column of a table that says who is who: recognised by its name, or chosen. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mmfrm.data.layout import Column, Groups
from mmfrm.failures import JobError
from mmfrm.jobs import NO_GROUPS

GROUP_NAMES = ("group", "subject", "subject id", "person", "person id", "identity", "participant", "actor")
MOST_VALUES = 10_000  # a column is not counted further


def plain(header: Sequence[str]) -> list[str]:
    """The names of columns, however they are written."""
    return [cell.lower().replace("_", " ").replace("-", " ") for cell in header]


def column_named(header: Sequence[str], names: Sequence[str]) -> int | None:
    """The column with the first of these names that there is."""
    written = plain(header)
    return next((written.index(name) for name in names if name in written), None)


@dataclass
class CsvGroups:
    """What the tables of a source have seen so far of columns that may group their samples."""

    wanted: str = ""  # the column asked for; "": the one that is recognised; "-": none
    by: str = ""
    recognised: str = ""
    seen: dict[str, set[str]] = field(default_factory=dict)
    example: dict[str, str] = field(default_factory=dict)

    def choose(self, header: Sequence[str]) -> int | None:
        """The column of a table by which its rows are grouped."""
        at = column_named(header, GROUP_NAMES)
        self.recognised = self.recognised or (header[at] if at is not None else "")
        if self.wanted:
            at = header.index(self.wanted) if self.wanted in header else None
        return at

    def see(self, columns: Mapping[str, int], cells: Sequence[str]) -> None:
        """Take note of a row."""
        for name, at in columns.items():
            if name in ("", NO_GROUPS):  # such a column cannot be asked for
                continue
            values = self.seen.setdefault(name, set())
            value = cells[at] if at < len(cells) else ""
            if value and len(values) < MOST_VALUES:
                values.add(value)
                self.example.setdefault(name, value)

    def found(self) -> Groups | None:
        """Which column groups, and which others could. None where there is no further column.

        Raises JobError where the wanted one is not there.
        """
        if self.wanted not in ("", NO_GROUPS) and self.wanted not in self.seen:
            others = f"it has {', '.join(self.seen)}" if self.seen else "it has no further columns"
            raise JobError(f"The table has no column {self.wanted} to group by; {others}.", resumable=False)
        if not self.seen:
            return None
        columns = [
            Column(name=name, values=len(values), example=self.example.get(name, "")[:80])
            for name, values in self.seen.items()
        ]
        why = "its name says so" if self.recognised else "no column is named after people"
        return Groups(by=self.by, recognised=self.recognised, why=why, columns=columns)
