"""What can go wrong inside the replica.

ReplicaError
├── UnknownFault    a fault that there is not; the message names those that there are
└── ClipFailed      ffmpeg is missing, or refused the picture or the sound
"""

from typing import ClassVar


class ReplicaError(Exception):
    """Something that the stand-in site could not do."""

    exit_code: ClassVar[int] = 1


class UnknownFault(ReplicaError):
    """Show what was asked for, and what there is."""


class ClipFailed(ReplicaError):
    """No clip came out of ffmpeg; the message has its last words."""
