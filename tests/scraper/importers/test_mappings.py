"""The table of docs/data.md on what each format's mapping reads; as a program it writes it."""

import json
import re
import tempfile
from pathlib import Path

from scraper.importers.report import ImportReport
from tests.programs import ROOT
from tests.scraper.importers.rows import (
    Files,
    actor_item,
    aweme,
    info,
    research_item,
    tiktok_id,
)
from tests.scraper.importers.test_exports import reel, youtube_item

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


def table(folder: Path) -> str:
    """Return the table, of one usual row in each format."""
    lines = ["| format | read | left aside |", "|---|---|---|"]
    for name, row in ROWS.items():
        report = ImportReport()
        content = json.dumps([{"source_platform": "instagram.com", "data": row, "item_id": "1"}])
        if name != "instagram":
            content = json.dumps([row])
        [_], [] = Files(folder).read(f"{name}.json", content, format=name, report=report)
        found = report.as_dict()
        read = [f"{field['field']} ← `{field['from']}`" for field in found["fields"]]
        left = [f"`{key}`" for key in found["left_aside"]]
        lines.append(f"| `{name}` | {', '.join(read)} | {', '.join(left)} |")
    return "\n".join(lines) + "\n"


def test_the_table_in_the_docs_is_what_the_program_does(tmp_path):
    [block] = BLOCK.findall(PAGE.read_text())

    assert block == table(tmp_path), "python -m tests.scraper.importers.test_mappings writes it"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        new = table(Path(made))
    PAGE.write_text(BLOCK.sub(lambda _: new, PAGE.read_text()))
