"""What can go wrong between a media file and a stored feature.

FeatureError
├── Absent               there is nothing of this kind in the file; the row is skipped, not failed
│   ├── NoAudioTrack     no_audio
│   ├── NoText           no_text
│   └── TooShort         too_short
├── Undecodable          undecodable: the file is damaged or not media at all
├── NoVideoStream        no_video: a sound file, or only a cover picture
├── MissingInput         missing_input: the file or shard is not where the catalog says
├── CorruptFeature       corrupt_feature: a shard exists and is not what was written
├── NotFinite            not_finite: the network gave infinities or NaN for this row
├── WorkerLost           worker_lost: the process that had this row died
├── DeviceMissing        device_missing (exit 3): no such GPU, or no such device at all
├── WeightsMissing       weights_missing (exit 3)
└── WeightsMismatch      weights_mismatch (exit 3): weights of another kind, shape or hash
"""

from typing import ClassVar

from catalog.errors import name_text


class FeatureError(Exception):
    """Base of this package's errors; `code` is what the catalog stores for a row.

    The message is one line that can be shown and stored anywhere, whatever file it names.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "feature_error"
    #: True when trying again cannot help while the input stays the same.
    permanent: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        super().__init__(name_text(message))


class Absent(FeatureError):
    """The input is fine and holds nothing of the asked kind."""

    code = "absent"
    permanent = True


class NoAudioTrack(Absent):
    """The media file has no sound track."""

    code = "no_audio"


class NoText(Absent):
    """The video has no text of any kind."""

    code = "no_text"


class TooShort(Absent):
    """The track is too short to say anything about."""

    code = "too_short"


class Undecodable(FeatureError):
    """The decoder could not get one usable frame or sample out of the file."""

    code = "undecodable"
    permanent = True


class NoVideoStream(FeatureError):
    """The file holds no moving picture."""

    code = "no_video"
    permanent = True


class MissingInput(FeatureError):
    """The file or shard that should be read is not there."""

    code = "missing_input"


class CorruptFeature(FeatureError):
    """A stored feature does not hold what was written."""

    code = "corrupt_feature"


class NotFinite(FeatureError):
    """An extractor produced infinities or NaN."""

    code = "not_finite"
    permanent = True


class WorkerLost(FeatureError):
    """The worker process died while it had this row."""

    code = "worker_lost"


class DeviceMissing(FeatureError):
    """The device that the settings name is none, or not on this machine."""

    exit_code = 3
    code = "device_missing"


class WeightsMissing(FeatureError):
    """The weights an extractor needs are nowhere to be found."""

    exit_code = 3
    code = "weights_missing"


class WeightsMismatch(FeatureError):
    """A weights file was found and is not the one that is needed."""

    exit_code = 3
    code = "weights_mismatch"
