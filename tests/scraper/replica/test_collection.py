import json

import pytest

from scraper.importers.records import ImportOptions
from scraper.importers.ytdlp import read_folder
from scraper.replica.collection import info_of, write_collection
from scraper.replica.content import TOPICS, ReplicaConfig, build_content

pytestmark = pytest.mark.ffmpeg


def test_the_collection_is_read_as_an_export_with_every_count_and_file(tmp_path):
    content = build_content(ReplicaConfig(videos_per_tag=1, topics=tuple(TOPICS)[:2]))
    for _again in range(2):
        n = write_collection(content, tmp_path / "export", clips=tmp_path / "clips")
    rows = read_folder(tmp_path / "export", ImportOptions())
    found = {row.sighting.tiktok_id: row for row in rows}

    assert n == len(found) == 2
    for video in content.videos:
        row = found[video.tiktok_id]
        assert row.media.read_bytes()[4:8] == b"ftyp"
        assert row.sighting.caption == video.caption
        assert row.sighting.posted_at == video.created_at


def test_a_description_holds_nothing_that_json_cannot(tmp_path):
    content = build_content(ReplicaConfig(videos_per_tag=2))
    for video in content.videos:
        assert json.loads(json.dumps(info_of(video)))["view_count"] == video.views
