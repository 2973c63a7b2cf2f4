import bz2
import gzip
import io
import json
import lzma
import tracemalloc

import pytest

from scraper.errors import ExtraMissing, RowRefused
from scraper.importers import opening
from scraper.importers.opening import open_plain
from scraper.importers.reading import sniff
from tests.scraper.importers.rows import actor_item, web_item

zstandard = pytest.importorskip("zstandard")


def zst(raw):
    return zstandard.ZstdCompressor().compress(raw)


PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zst}


@pytest.mark.parametrize("pack", sorted(PACK))
@pytest.mark.parametrize(
    ("text", "found"),
    [
        (json.dumps([actor_item(n) for n in range(3)]), "actor"),
        ("\n".join(json.dumps(web_item(n)) for n in range(3)), "web"),
        ("id,views\n" + "".join(f"{actor_item(n)['id']},5\n" for n in range(3)), "table"),
    ],
)
def test_a_compressed_file_is_read_as_what_is_in_it(files, pack, text, found):
    name = f"a.txt.{pack}"
    videos, [] = files.read(name, PACK[pack](text.encode()))

    assert len(videos) == 3
    assert sniff(files.folder / name) == found


@pytest.mark.parametrize("pack", ["gz", "bz2", "xz"])
def test_a_damaged_one_gives_what_came_before_and_says_so(files, pack):
    rows = [web_item(n, desc=f"{n * 7919 % 10_007} " * 40) for n in range(3_000)]
    raw = PACK[pack]("\n".join(map(json.dumps, rows)).encode())
    videos, rejects = files.read(f"a.{pack}", raw[: len(raw) * 2 // 3])

    assert 0 < len(videos) < 3_000
    assert [row.reason for row in rejects if row.reason == "broken_file"] == ["broken_file"]
    assert "damaged" in rejects[-1].detail


def test_a_damaged_table_gives_what_came_before(files):
    raw = gzip.compress(("id,views\n" + f"{actor_item()['id']},5\n" * 50).encode(), mtime=0)
    videos, rejects = files.read("a.csv.gz", raw[:-6])

    assert len(videos) == 50
    assert [row.reason for row in rejects] == ["broken_file"]


def test_a_compressed_file_may_be_in_another_encoding(files):
    text = json.dumps([actor_item(text="Grüße")])
    [video], [] = files.read("a.gz", gzip.compress(text.encode("utf-16")))
    assert video.sighting.caption == "Grüße"

    [], rejects = files.read("b.gz", gzip.compress(text.encode("utf-16") + b"\0\xd8"), format="web")
    assert rejects


def test_a_bomb_is_read_little_by_little(files):
    # One row of 128 MiB, which is refused for its size.
    raw = io.BytesIO()
    with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed:
        packed.write(b'{"id": "')
        for _ in range(128):
            packed.write(b"0" * (1 << 20))
        packed.write(b'"}\n' + json.dumps(web_item()).encode() + b"\n")
    path = files.write("a.gz", raw.getvalue())
    tracemalloc.start()
    [video], [row] = files.read("a.gz", path.read_bytes())
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (video.sighting.tiktok_id, row.reason) == (web_item()["id"], "too_large")
    assert most_bytes < 64 << 20


def test_without_its_package_it_is_named(files, monkeypatch):
    monkeypatch.setattr(opening, "zstandard", None)
    with pytest.raises(ExtraMissing, match=r"viewcast\[zstd\]"):
        sniff(files.write("a.zst", zst(b"[]")))


def test_damage_is_a_refusal_like_any_other(files):
    path = files.write("a.gz", gzip.compress(b"x" * 1_000)[:-12])
    with open_plain(path) as file, pytest.raises(RowRefused, match="damaged"):
        file.read()
