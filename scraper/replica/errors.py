"""What can go wrong inside the replica.

ReplicaError
└── ClipFailed      ffmpeg is missing, or refused the picture or the sound
"""

from typing import ClassVar


class ReplicaError(Exception):
    """Something that the stand-in site could not do."""

    exit_code: ClassVar[int] = 1


class ClipFailed(ReplicaError):
    """No clip came out of ffmpeg; the message has its last words."""
