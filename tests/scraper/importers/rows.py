"""Rows as the tools write them, and a short way to write a file and read it."""

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from scraper.importers.reading import read_path
from scraper.importers.video import ImportedVideo, ImportOptions, RejectedLine

WRITTEN_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
FIRST_ID = 7_571_863_205_253_778_711


class Files:
    """A folder to write files into, as if they had been written on WRITTEN_AT."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name, content, encoding="utf-8"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, (str, bytes)):
            content = json.dumps(content)
        path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
        os.utime(path, (WRITTEN_AT.timestamp(),) * 2)
        return path

    def read(self, name, content, encoding="utf-8", **options):
        """(videos, rejected rows) of a file with this content."""
        return split(read_path(self.write(name, content, encoding), ImportOptions(**options)))


def split(rows):
    rows = list(rows)
    videos = [row for row in rows if isinstance(row, ImportedVideo)]
    return videos, [row for row in rows if isinstance(row, RejectedLine)]


def tiktok_id(number=0):
    return str(FIRST_ID + number)


def web_item(number=0, **changes):
    return {
        "id": tiktok_id(number),
        "desc": "a caption #Dance",
        "createTime": 1762961788,
        "author": {"uniqueId": f"author{number}", "nickname": "A nickname"},
        "stats": {"playCount": 1800000, "diggCount": 5},
        "statsV2": {"playCount": "1776621"},
        "challenges": [{"id": "1", "title": "dance"}],
        "video": {"id": tiktok_id(number), "duration": 15, "width": 576, "height": 1024},
        **changes,
    }


def actor_item(number=0, **changes):
    return {
        "id": tiktok_id(number),
        "text": "a caption",
        "createTime": 1762961788,
        "authorMeta": {"id": "7", "name": f"author{number}"},
        "videoMeta": {"height": 1024, "width": 576, "duration": 15},
        "playCount": 44800,
        "hashtags": [{"id": "9658", "name": "Volleyball"}],
        **changes,
    }


def info(number=0, **changes):
    return {
        "id": tiktok_id(number),
        "extractor": "TikTok",
        "extractor_key": "TikTok",
        "webpage_url": f"https://www.tiktok.com/@author{number}/video/{tiktok_id(number)}",
        "uploader": f"author{number}",
        "description": "a caption #dance",
        "timestamp": 1762961788,
        "epoch": 1763000000,
        "view_count": 44800,
        "duration": 15,
        "width": 576,
        "height": 1024,
        "_type": "video",
        **changes,
    }


def research_item(number=0, **changes):
    return {
        "id": FIRST_ID + number,
        "video_description": "a caption",
        "create_time": 1762961788,
        "region_code": "DE",
        "view_count": 44800,
        "username": f"author{number}",
        "hashtag_names": ["dance"],
        "video_duration": 15,
        **changes,
    }


def aweme(number=0, **changes):
    return {
        "aweme_id": tiktok_id(number),
        "desc": "a caption",
        "create_time": 1762961788,
        "author": {"unique_id": f"author{number}"},
        "statistics": {"play_count": 44800},
        "cha_list": [{"cha_name": "Dance"}],
        "video": {"duration": 15033, "width": 576, "height": 1024},
        **changes,
    }


def parts(number=0, **changes):
    return {
        "video_metadata": {
            "id": FIRST_ID + number,
            "time_created": "2025-11-12T15:36:28",
            "description": "a caption",
            "hashtags": ["dance"],
            "mentions": None,
            "location_created": "UA",
            "is_ad": False,
            "diggcount": 1,
            "commentcount": 2,
            "sharecount": 3,
            "collectcount": 4,
            "playcount": 44800,
            "secret": False,
            "take_down": 0,
        },
        "file_metadata": {"filepath": "x", "duration": 15, "height": 1024, "width": 576},
        "music_metadata": {
            "id": 6740249715385829378,
            "title": "A song",
            "author_name": "A band",
            "original": False,
        },
        "author_metadata": {
            "username": f"author{number}",
            "name": "A nickname",
            "signature": "hello",
            "verified": False,
        },
        "hashtags_metadata": [],
        **changes,
    }


def make_clip(path):
    """Write a one-second mp4."""
    command = ["ffmpeg", "-v", "error", "-y", "-f", "lavfi"]
    command += ["-i", "testsrc=size=72x128:rate=5:duration=1", "-preset", "ultrafast"]
    command += ["-pix_fmt", "yuv420p", "-movflags", "+faststart", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path
