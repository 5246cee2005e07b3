"""A corpus of hostile files: each has its verdict, and the good ones beside it always arrive."""

from __future__ import annotations

import gzip
import io
import os
import struct
import subprocess
import sys
import tarfile
import threading
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmfrm.data.archive import open_archive
from mmfrm.data.examine import examine
from mmfrm.data.layout import Item
from mmfrm.data.native import FacePack
from mmfrm.data.pixel_room import PixelRoom
from mmfrm.failures import JobError
from mmfrm.images import decode, is_clean
from tests.mmfrm.sources import (
    chunk,
    encoded,
    import_events,
    imported,
    jpeg,
    picture,
    png,
    raw_png,
    refusals,
    write_folder,
    write_zip,
)

Case = tuple[bytes, str, str]  # content, verdict, words of its reason


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x0112] = orientation
    data[0x010E] = "someone's living room"
    return data


def spliced(data: bytes, name: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    return data[:33] + chunk(name, body) + data[33:]


def frames(count: int) -> list[Image.Image]:
    return [picture(900 + i) for i in range(count)]


def wide() -> Image.Image:
    return picture(77, width=60, height=40)


def huge_jpeg() -> bytes:
    """A JPEG whose header claims 65,500 × 65,500 pixels."""
    data = jpeg(80)
    at = data.index(b"\xff\xc0")
    return data[: at + 5] + struct.pack(">HH", 65_500, 65_500) + data[at + 9 :]


def zip_bytes(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def broken_crc() -> bytes:
    data = bytearray(png(81))
    data[45] ^= 0xFF
    return bytes(data)


ANIMATED = {"save_all": True, "append_images": frames(3), "duration": 50}
PAGES = {"save_all": True, "append_images": frames(2)}
DEEP = np.linspace(0, 65535, 48 * 48).astype(np.uint16).reshape(48, 48)

CASES: dict[str, Case] = {
    # arrive as they are
    "plain.png": (png(1), "arrives", ""),
    "plain.jpg": (jpeg(2), "arrives", ""),
    "grey.png": (png(3, "L"), "arrives", ""),
    "palette.png": (png(4, "P"), "arrives", ""),
    "transparent.png": (png(5, "RGBA"), "arrives", ""),
    "grey with alpha.png": (png(6, "LA"), "arrives", ""),
    "one bit.png": (png(7, "1"), "arrives", ""),
    "progressive.jpg": (jpeg(8, progressive=True), "arrives", ""),
    "grey.jpg": (encoded(picture(9, mode="L"), "JPEG"), "arrives", ""),
    "emoji 😀 and עברית.png": (png(10), "arrives", ""),
    "no extension": (png(11), "arrives", ""),
    "Case.png": (png(12), "arrives", ""),
    "case.PNG": (png(13), "arrives", ""),
    "spaces   and 'quotes' $(touch x).png": (png(14), "arrives", ""),
    "x" * 200 + ".png": (png(15), "arrives", ""),
    "CON.png": (png(16), "arrives", ""),
    # arrive, made clean
    "turned.jpg": (encoded(wide(), "JPEG", exif=exif(6)), "repaired", "upright"),
    "mirrored.jpg": (encoded(picture(20), "JPEG", exif=exif(2)), "repaired", "upright"),
    "turned.png": (encoded(picture(21), exif=exif(8)), "repaired", "upright"),
    "where it was taken.jpg": (jpeg(22, exif=exif(1)), "repaired", "cut off"),
    "comment.jpg": (jpeg(23, comment=b"<?php system($_GET[0]); ?>"), "repaired", "cut off"),
    "profile.jpg": (jpeg(24, icc_profile=b"\0" * 3000), "repaired", "cut off"),
    "text.png": (spliced(png(25), b"tEXt", b"a\0<script>alert(1)</script>"), "repaired", "cut off"),
    "zip behind.png": (png(26) + zip_bytes({"a": b"b"}), "repaired", "cut off"),
    "zip behind.jpg": (jpeg(27) + zip_bytes({"a": b"b"}), "repaired", "cut off"),
    "html behind.png": (png(28) + b"<html><script>alert(1)</script>", "repaired", "cut off"),
    "two in one.jpg": (jpeg(29) + jpeg(30), "repaired", "cut off"),
    "sixteen bits.png": (encoded(Image.fromarray(DEEP)), "repaired", "16 bits"),
    "sixteen bits, colours.png": (
        raw_png(48, 48, 16, 2, (b"\0" + bytes(range(48)) * 6) * 48), "repaired", "16 bits"),
    "sixteen bits.tif": (encoded(Image.fromarray(DEEP), "TIFF"), "repaired", "16 bits"),
    "cmyk.jpg": (encoded(picture(31, mode="CMYK"), "JPEG"), "repaired", "CMYK"),
    "cmyk.tif": (encoded(picture(32, mode="CMYK"), "TIFF"), "repaired", "TIFF"),
    "moving.gif": (encoded(picture(33), "GIF", **ANIMATED), "repaired", "animated"),
    "moving.png": (encoded(picture(34), "PNG", **ANIMATED), "repaired", "animated"),
    "moving.webp": (encoded(picture(35), "WEBP", **ANIMATED), "repaired", "animated"),
    "pages.tif": (encoded(picture(36), "TIFF", **PAGES), "repaired", "animated"),
    "still.gif": (encoded(picture(37), "GIF"), "repaired", "GIF"),
    "still.webp": (encoded(picture(38), "WEBP"), "repaired", "WEBP"),
    "still.bmp": (encoded(picture(39), "BMP"), "repaired", "BMP"),
    "a jpeg.png": (jpeg(40), "repaired", "is a JPEG"),
    "a png.jpg": (png(41), "repaired", "is a PNG"),
    "a gif.png": (encoded(picture(42), "GIF"), "repaired", "is a GIF"),
    "large, with metadata.jpg": (
        encoded(picture(43, width=900, height=700), "JPEG", exif=exif(3)), "repaired", "upright"),
    # are refused
    "empty.png": (b"", "refused", "empty"),
    "text.jpg": (b"these are no pixels", "refused", "not an image"),
    "page.png": (b"<html><script>alert(1)</script></html>", "refused", "not an image"),
    "program.jpg": (b"\x7fELF" + bytes(500), "refused", "not an image"),
    "icon.png": (encoded(picture(50), "ICO"), "refused", "not an image"),
    "torn.png": (png(51)[:300], "refused", "broken"),
    "torn.jpg": (jpeg(52)[:500], "refused", "broken"),
    "torn.gif": (encoded(picture(53), "GIF")[:60], "refused", "broken"),
    "torn.webp": (encoded(picture(54), "WEBP")[:40], "refused", "broken"),
    "only a header.png": (b"\x89PNG\r\n\x1a\n", "refused", "broken"),
    "only a header.jpg": (b"\xff\xd8\xff\xe0", "refused", "broken"),
    "wrong checksum.png": (broken_crc(), "refused", "broken"),
    "bomb.png": (raw_png(30_000, 30_000, 1, 0, bytes(3751) * 300), "refused", "pixels"),
    "bomb.jpg": (huge_jpeg(), "refused", "pixels"),
    "no pixels.png": (raw_png(0, 0, 8, 2, b""), "refused", ""),
    "one pixel.png": (encoded(picture(55, width=1, height=1)), "refused", "too few"),
    "a line.png": (encoded(picture(56, width=500, height=2)), "refused", "too few"),
    "fewer rows than it says.png": (raw_png(48, 48, 8, 2, bytes(145) * 3), "arrives", ""),
    "floats.tif": (encoded(Image.fromarray(np.ones((48, 48), np.float32)), "TIFF"), "refused", "floating"),
    "inner.zip": (zip_bytes({"x.png": png(57)}), "refused", "archive inside"),
    "inner.tar.gz": (gzip.compress(b"x"), "refused", "archive inside"),
    # are passed over
    "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "skipped", "not an image"),
    "readme.txt": (b"hello", "skipped", "not an image"),
    "paper.pdf": (b"%PDF-1.7", "skipped", "not an image"),
    "Thumbs.db": (b"x", "skipped", "operating system"),
    ".DS_Store": (b"x", "skipped", "operating system"),
    "__MACOSX/._plain.png": (b"x", "skipped", "operating system"),
    # names
    "../escape.png": (png(60), "refused", "out of the archive"),
    "a/../../escape.png": (png(61), "refused", "out of the archive"),
    "/etc/absolute.png": (png(62), "refused", "absolute"),
    "C:/windows/absolute.png": (png(63), "refused", "absolute"),
    "/".join("d" * 40) + "/deep.png": (png(64), "refused", "too long"),
    "long/" + "n" * 1100 + ".png": (png(65), "refused", "too long"),
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> FacePack:
    """Everything in one zip, imported once."""
    folder = tmp_path_factory.mktemp("hostile")
    source = write_zip(folder / "hostile.zip", {name: data for name, (data, _, _) in CASES.items()})
    return imported(source, folder / "out" / "data")


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_gets_its_verdict(corpus: FacePack, name: str) -> None:
    _, verdict, words = CASES[name]
    arrived = any(sample.name == name for sample in corpus.samples)
    told = [r for r in refusals(corpus.folder).get(name[:1024], []) if words in r.reason]
    assert arrived == (verdict in ("arrives", "repaired"))
    if verdict == "arrives":
        assert not refusals(corpus.folder).get(name)
    else:
        assert [r.verdict for r in told] == [verdict]
        assert told[0].reason


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) + 12 >= 80  # with the archives below


def test_what_arrived_is_clean_and_decodes(corpus: FacePack) -> None:
    for sample in corpus.samples:
        data = corpus.bytes_of(sample)
        assert is_clean(data), sample.name
        assert decode(data).shape == (sample.height, sample.width, 3), sample.name


def test_nothing_hidden_is_stored(corpus: FacePack) -> None:
    stored = b"".join(path.read_bytes() for path in corpus.folder.glob("*.pack"))
    for secret in (b"<script>", b"<?php", b"living room", b"PK\x03\x04"):
        assert secret not in stored


def test_nothing_is_written_outside_the_data_set(corpus: FacePack) -> None:
    names = {path.name for path in corpus.folder.parent.parent.rglob("*") if path.is_file()}
    own = {"hostile.zip", "dataset.json", "samples.jsonl", "refused.jsonl", "faces-0.pack", "import.lock"}
    assert names == own | {"duplicates.json"}


def test_a_picture_is_stored_upright(corpus: FacePack) -> None:
    turned = next(sample for sample in corpus.samples if sample.name == "turned.jpg")
    assert (turned.width, turned.height) == (40, 60)


def test_cutting_off_metadata_leaves_the_pixels_alone(corpus: FacePack) -> None:
    for name in ("comment.jpg", "zip behind.jpg", "text.png", "html behind.png"):
        sample = next(sample for sample in corpus.samples if sample.name == name)
        assert np.array_equal(decode(corpus.bytes_of(sample)), decode(CASES[name][0])), name


def test_sixteen_bits_keep_their_range(corpus: FacePack) -> None:
    for name in ("sixteen bits.png", "sixteen bits.tif"):
        sample = next(sample for sample in corpus.samples if sample.name == name)
        pixels = decode(corpus.bytes_of(sample))
        assert (pixels.min(), pixels.max()) == (0, 255), name


# ---- archives


def one_good(out: Path) -> None:
    pack = FacePack(out)
    assert "good.png" in [sample.name for sample in pack.samples]


def test_an_encrypted_member_is_refused_and_its_neighbour_arrives(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {"good.png": png(1), "secret.png": png(2)})
    data = bytearray(source.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.rindex(signature)
        data[at + offset] |= 1
    source.write_bytes(data)
    import_events(source, tmp_path / "out")
    one_good(tmp_path / "out")
    assert refusals(tmp_path / "out")["secret.png"][0].reason == "encrypted"


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    source = write_zip(tmp_path / "a.zip", [("good.png", png(1)), (link, b"/etc/passwd")])
    import_events(source, tmp_path / "out")
    one_good(tmp_path / "out")
    assert "link" in refusals(tmp_path / "out")["link.png"][0].reason


def test_a_dense_member_is_refused_unread(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {"good.png": png(1), "zeros.png": bytes(40_000_000)})
    import_events(source, tmp_path / "out")
    one_good(tmp_path / "out")
    assert "bomb" in refusals(tmp_path / "out")["zeros.png"][0].reason


def test_a_member_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {"bad.png": png(2), "good.png": png(1)})
    data = bytearray(source.read_bytes())
    data[60] ^= 0xFF
    source.write_bytes(data)
    import_events(source, tmp_path / "out")
    one_good(tmp_path / "out")
    assert "cannot be read" in refusals(tmp_path / "out")["bad.png"][0].reason


def test_an_unknown_compression_is_refused(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {"good.png": png(1), "odd.png": png(2)})
    data = bytearray(source.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", data, data.rindex(signature) + offset, 97)
    source.write_bytes(data)
    import_events(source, tmp_path / "out")
    one_good(tmp_path / "out")
    assert "cannot be read" in refusals(tmp_path / "out")["odd.png"][0].reason


def test_overlapping_members_do_not_multiply(tmp_path: Path) -> None:
    """The trick of the quine and overlap bombs: many list entries for the same bytes."""
    source = write_zip(tmp_path / "a.zip", {"good.png": png(1), "kernel.png": png(2)})
    data = source.read_bytes()
    at = data.rindex(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    twin = data[at:end].replace(b"kernel.png", b"copied.png")
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 3, 3, end - data.index(b"PK\x01\x02") + len(twin))
    source.write_bytes(data[:end] + twin + tail)
    import_events(source, tmp_path / "out")
    one_good(tmp_path / "out")
    assert "cannot be read" in refusals(tmp_path / "out")["copied.png"][0].reason


def test_of_two_members_with_one_name_the_first_is_taken(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        source = write_zip(tmp_path / "a.zip", [("good.png", png(1)), ("good.png", png(2))])
    pack = imported(source, tmp_path / "out")
    assert len(pack.samples) == 1
    assert pack.bytes_of(pack.samples[0]) == png(1)
    assert "twice" in refusals(tmp_path / "out")["good.png"][0].reason


def test_names_in_other_encodings_arrive_readable(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {"good.png": png(1), "g\u00e9.png": png(2), "XXXX.png": png(3)})
    data = bytearray(source.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # UTF-8, but no flag says so
        at = data.index("g\u00e9.png".encode(), data.index(signature)) - (30 if offset == 6 else 46)
        struct.pack_into("<H", data, at + offset, 0)
    source.write_bytes(bytes(data).replace(b"XXXX.png", b"\xff\x01\x81\x82.png"))
    names = [sample.name for sample in imported(source, tmp_path / "out").samples]
    assert "g\u00e9.png" in names
    assert len(names) == 3
    assert all(name.isprintable() for name in names)


def test_what_is_left_of_a_torn_zip_arrives(tmp_path: Path) -> None:
    files = {f"face-{i:02d}.png": png(i) for i in range(20)}
    whole = write_zip(tmp_path / "whole.zip", files).read_bytes()
    torn = tmp_path / "torn.zip"
    torn.write_bytes(whole[: len(whole) // 2])
    pack = imported(torn, tmp_path / "out")
    assert 7 <= len(pack.samples) <= 11
    assert "incomplete" in refusals(tmp_path / "out")["(rest of the archive)"][0].reason


def test_a_torn_zip_that_was_streamed_is_read_too(tmp_path: Path) -> None:
    class Pipe(io.RawIOBase):  # cannot seek, so sizes follow the data
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(6):
            archive.writestr(f"face-{i}.png", png(i))
    (tmp_path / "torn.zip").write_bytes(bytes(pipe.data[: pipe.data.index(b"PK\x01\x02")]))
    assert len(imported(tmp_path / "torn.zip", tmp_path / "out").samples) == 6


def test_a_zip_behind_a_program_is_read(tmp_path: Path) -> None:
    inner = write_zip(tmp_path / "a.zip", {"good.png": png(1)}).read_bytes()
    (tmp_path / "setup.exe.zip").write_bytes(b"MZ" + bytes(4000) + inner)
    import_events(tmp_path / "setup.exe.zip", tmp_path / "out")
    one_good(tmp_path / "out")


def tar_with(path: Path, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in (("good.png", png(1)), ("./dotted.png", png(2)), ("../escape.png", png(3))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, kind in (("soft", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("disk", tarfile.BLKTYPE)):
            member = tarfile.TarInfo(f"{name}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        last = tarfile.TarInfo("last.png")
        last.size = len(png(4))
        archive.addfile(last, io.BytesIO(png(4)))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tars_of_every_kind_are_read_and_their_links_refused(tmp_path: Path, mode: str) -> None:
    pack = imported(tar_with(tmp_path / "a.tar", mode), tmp_path / "out")
    assert [sample.name for sample in pack.samples] == ["good.png", "dotted.png", "last.png"]
    refused = refusals(tmp_path / "out")
    assert {name for name, told in refused.items() if told[0].verdict == "refused"} == {
        "../escape.png", "soft.png", "hard.png", "disk.png",
    }  # fmt: skip


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_what_is_left_of_a_torn_tar_arrives(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for i in range(40):
            member = tarfile.TarInfo(f"face-{i:02d}.png")
            data = encoded(Image.fromarray(np.random.default_rng(i).integers(0, 256, (64, 64, 3), np.uint8)))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    pack = imported(path, tmp_path / "out")
    assert 10 <= len(pack.samples) <= 20
    assert any("incomplete" in r.reason or "ends after" in r.reason or "cannot be read" in r.reason
               for told in refusals(tmp_path / "out").values() for r in told)  # fmt: skip


def test_a_tar_that_unpacks_to_a_thousand_times_its_size_is_refused(tmp_path: Path) -> None:
    header = tarfile.TarInfo("zeros.png")
    header.size = 50 * 2**30
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    (tmp_path / "a.tar.gz").write_bytes(packer.compress(header.tobuf()) + packer.compress(bytes(2**20))
                                        + packer.flush())  # fmt: skip
    with pytest.raises(JobError, match="bomb"):
        import_events(tmp_path / "a.tar.gz", tmp_path / "out")


def tar_parts(*parts: tuple[bytes, bytes]) -> bytes:
    """A tar of headers by hand: (type, content), and a good picture at the end."""
    whole = b""
    for kind, data in (*parts, (tarfile.REGTYPE, png(5))):
        member = tarfile.TarInfo("last.png")
        member.type, member.size = kind, len(data)
        whole += member.tobuf() + data + bytes(-len(data) % 512)
    return whole + bytes(1024)


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"X", b"g"])
def test_a_tars_own_headers_are_no_bomb(tmp_path: Path, kind: bytes) -> None:
    huge = (kind, bytes(3 * 2**20))
    (tmp_path / "first.tar.gz").write_bytes(gzip.compress(tar_parts(huge)))
    with pytest.raises(JobError, match="neither a zip, a tar"):
        import_events(tmp_path / "first.tar.gz", tmp_path / "out")
    (tmp_path / "later.tar.gz").write_bytes(gzip.compress(tar_parts((tarfile.REGTYPE, png(6)), huge)))
    tracemalloc.start()
    archive = open_archive(tmp_path / "later.tar.gz", max_files=10, max_total_bytes=2**30)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 2**20
    assert [entry.name for entry in archive.entries] == ["last.png"]
    assert "a header of 3,145,728 bytes" in archive.refusals[0].reason
    archive.close()


def test_small_headers_of_a_whole_tar_do_not_pile_up(tmp_path: Path) -> None:
    headers = [(b"g", b"%d k%d=" % (700_000, i) + b"v" * 699_990 + b"\n") for i in range(3)]
    (tmp_path / "a.tar").write_bytes(tar_parts((tarfile.REGTYPE, png(6)), *headers))
    archive = open_archive(tmp_path / "a.tar", max_files=10, max_total_bytes=2**30)
    assert "a header of" in archive.refusals[0].reason
    archive.close()


def test_a_sparse_file_in_a_tar_is_refused_and_its_neighbour_arrives(tmp_path: Path) -> None:
    whole = bytearray(tar_parts((tarfile.GNUTYPE_SPARSE, b"x" * 512)))
    whole[:8] = b"hole.png"
    whole[482] = 1  # its map goes on behind the header
    whole[148:156] = b" " * 8
    whole[148:156] = b"%06o\0 " % sum(whole[:512])
    whole[512:512] = bytes(512)
    (tmp_path / "a.tar").write_bytes(whole)
    archive = open_archive(tmp_path / "a.tar", max_files=10, max_total_bytes=2**30)
    assert [entry.name for entry in archive.entries] == ["last.png"]
    assert [(r.name, r.reason) for r in archive.refusals] == [("hole.png", "a sparse file")]
    archive.close()


def test_a_folder_is_read_without_following_anything(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "photos", {"good.png": png(1), "sub/other.png": png(2)})
    (root / "loop").symlink_to(root)
    (root / "passwd.png").symlink_to("/etc/passwd")
    os.mkfifo(root / "pipe.png")
    raw = os.fsencode(root) + b"/caf\xe9.png"
    Path(os.fsdecode(raw)).write_bytes(png(3))
    pack = imported(root, tmp_path / "out")
    assert len(pack.samples) == 3
    refused = {name for name, told in refusals(tmp_path / "out").items() if told[0].verdict == "refused"}
    assert refused == {"loop", "passwd.png", "pipe.png"}


def test_caps_on_count_and_total_refuse_a_source_as_a_whole(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {f"{i}.png": png(i) for i in range(20)})
    with pytest.raises(JobError, match="more than 10 files"):
        import_events(source, tmp_path / "out", max_files=10)
    with pytest.raises(JobError, match="at most 1,000"):
        import_events(source, tmp_path / "out", max_total_bytes=1000)


@pytest.mark.parametrize("content", [b"", b"not an archive at all", b"PK\x05\x06" + bytes(18), bytes(10_000)])
def test_what_is_no_archive_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(JobError):
        import_events(tmp_path / "a.zip", tmp_path / "out")


def test_nothing_but_bad_files_says_why(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "a.zip", {"a.png": b"x", "b.png": b"y"})
    with pytest.raises(JobError, match="2 × not an image"):
        import_events(source, tmp_path / "out")


def test_of_a_chunk_of_large_pictures_one_is_held_at_a_time() -> None:
    side = 2000
    data = raw_png(side, side, 1, 0, bytes(side // 8 + 1) * side)
    assert len(data) < 10_000
    tracemalloc.start()
    examined = examine([(Item(f"{i}.png", None), data) for i in range(10)], encode=None, max_pixels=10**8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(examined.arrived) == 10
    assert peak < 5 * 3 * side * side


def test_huge_pictures_are_decoded_one_after_the_other_and_small_ones_meanwhile() -> None:
    room = PixelRoom(most=60_000_000)
    huge = raw_png(7000, 7000, 1, 0, b"")
    came = threading.Event()

    def second() -> None:
        with room.held(huge):
            came.set()

    thread = threading.Thread(target=second)
    with room.held(huge):
        thread.start()
        with room.held(png(1)), room.held(b"no picture"):
            assert not came.wait(0.1)
    thread.join(60)
    assert came.is_set()


def test_memory_stays_small_and_torch_unloaded(corpus: FacePack, tmp_path: Path) -> None:
    source = corpus.folder.parent.parent / "hostile.zip"
    program = f"""
import sys
from tests.mmfrm.memory import peak_megabytes
from tests.mmfrm.sources import import_events
from pathlib import Path
import_events(Path({str(source)!r}), Path({str(tmp_path / "out")!r}))
print(peak_megabytes(), "torch" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    megabytes, torch_loaded = told.split()
    assert int(megabytes) < 600
    assert torch_loaded == "False"
