"""The table of docs/data.md on what each format's mapping reads; as a program it writes it."""

import csv
import io
import json
import re
import tempfile
from pathlib import Path

from scraper.importers.report import ImportReport
from scraper.importers.tables.columns import find_columns
from tests.programs import ROOT
from tests.scraper.importers.rows import (
    Files,
    actor_item,
    aweme,
    info,
    parts,
    research_item,
    tiktok_id,
    web_item,
)
from tests.scraper.importers.tables.test_columns import (
    APIFY,
    FOUR_CAT,
    KAGGLE_TIKTOK,
    KAGGLE_YOUTUBE,
    PYKTOK,
)
from tests.scraper.importers.test_other_sites import reel, youtube_item

PAGE = ROOT / "docs" / "data.md"
BLOCK = re.compile(r"(?<=<!-- mappings -->\n).*?(?=<!-- /mappings -->)", re.DOTALL)
# With all that the tools usually write, so that it shows what of it is left aside.
ROWS = {
    "ytdlp": info(
        title="a caption",
        channel="A nickname",
        channel_id="MS4",
        uploader_id="7",
        channel_follower_count=5,
        like_count=1,
        comment_count=2,
        repost_count=3,
        save_count=4,
        track="A song",
        artists=["A band"],
        album="An album",
        upload_date="20251112",
        formats=[{"ext": "mp4", "vcodec": "h264"}],
        ext="mp4",
        thumbnail="https://x",
        vcodec="h264",
        tags=["dance"],
        language="en",
    ),
    "web": web_item(
        authorStats={"followerCount": 5, "heartCount": 50, "videoCount": 7, "diggCount": 2},
        music={"id": "7", "title": "A song", "original": False, "playUrl": "https://x"},
        textLanguage="en",
        locationCreated="DE",
        diversificationLabels=["x"],
    ),
    "actor": actor_item(
        authorMeta={
            "id": "7",
            "name": "a",
            "nickName": "A",
            "fans": 1,
            "following": 2,
            "heart": 3,
            "video": 4,
            "verified": False,
            "signature": "x",
            "avatar": "https://x",
            "digg": 6,
            "privateAccount": False,
            "region": "US",
        },
        musicMeta={
            "musicId": "7",
            "musicName": "A song",
            "musicAuthor": "A band",
            "duration": 9,
            "musicOriginal": False,
            "playUrl": "https://x",
        },
        diggCount=1,
        shareCount=2,
        commentCount=3,
        collectCount=4,
        textLanguage="en",
        isAd=False,
        isSponsored=False,
        locationCreated="US",
        mentions=["@a"],
        webVideoUrl=f"https://www.tiktok.com/@a/video/{tiktok_id()}",
        createTimeISO="2025-11-12T15:36:28Z",
        scrapedAt="2025-11-13T00:00:00Z",
        isPinned=False,
        isSlideshow=False,
        mediaUrls=["https://x"],
        isMuted=False,
        effectStickers=[{"ID": "1"}],
        searchHashtag={"name": "x", "views": 5},
    ),
    "research": research_item(
        like_count=1,
        comment_count=2,
        share_count=3,
        favorites_count=4,
        music_id=7,
        effect_ids=["1"],
        playlist_id=5,
        voice_to_text="words",
        is_stem_verified=False,
        video_mention_list=["a"],
        video_tag={"number": 1},
        hashtag_info_list=[{"hashtag_name": "dance"}],
        video_label={"content": "x"},
    ),
    "app": aweme(
        author={
            "unique_id": "a",
            "uid": "7",
            "nickname": "A",
            "follower_count": 1,
            "following_count": 2,
            "total_favorited": 3,
            "aweme_count": 4,
            "region": "US",
            "custom_verify": "",
            "verification_type": 0,
            "signature": "x",
            "sec_uid": "MS4",
        },
        statistics={
            "play_count": 44800,
            "digg_count": 1,
            "comment_count": 2,
            "share_count": 3,
            "collect_count": 4,
            "download_count": 5,
            "forward_count": 6,
        },
        music={
            "mid": "7",
            "id_str": "7",
            "title": "A song",
            "author": "A band",
            "duration": 9,
            "user_count": 5,
            "is_original_sound": False,
            "owner_handle": "b",
        },
        desc_language="en",
        region="US",
        is_ads=False,
        share_url="https://x",
        text_extra=[{"user_id": "5"}],
        status={"is_delete": False, "private_status": 0},
        content_desc="x",
        aweme_type=150,
        group_id="7",
        sort_label="x",
    ),
    "parts": parts(),
    "pairs": {"id": tiktok_id(), "url": f"https://www.tiktok.com/@a/video/{tiktok_id()}"}
    | {"views": "44.8K", "views_k": 44.8, "rank": 1},
    "youtube": youtube_item(
        etag="x",
        status={"privacyStatus": "public", "license": "youtube"},
        topicDetails={"topicCategories": ["x"]},
    ),
    "instagram": reel(
        id="3_7",
        view_count=None,
        clips_metadata={"audio_type": "x"},
        usertags={"in": [1]},
        image_versions2={"candidates": [1]},
        reshare_count=5,
    )["data"],
}


# Tables are known by their columns: these are the tools' own.
TABLES = {
    "pyktok": PYKTOK,
    "4CAT": FOUR_CAT,
    "Apify": APIFY,
    "YouTube, Kaggle": KAGGLE_YOUTUBE,
    "TikTok, Kaggle": KAGGLE_TIKTOK,
}
CELLS = {
    "id": tiktok_id(),
    "url": f"https://www.tiktok.com/@author0/video/{tiktok_id()}",
    "author": "author0",
    "posted_at": "1762961788",
    "observed_at": "1763000000",
    "language": "en",
    "region": "DE",
    "sound_id": "7",
    **dict.fromkeys(("ad", "sponsored", "duet", "verified", "sound_original"), "False"),
    **dict.fromkeys(("caption", "hashtags", "bio", "sound_title", "sound_author"), "x"),
}


def table(folder: Path) -> str:
    """Return the table, of one usual row in each format and of each tool's table."""
    lines = ["| format | read | left aside |", "|---|---|---|"]
    for name, row in ROWS.items():
        report = ImportReport()
        content = json.dumps([{"source_platform": "instagram.com", "data": row, "item_id": "1"}])
        if name != "instagram":
            content = json.dumps([row])
        [_], [] = Files(folder).read(f"{name}.json", content, format=name, report=report)
        lines.append(_line(f"`{name}`", report))
    for name, header in TABLES.items():
        report = ImportReport()
        [_], [] = Files(folder).read("a.csv", _csv(header.split()), report=report)
        lines.append(_line(f"`table` ({name})", report))
    return "\n".join(lines) + "\n"


def _line(name: str, report: ImportReport) -> str:
    found = report.as_dict()
    fields = [(field["field"], field["from"], field["n_read"]) for field in found["fields"]]
    read = [f"{field} ← `{keys}`" for field, keys, n_read in fields if n_read]
    unusable = [keys for _, keys, n_read in fields if not n_read]
    left = [f"`{key}`" for key in [*found["left_aside"], *unusable]]
    return f"| {name} | {', '.join(read)} | {', '.join(left)} |"


def _csv(header: list[str]) -> str:
    fields = {place: field for field, place in find_columns(header, {}).items()}
    cells = [CELLS.get(fields.get(n, "caption"), "15") for n in range(len(header))]
    out = io.StringIO()
    csv.writer(out).writerows([header, cells])
    return out.getvalue()


def test_the_table_in_the_docs_is_what_the_program_does(tmp_path):
    [block] = BLOCK.findall(PAGE.read_text())

    assert block == table(tmp_path), "python -m tests.scraper.importers.test_mappings writes it"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        new = table(Path(made))
    PAGE.write_text(BLOCK.sub(lambda _: new, PAGE.read_text()))
