"""`purge` from the command line: rows, files and shards go, the tombstone and the rest stay."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from catalog.record.lineage import ensure_feature_set
from catalog.record.retention import purge
from catalog.record.sightings import adopt_media, store_sightings
from catalog.schema.session import open_catalog, upgrade
from catalog.work.claims import (
    FeatureDone,
    MediaDone,
    claim_features,
    enrol_features,
    finish_feature,
)
from catalog.work.texts import enrol_texts
from cli import main
from features.store import FeatureStore
from scraper.pseudonyms import author_key, load_salt
from tests.catalog.factories import SHA, named, seen, video_facts

FIRST, SECOND = "7300000000000000001", "7300000000000000002"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with two videos of two authors and their files."""
    url = f"sqlite:///{tmp_path / 'catalog.db'}"
    upgrade(url)
    salt = load_salt(tmp_path)
    catalog = open_catalog(url)
    with catalog.write() as session:
        for tiktok_id, handle in ((FIRST, "ann"), (SECOND, "Bea")):
            facts = video_facts(tiktok_id, author_key=author_key(handle, salt))
            store_sightings(session, [(facts, seen())], run_id=None, found_by=None)
            file = tmp_path / "media" / f"{tiktok_id}.mp4"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"a video")
            done = MediaDone(f"media/{file.name}", SHA, 7, {})
            adopt_media(session, "tiktok", tiktok_id, done)
    catalog.close()
    return tmp_path


def viewcast(data: Path, *words: str, **options: object):
    return CliRunner().invoke(main, ["--data", str(data), *words], **options)


def videos(data: Path) -> list[str]:
    result = viewcast(data, "sql", "select tiktok_id from v_video order by 1", "--json")
    return [row["tiktok_id"] for row in json.loads(result.stdout)["rows"]]


def test_a_dry_run_names_the_videos_and_removes_nothing(data: Path) -> None:
    result = viewcast(data, "purge", "--author", "@bea", "--dry-run", "--json")
    assert json.loads(result.stdout)["videos"] == [SECOND]
    assert videos(data) == [FIRST, SECOND]


def test_an_author_is_found_by_name_though_none_is_stored(data: Path) -> None:
    result = viewcast(data, "purge", "--author", "bea", "--force", "--json")
    payload = json.loads(result.stdout)
    assert (payload["n_videos"], payload["n_cleaned"]) == (1, 1)
    assert videos(data) == [FIRST]
    assert [file.stem for file in (data / "media").iterdir()] == [FIRST]
    statement = "select kind, count(*) as n from tombstone group by kind"
    shown = viewcast(data, "sql", statement, "--json")
    counts = {row["kind"]: row["n"] for row in json.loads(shown.stdout)["rows"]}
    assert counts == {"author": 1, "video": 1}


def test_what_is_deleted_can_be_read_in_no_file_of_the_catalog(data: Path) -> None:
    def words() -> bytes:
        return b"".join(file.read_bytes() for file in data.glob("catalog.db*"))

    viewcast(data, "add", "@somebody.rare", "@another.rare")
    assert b"somebody.rare" in words()
    assert viewcast(data, "add", "--remove", "@somebody.rare").exit_code == 0
    assert b"somebody.rare" not in words()
    assert b"another.rare" in words()
    assert viewcast(data, "purge", "--author", "another.rare", "--force").exit_code == 0
    assert b"another.rare" not in words()


def test_the_texts_of_a_purged_video_are_in_no_file(data: Path) -> None:
    """Lines read on its screen, the index of their words, the vectors made of them."""
    catalog = open_catalog(f"sqlite:///{data / 'catalog.db'}")
    store = FeatureStore(str(data / "features"))
    vectors = [np.full(4, number, np.float32) for number in (1.5, 2.5)]
    for kind in ("ocr", "text"):
        with catalog.write() as session:
            set_id = ensure_feature_set(
                session,
                kind=kind,
                config={},
                config_hash=SHA,
                extractor=kind,
                extractor_version="1",
                weights_sha256=None,
            )
            if kind == "ocr":
                enrol_features(session, set_id, needs_feature_set_id=None)
        if kind == "text":
            assert enrol_texts(catalog, set_id) == 2
        claims = claim_features(catalog, set_id, owner="test", limit=2)
        shard = store.write(kind, SHA, [{"all": vector} for vector in vectors])
        with catalog.write() as session:
            for claim, row in zip(claims, shard, strict=True):
                detail = {"text": f"xylophonist {claim.tiktok_id}"} if kind == "ocr" else {}
                done = FeatureDone(row.uri, row.row, row.sha256, (4,), "float32", 16, 0.1, detail)
                assert finish_feature(session, set_id, claim, "test", done)
    catalog.close()

    assert viewcast(data, "purge", "--video", SECOND, "--force").exit_code == 0
    left = b"".join(file.read_bytes() for file in data.glob("catalog.db*"))
    assert f"xylophonist {FIRST}".encode() in left
    assert f"xylophonist {SECOND}".encode() not in left
    found = json.loads(viewcast(data, "search", "xylophonist", "--json").stdout)["videos"]
    assert [video["tiktok_id"] for video in found] == [FIRST]
    shards = [file.read_bytes() for file in (data / "features").rglob("*.safetensors")]
    assert len(shards) == 2
    assert all(vectors[0].tobytes() in shard for shard in shards)
    assert not any(vectors[1].tobytes() in shard for shard in shards)


def test_a_dry_run_makes_no_key(data: Path) -> None:
    (data / "author.salt").unlink()
    result = viewcast(data, "purge", "--author", "bea", "--dry-run", "--json")
    assert json.loads(result.stdout)["videos"] == []
    assert not (data / "author.salt").exists()


def test_it_asks_first(data: Path) -> None:
    result = viewcast(data, "purge", "--video", FIRST, input="n\n")
    assert result.exit_code == 1
    assert videos(data) == [FIRST, SECOND]


def test_without_an_option_it_finishes_an_interrupted_purge(data: Path) -> None:
    catalog = open_catalog(f"sqlite:///{data / 'catalog.db'}")

    with catalog.write() as session:
        purge(session, named([FIRST]), reason="asked for")
    catalog.close()
    assert (data / "media" / f"{FIRST}.mp4").exists()

    result = viewcast(data, "purge", "--json")
    assert json.loads(result.stdout)["n_cleaned"] == 1
    assert not (data / "media" / f"{FIRST}.mp4").exists()
    assert json.loads(viewcast(data, "purge", "--json").stdout)["n_cleaned"] == 0


@pytest.mark.parametrize(
    "address",
    [
        f"https://www.tiktok.com/@somebody/video/{FIRST}",
        f"https://www.tiktok.com/@/video/{FIRST}?lang=en",
        f"m.tiktok.com/v/{FIRST}.html",
        f"https://www.tiktokv.com/share/video/{FIRST}/",
        f"https://www.tiktok.com/@somebody/photo/{FIRST}",
        FIRST,
    ],
)
def test_a_video_is_named_by_its_address(data: Path, address: str) -> None:
    result = viewcast(data, "purge", "--force", "--video", address, "--json")
    assert (result.exit_code, json.loads(result.stdout)["n_videos"]) == (0, 1)
    assert videos(data) == [SECOND]


def test_an_author_is_named_by_the_address_of_the_page(data: Path) -> None:
    address = "https://www.tiktok.com/@bea?lang=de"
    assert viewcast(data, "purge", "--force", "--author", address).exit_code == 0
    assert videos(data) == [FIRST]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--video", "7300000000000000009"), "no such video of tiktok"),
        (("--author", "nobodyknown"), "no such author of tiktok"),
        (("--author-key", "0" * 32), "no such author of tiktok"),
        (("--video", FIRST, "--platform", "x"), "tiktok has one: say --platform"),
        (("--video", "https://youtu.be/inVenTed001"), "no such video of youtube"),
    ],
)
@pytest.mark.parametrize("is_dry", [False, True])
def test_nobody_believes_that_it_is_done_when_nothing_matched(
    data: Path, words: tuple[str, ...], said: str, *, is_dry: bool
) -> None:
    result = viewcast(data, "purge", "--dry-run" if is_dry else "--force", *words)
    assert (result.exit_code, said in result.stderr) == (1, True)
    assert videos(data) == [FIRST, SECOND]


def test_what_was_not_there_is_never_stored_but_for_an_id_of_elsewhere(data: Path) -> None:
    viewcast(data, "purge", "--force", "--video", "7300000000000000009")
    viewcast(data, "purge", "--force", "--video", FIRST, "--platform", "x")
    shown = viewcast(data, "sql", "select platform, key from tombstone", "--json")
    assert json.loads(shown.stdout)["rows"] == [
        {"platform": "tiktok", "key": "7300000000000000009"}
    ]


def test_some_that_matched_and_some_that_did_not_is_a_part(data: Path) -> None:
    words = ("--video", FIRST, "--author", "nobodyknown")
    result = viewcast(data, "purge", "--force", *words, "--json")
    payload = json.loads(result.stdout)
    assert (result.exit_code, payload["n_videos"], len(payload["not_found"])) == (4, 1, 1)
    assert "nobodyknown" in payload["not_found"][0]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("https://vm.tiktok.com/ZMinvented/", "short link"),
        ("https://www.tiktok.com/@somebody", "that of: account"),
        ("https://example.org/x", "no address that is known"),
        ("73", "no video id"),
    ],
)
def test_what_names_no_video_is_refused_with_what_would(data: Path, word: str, said: str) -> None:
    result = viewcast(data, "purge", "--force", "--video", word)
    assert (result.exit_code, said in result.stderr) == (2, True)
