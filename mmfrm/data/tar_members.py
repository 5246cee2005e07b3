"""Members of tars that are read with caps: tarfile takes a member's own headers into memory whole. No torch.

A long name, a table of attributes or the map of a sparse file may be as large as its header says, and under
a compression costs its sender nothing. tarfile offers `tarinfo=` for classes of one's own, and calls these
methods of them; they are private, so the tests would tell if that changed.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

from mmfrm.data.entries import READ_ERRORS

MAX_HEADER_BYTES = 2**20  # real ones have some hundred bytes
_READ_WHOLE = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.XGLTYPE,
)


class Member(tarfile.TarInfo):
    """A member whose headers are small, or tarfile.HeaderError."""

    __slots__ = ()

    def _proc_member(self, archive: Any) -> Any:
        size = self.size
        if size < 0:  # would be read as "everything", or lead back to where we came from
            raise tarfile.HeaderError(f"a size of {size:,} bytes")
        if self.type == tarfile.XGLTYPE:  # those of the whole archive pile up
            size += sum(len(name) + len(value) for name, value in archive.pax_headers.items())
        if self.type in _READ_WHOLE and size > MAX_HEADER_BYTES:
            raise tarfile.HeaderError(f"a header of {size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]

    def _proc_sparse(self, archive: Any) -> Member:
        """Pass over the map: sparse files are refused, so where their pieces lie does not matter."""
        _, more, real_size = self._sparse_structs  # type: ignore[attr-defined]
        while more:
            block = archive.fileobj.read(tarfile.BLOCKSIZE)
            more = len(block) == tarfile.BLOCKSIZE and block[504] != 0
        self.sparse = b""  # anything but None says that it is one
        self.offset_data = archive.fileobj.tell()
        archive.offset = self.offset_data + self._block(self.size)  # type: ignore[attr-defined]
        self.size = real_size
        return self

    def _proc_gnusparse_10(self, member: Any, _headers: Any, _archive: Any) -> None:
        """As above, for the map that stands before the content; the content is never read."""
        member.sparse = b""


def is_tar(path: Path) -> bool:
    """Whether a file begins as a tar that may be read, under any compression Python knows."""
    try:
        tarfile.open(path, tarinfo=Member).close()
    except OSError:
        raise  # not the content: the file itself cannot be read
    except (*READ_ERRORS, tarfile.TarError):
        return False
    return True
