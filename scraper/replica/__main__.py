"""`python -m scraper.replica --media …`: serve the replica until SIGTERM, or write it to disk."""

import argparse
import logging
import signal
import sys
import threading
import time
from pathlib import Path

from scraper.replica.clips import UnknownFault, warm, write_collection
from scraper.replica.content import ReplicaConfig, build_content
from scraper.replica.faults import FAULTS, parse_fault
from scraper.replica.messages import Fault
from scraper.replica.server import Replica


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C; the first line on stdout is the URL."""
    defaults = ReplicaConfig()
    parser = argparse.ArgumentParser(prog="python -m scraper.replica", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--media", type=Path, required=True, help="folder that keeps the clips")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--videos-per-tag", type=int, default=defaults.videos_per_tag)
    parser.add_argument(
        "--fault",
        type=_read_fault,
        action="append",
        default=[],
        metavar="TAG=NAME[:NUMBER][,KEY=NUMBER…]",
        help=f"a hashtag's fault, repeatable: {', '.join(FAULTS)}",
    )
    parser.add_argument("--day", type=float, default=0.0, help="days since the snapshot at start")
    parser.add_argument("--days-per-s", type=float, default=0.0, help="how fast days pass then")
    parser.add_argument("--warm", action="store_true", help="make all clips before serving")
    parser.add_argument(
        "--write",
        type=Path,
        metavar="FOLDER",
        help="serve nothing: write ID.mp4 and ID.info.json of every video, for `viewcast import`",
    )
    parser.add_argument("--verbose", action="store_true", help="log requests to stderr")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.DEBUG if given.verbose else logging.INFO)
    config = ReplicaConfig(seed=given.seed, videos_per_tag=given.videos_per_tag)
    if given.write is not None:
        content = build_content(config)
        warm(content, given.media)
        n_videos = write_collection(content, given.write, clips=given.media)
        sys.stdout.write(f"{n_videos} videos in {given.write}\n")
        return 0
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    began_s = time.monotonic()
    with Replica(
        config,
        given.media,
        given.port,
        faults=dict(given.fault),
        days=lambda: given.day + (time.monotonic() - began_s) * given.days_per_s,
    ) as replica:
        if given.warm:
            warm(replica.content, given.media)
        # The parent reads this line to learn the port.
        sys.stdout.write(f"{replica.url}\n")
        sys.stdout.flush()
        stop.wait()
    return 0


def _read_fault(text: str) -> tuple[str, Fault]:
    try:
        return parse_fault(text)
    except UnknownFault as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
