"""Import a row of each tool, and tell what is read of it and what is left aside.

`python -m tests.imported` writes the table of docs/data.md anew; tests/test_docs.py holds it true.
"""

import csv
import io
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from scraper.importers.columns import find_columns
from scraper.importers.reading import read_path, sniff
from scraper.importers.report import ImportReport
from scraper.importers.video import ImportOptions
from tests.programs import ROOT
from tests.scraper.importers import rows

PAGE = ROOT / "docs" / "data.md"
BLOCK = re.compile(r"(?<=<!-- imported -->\n).*?(?=<!-- /imported -->)", re.DOTALL)
# The columns that tools give their tables; our own export's are in catalog/read/exports.py.
TABLES = {
    "pyktok": """video_id video_timestamp video_duration video_locationcreated suggested_words
        video_diggcount video_sharecount video_commentcount video_playcount video_description
        video_is_ad video_stickers author_username author_name author_followercount
        author_followingcount author_heartcount author_videocount author_diggcount
        author_verified""",
    "4CAT's CSV": """id thread_id author author_full author_followers author_likes author_videos
        body timestamp unix_timestamp is_duet is_ad is_paid_partnership music_name music_id
        music_author tiktok_url likes comments shares plays hashtags location_created stickers
        effects""",
    "Apify's CSV": """authorMeta.name authorMeta.nickName authorMeta.fans authorMeta.following
        authorMeta.heart authorMeta.video authorMeta.verified authorMeta.signature collectCount
        commentCount createTimeISO diggCount hashtags/0/name hashtags/1/name id isAd isSponsored
        mentions/0 mentions/1 musicMeta.musicId musicMeta.musicName musicMeta.musicAuthor
        musicMeta.musicOriginal playCount shareCount text textLanguage videoMeta.duration
        webVideoUrl""",
    "YouTube's trending CSV (Kaggle)": """video_id trending_date title channel_title category_id
        publish_time tags views likes dislikes comment_count thumbnail_link description""",
    "TikTok claims CSV (Kaggle)": """video_id video_duration_sec video_transcription_text
        verified_status video_view_count video_like_count video_share_count video_download_count
        video_comment_count""",
}
CELLS = {
    "id": rows.tiktok_id(),
    "url": f"https://www.tiktok.com/@author0/video/{rows.tiktok_id()}",
    "author": "author0",
    "posted_at": "1762961788",
    "language": "en",
    "region": "DE",
    "sound_id": "7571863205253771",
}
FLAGS = ("ad", "sponsored", "duet", "stitch", "verified", "sound_original")
MORE_OF_ITEMS: dict[str, Any] = {
    "authorStats": {"followerCount": 5, "heartCount": 50, "videoCount": 7, "diggCount": 2},
    "music": {
        "id": "75718632052",
        "title": "A song",
        "original": False,
        "playUrl": "https://x.y/z",
    },
    "textLanguage": "en",
    "locationCreated": "DE",
}
MORE_OF_ACTORS: dict[str, Any] = {
    "authorMeta": {"name": "author0", "nickName": "A name", "fans": 5, "heart": 50, "video": 7},
    "musicMeta": {"musicId": "75718632052", "musicName": "A song", "playUrl": "https://x.y/z"},
    "diggCount": 5,
    "shareCount": 1,
    "commentCount": 2,
    "collectCount": 1,
    "isSponsored": False,
    "mediaUrls": ["https://x.y/z"],
}
MORE_OF_INFO: dict[str, Any] = {
    "channel": "A name",
    "channel_follower_count": 5,
    "like_count": 5,
    "repost_count": 1,
    "comment_count": 2,
    "track": "A song",
    "artists": ["Somebody"],
    "formats": [{"width": 576}],
    "upload_date": "20251112",
}
MORE_OF_RESEARCH: dict[str, Any] = {
    "like_count": 5,
    "comment_count": 2,
    "share_count": 1,
    "favorites_count": 1,
    "music_id": 75718632052,
    "voice_to_text": "what is said",
    "effect_ids": ["1"],
}
MORE_OF_AWEMES: dict[str, Any] = {
    "statistics": {"play_count": 44_800, "digg_count": 5, "comment_count": 2, "share_count": 1},
    "author": {"unique_id": "author0", "nickname": "A name", "follower_count": 5},
    "music": {"mid": "75718632052", "title": "A song", "user_count": 9},
    "region": "DE",
}
FILES: dict[str, tuple[str, object]] = {
    "the site's items (Zeeschuimer, TikTok-Api)": ("a.json", [rows.web_item(**MORE_OF_ITEMS)]),
    "Apify, tiktok-scraper": ("a.json", [rows.actor_item(**MORE_OF_ACTORS)]),
    "yt-dlp": ("a.info.json", rows.info(**MORE_OF_INFO)),
    "Research API": ("a.json", [rows.research_item(**MORE_OF_RESEARCH)]),
    "the app's answers": ("a.json", [rows.aweme(**MORE_OF_AWEMES)]),
    "the paper's pairs": ("a.json", [{"id": rows.tiktok_id(), "views": "2M", "note": "x"}]),
}


def table() -> str:
    """Return the table: one line for each tool, as its row is read."""
    lines = ["| from | format | read | left aside |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for name, (file, content) in {**FILES, **_tables()}.items():
            path = Path(folder) / file
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8")
            lines.append(_line(name, path))
    return "".join(f"{line}\n" for line in lines)


def _line(name: str, path: Path) -> str:
    report = ImportReport()
    list(read_path(path, ImportOptions(report=report)))
    found = report.as_dict()
    if found["n_taken"] != 1:
        raise RuntimeError(f"{name}: no row was taken")
    read = ", ".join(row["field"] for row in found["fields"] if row["n_read"])
    unusable = [row["from"] for row in found["fields"] if not row["n_read"]]
    left = ", ".join(f"`{key}`" for key in [*found["left_aside"], *unusable]) or "–"
    return f"| {name} | `{sniff(path)}` | {read} | {left} |"


def _tables() -> dict[str, tuple[str, object]]:
    found: dict[str, tuple[str, object]] = {}
    for name, text in TABLES.items():
        header = text.split()
        fields = {place: field for field, place in find_columns(header, {}).items()}
        cells = [_cell(column, fields.get(n)) for n, column in enumerate(header)]
        out = io.StringIO()
        csv.writer(out).writerows([header, cells])
        found[name] = ("a.csv", out.getvalue())
    return found


def _cell(column: str, field: str | None) -> str:
    if field in FLAGS:
        return "False"
    if field is None or field in ("caption", "hashtags", "bio", "sound_title", "sound_author"):
        return column
    return CELLS.get(field, "15")


def main() -> int:
    """Write the table into the page."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda _: table(), page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
