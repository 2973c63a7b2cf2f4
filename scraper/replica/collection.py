"""The replica's videos as files, the way yt-dlp leaves them: to be imported, not scraped."""

import json
import os
from pathlib import Path
from typing import Any

from scraper.replica.clips import make_clip
from scraper.replica.content import Content, ReplicaVideo


def write_collection(content: Content, folder: Path, *, clips: Path) -> int:
    """Write ID.mp4 and ID.info.json of every video into `folder`; return how many.

    clips: the folder where the clips are made and kept; the mp4 files are links to them where
    the disk can do that. What is there already stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for video in content.videos:
        clip = make_clip(video, clips)
        media = folder / f"{video.tiktok_id}.mp4"
        if not media.exists():
            _place(clip, media)
        described = json.dumps(info_of(video), ensure_ascii=False)
        (folder / f"{video.tiktok_id}.info.json").write_text(described, encoding="utf-8")
    return len(content.videos)


def info_of(video: ReplicaVideo) -> dict[str, Any]:
    """Describe a video as yt-dlp does; the count is that of the snapshot, the last day of posts."""
    return {
        "_type": "video",
        "id": video.tiktok_id,
        "extractor_key": "TikTok",
        "webpage_url": f"https://www.tiktok.com/@{video.handle}/video/{video.tiktok_id}",
        "uploader": video.handle,
        "channel": video.account.nickname,
        "title": video.caption[:72],
        "description": video.caption,
        "timestamp": int(video.created_at.timestamp()),
        "duration": video.duration_s,
        "width": video.width_px,
        "height": video.height_px,
        "view_count": video.views,
    }


def _place(clip: Path, media: Path) -> None:
    try:
        os.link(clip, media)
    except OSError:
        media.write_bytes(clip.read_bytes())
