"""yt-dlp's program with its own TikTok reader turned to a replica: run in place of the real one."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from yt_dlp.extractor import lazy_extractors, tiktok

from scraper.files import ytdlp_child

REPLICA = r"https?://127\.0\.0\.1:\d+/@(?P<user_id>[\w.-]+)?/video/(?P<id>\d+)"


def fetch(job):
    origin = job["url"].partition("/@")[0]
    for reader in (tiktok.TikTokIE, lazy_extractors.TikTokIE):
        reader._VALID_URL = REPLICA
    tiktok.TikTokBaseIE._create_url = staticmethod(lambda _user, v: f"{origin}/@/video/{v}")
    return ytdlp_child.fetch(job)


if __name__ == "__main__":
    ytdlp_child.main(fetch)
