"""The `audio` feature: Whisper's encoder states of a file's sound, and what is said in it.

For a window M of log-mel spectrogram (80 x 3000) the states are x0 = the first block's input
(convolutions plus positions) and x1..xL = the residual stream after each block, before the final
norm: (L + 1, 1500, E). Only means over real frames are kept: for base (7, 512). A window is encoded
once, for the states, the speech gate and the words alike.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import torch
import whisper
from torch import Tensor
from whisper.audio import N_FRAMES, log_mel_spectrogram
from whisper.model import Whisper

from features.device import bf16_units, full_precision, resolve
from features.errors import FeatureError, NotFinite, WeightsMismatch
from features.extractor import Extracted, FeatureSetSpec, Source
from features.media import SoundRequest, media_of
from features.settings import AudioConfig
from features.sound import voice
from features.sound.guard import GATE
from features.sound.transcript import (
    N_WINDOW_FRAMES,
    Job,
    Reading,
    Request,
    WindowReader,
    mean,
    read_in_lock_step,
    seconds,
)
from features.sound.waveform import Waveform
from features.sound.whisper_weights import (
    WeightsSources,
    find_weights,
    fingerprint,
    load_whisper,
    whisper_fingerprint,
)

EXTRACTOR: Final = "whisper"
#: Raised whenever the same file would give other numbers: padding, pooling, gate, token rules.
EXTRACTOR_VERSION: Final = "3"

# The text lane's context: the sound, and so many frames of zeros behind it, of which Whisper needs
# some to find the end.
MARGIN_FRAMES: Final = 250
LEAST_FRAMES: Final = 500
SHORT_PADDING: Final = (
    f"log-mel zeros for {MARGIN_FRAMES} frames, {LEAST_FRAMES} at least, {N_WINDOW_FRAMES} at most"
)

_AUTOCAST: Final = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def fastest_dtype(device: str = "cpu") -> Literal["float32", "bfloat16", "float16"]:
    """Return what "auto" means: on a GPU half precision, on a CPU what it has instructions for.

    bfloat16 moves the pooled states by less than 1 %. The encoder then takes a third of the time
    where there is AMX, 60 % with AVX512-BF16 alone; where there is neither, float32 stays.
    """
    if not device.startswith("cpu"):
        return "float16"
    gains = bf16_units() - {"bf16"}  # of ARM's nobody has measured it
    return "bfloat16" if gains else "float32"


def settled(config: AudioConfig) -> AudioConfig:
    """The config with its dtype decided, so that it can name a feature set.

    Raises ValueError for a model that is not one of Whisper's, DeviceMissing.
    """
    if config.lane == "text" and not config.transcript:
        raise ValueError("lane 'text' is the transcript alone: transcript = false leaves nothing")
    if config.model not in whisper.available_models():
        names = ", ".join(whisper.available_models())
        raise ValueError(f"model {config.model!r} is not one of Whisper's: {names}")
    if config.dtype != "auto":
        return config
    return replace(config, dtype=fastest_dtype(resolve(config.device)))


def spec(config: AudioConfig) -> FeatureSetSpec:
    """Name the feature set; for plain base even where no weights are at hand."""
    settings = {
        "model": config.model,
        "max_s": config.max_s,
        "transcript": config.transcript,
        "dtype": settled(config).dtype,
        # Not choices, but written down: other rules would be other numbers under another hash.
        "padding": "log-mel zeros to 30 s",
        "pooling": "mean of real frames, 30 s grid, float64",
        "gate": GATE,
    }
    if config.lane == "text":
        settings |= {"lane": "text", "padding": SHORT_PADDING, "pooling": "none"}
    sha256 = whisper_fingerprint(config.model, WeightsSources(path=config.weights))
    return FeatureSetSpec("audio", settings, EXTRACTOR, EXTRACTOR_VERSION, sha256)


def check(config: AudioConfig) -> None:
    """Raise what loading would raise now rather than in a worker; loads and writes nothing."""
    resolve(config.device)
    find_weights(config.model, WeightsSources(path=config.weights))
    if config.transcript:
        voice.find_weights()


def build(config: AudioConfig) -> "AudioExtractor":
    """Whisper, with the very weights that the feature set is named by."""
    return AudioExtractor(config, weights_sha256=spec(config).weights_sha256)


@dataclass(frozen=True)
class Window:
    """Up to 30 s of sound, encoded. states (L+1, 1500, E), features (1, 1500, E), both float32.

    In the text lane states are (0, T, E) and features (1, T, E), T at most 1500.
    """

    start_frame: int
    n_frames: int
    states: Tensor
    features: Tensor

    def state_sum(self, start: int = 0, end: int | None = None) -> Tensor:
        """Sum the states of some real frames, in float64: (L+1, E)."""
        end = self.n_frames if end is None else min(end, self.n_frames)
        # float64, because channel 388 of base spikes to ±560 and 16-bit sums overflow.
        return self.states[:, start:end].sum(dim=1, dtype=torch.float64)


class WindowEncoder:
    """Encodes one window at a time: a row's numbers cannot depend on what it is batched with.

    Batching gains nothing on a CPU, where the 1500 frames of one window already fill the cores.
    """

    def __init__(
        self, network: Whisper, *, dtype: torch.dtype | None = None, device: str = "cpu"
    ) -> None:
        """dtype: what matrices are multiplied in, None for float32; all sums stay in float32."""
        self._encoder = network.encoder
        self._n_mels: int = network.dims.n_mels
        self._dtype = dtype
        self._device = device
        self._device_type = torch.device(device).type

    def mel(self, waveform: Waveform) -> Tensor:
        """Return the whole file's log-mel spectrogram: (n_mels, M), 10 ms a column."""
        mel: Tensor = log_mel_spectrogram(torch.from_numpy(waveform.samples), self._n_mels)
        return mel

    @torch.inference_mode()
    def encode(self, mel: Tensor, start_frame: int) -> Window:
        """Encode the window that begins at a 20 ms frame; what is missing to 30 s is zeros.

        Zeros in the spectrogram, not silence in the sound: the paper's rule, and Whisper's own.
        """
        piece = mel[:, 2 * start_frame : 2 * start_frame + N_FRAMES]
        n_frames = math.ceil(piece.shape[1] / 2)
        padded = torch.nn.functional.pad(piece, (0, N_FRAMES - piece.shape[1]))
        with (
            full_precision(self._device),
            self._recorded_states() as states,
            torch.autocast(self._device_type, self._dtype, enabled=self._dtype is not None),
        ):
            features = self._encoder(padded[None].to(self._device))
        return Window(start_frame, n_frames, torch.cat(states).cpu(), features.float())

    @torch.inference_mode()
    def encode_short(self, mel: Tensor, start_frame: int) -> Window:
        """Encode the window without most of what is missing to 30 s, and keep no states."""
        piece = mel[:, 2 * start_frame : 2 * start_frame + N_FRAMES]
        n_frames = math.ceil(piece.shape[1] / 2)
        context = min(max(n_frames + MARGIN_FRAMES, LEAST_FRAMES), N_WINDOW_FRAMES)
        padded = torch.nn.functional.pad(piece, (0, 2 * context - piece.shape[1]))
        encoder, gelu = self._encoder, torch.nn.functional.gelu
        # The stock forward, but that it takes 30 s and nothing else.
        with (
            full_precision(self._device),
            torch.autocast(self._device_type, self._dtype, enabled=self._dtype is not None),
        ):
            x = gelu(encoder.conv2(gelu(encoder.conv1(padded[None].to(self._device)))))
            x = x.permute(0, 2, 1).float() + encoder.positional_embedding[:context]
            for block in encoder.blocks:
                x = block(x)
            features = encoder.ln_post(x).float()
        return Window(start_frame, n_frames, features.new_empty(0, *features.shape[1:]), features)

    @contextmanager
    def _recorded_states(self) -> Iterator[list[Tensor]]:
        states: list[Tensor] = []

        def keep_input(_block: object, inputs: tuple[Tensor]) -> tuple[Tensor]:
            # Passed on in float32, so that the residual stream is summed in it under autocast too.
            states.append(inputs[0].float())
            return (states[0],)

        def keep_output(_block: object, _inputs: object, output: Tensor) -> None:
            states.append(output)

        blocks = self._encoder.blocks
        hooks = [blocks[0].register_forward_pre_hook(keep_input)]
        hooks += [block.register_forward_hook(keep_output) for block in blocks]
        try:
            yield states
        finally:
            for hook in hooks:
                hook.remove()


@dataclass
class _Transcript:
    """What the readings of one file's windows add up to."""

    speech_sum: Tensor
    n_speech_frames: int = 0
    #: The surest language of a window with words, and how sure.
    known: tuple[str, float] | None = None
    readings: list[Reading] = field(default_factory=list)
    segments: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)

    def add(self, reading: Reading, window: Window) -> None:
        hearing = reading.hearing
        self.readings.append(reading)
        if reading.dropped:
            self.dropped.append(_refused(reading, window))
            return
        if hearing.language is not None and hearing.language_prob is not None:
            self.known = max(
                self.known or ("", 0.0),
                (hearing.language, hearing.language_prob),
                key=lambda pair: pair[1],
            )
        for span, text in reading.spans:
            self.speech_sum += window.state_sum(span.start_frame, span.end_frame)
            self.n_speech_frames += span.end_frame - span.start_frame
            self.segments.append(
                {
                    "start_s": seconds(window.start_frame + span.start_frame),
                    "end_s": seconds(window.start_frame + span.end_frame),
                    "language": reading.language,
                    "text": text,
                }
            )

    def detail(self) -> dict[str, Any]:
        kept = [reading for reading in self.readings if not reading.dropped]
        language = _most_spoken(kept)
        # Of the window that says the most in that language; without any words, of the first.
        in_it = [reading for reading in kept if reading.language == language]
        most = max(in_it, key=_n_frames, default=self.readings[0] if self.readings else None)
        hearing = most.hearing if most else None
        logprobs = [reading.avg_logprob for reading in kept if reading.avg_logprob is not None]
        return {
            "speech": bool(self.segments),
            "speech_s": seconds(self.n_speech_frames),
            "first_word_s": min((segment["start_s"] for segment in self.segments), default=None),
            "language": language,
            "language_prob": _rounded(hearing.language_prob if hearing else None),
            "no_speech_prob": _rounded(hearing.no_speech_prob if hearing else None),
            "avg_logprob": _rounded(mean(logprobs)),
            "text": " ".join(segment["text"] for segment in self.segments),
            "segments": self.segments,
            "dropped": self.dropped,
        }


def _refused(reading: Reading, window: Window) -> dict[str, Any]:
    """Put down a window whose words are not kept, with all that was held against it."""
    hearing = reading.hearing
    return {
        "start_s": seconds(window.start_frame),
        "end_s": seconds(window.start_frame + reading.n_frames_read),
        "reason": reading.dropped,
        "text": reading.text,
        "language": reading.language or hearing.language,
        "language_prob": _rounded(hearing.language_prob),
        "no_speech_prob": _rounded(hearing.no_speech_prob),
        "avg_logprob": _rounded(reading.avg_logprob),
        "compression": _rounded(reading.compression),
        "voice_s": hearing.voice_s,
    }


def _n_frames(reading: Reading) -> int:
    return sum(span.end_frame - span.start_frame for span, _ in reading.spans)


def _most_spoken(readings: Sequence[Reading]) -> str | None:
    """Return the language that most of the words' time is in."""
    n_frames: Counter[str] = Counter()
    for reading in readings:
        if reading.language is not None:
            n_frames[reading.language] += _n_frames(reading)
    return max(n_frames, key=n_frames.__getitem__, default=None)


def _rounded(value: float | None) -> float | None:
    # The seventh digit of a softmax depends on where in memory it happens to be computed.
    return None if value is None else round(value, 4)


def _finite(decibels: float) -> float | None:
    return round(decibels, 1) if math.isfinite(decibels) else None


class AudioExtractor:
    """Turns media files into pooled Whisper states and a transcript; one bad file costs one row.

    Tensors of a row: pooled_audio (L+1, E) float32, the mean over all real frames of the 30 s
    grid; with config.transcript also pooled_speech (L+1, E) float32, the mean over the frames in
    which something is said (zeros and `speech: false` in the detail when nothing is). In the text
    lane neither, but said (2,) float32: how many seconds are spoken, and how many words.
    """

    pictures = None

    def __init__(
        self,
        config: AudioConfig,
        *,
        weights_sha256: str | None = None,
        network: Whisper | None = None,
    ) -> None:
        """Load the weights, or take a loaded `network`, which is moved to the config's device.

        Raises DeviceMissing, WeightsMissing, or WeightsMismatch when the weights are not those of
        `weights_sha256`, or those that hear voices not the ones that the gate is named by.
        """
        config = settled(config)
        device = resolve(config.device)
        self.config = config
        if network is None:
            network = load_whisper(config.model, WeightsSources(path=config.weights))
        if weights_sha256 is not None and (found := fingerprint(network)) != weights_sha256:
            raise WeightsMismatch(
                f"the weights have fingerprint {found}, this feature set needs {weights_sha256}"
            )
        if config.transcript:
            voice.find_weights()  # now, or every row would be blamed for them
        network = network.to(device)
        self.sound = SoundRequest(config.max_s, config.keep_wav)
        self._shape = (network.dims.n_audio_layer + 1, network.dims.n_audio_state)
        self._encoder = WindowEncoder(network, dtype=_AUTOCAST[config.dtype], device=device)
        self._reader = WindowReader(network) if config.transcript else None
        self._text_only = config.lane == "text"
        if self._text_only:
            self._shape = (0, network.dims.n_audio_state)

    def __call__(self, sources: Sequence[Source]) -> list[Extracted | FeatureError]:
        """Extract each file; a known error takes the place of its row."""
        return read_in_lock_step(map(self._open, sources), self._reader)

    def extract(self, waveform: Waveform) -> Extracted:
        """Extract from sound that is at hand already. Raises NotFinite."""
        (result,) = read_in_lock_step([self._listen(waveform)], self._reader)
        if isinstance(result, FeatureError):
            raise result
        return result

    def _open(self, source: Source) -> Job[Extracted]:
        waveform = media_of(source, self).waveform(self.config.max_s)
        return (yield from self._listen(waveform))

    def _listen(self, waveform: Waveform) -> Job[Extracted]:
        """Encode each window once: for the grid's mean, the gate and the words alike.

        The text lane has no grid: it encodes what is read.
        """
        reader = None if waveform.silent else self._reader
        mel = self._encoder.mel(waveform)
        n_frames = math.ceil(mel.shape[1] / 2)
        audio_sum = torch.zeros(self._shape, dtype=torch.float64)
        transcript = _Transcript(torch.zeros(self._shape, dtype=torch.float64))
        grid, seek = n_frames if self._text_only else 0, 0 if reader else n_frames
        encode = self._encoder.encode_short if self._text_only else self._encoder.encode
        voiced = voice.voiced_frames(waveform.samples, n_frames) if reader else None
        while (start := min(grid, seek)) < n_frames:
            window = encode(mel, start)
            if start == grid:
                audio_sum += window.state_sum()
                grid += N_WINDOW_FRAMES
            if start == seek and voiced is not None:
                end = start + window.n_frames
                reading = yield Request(
                    window.features,
                    window.n_frames,
                    end >= n_frames,
                    transcript.known,
                    voiced[start:end],
                )
                transcript.add(reading, window)
                seek += reading.n_frames_read
        detail: dict[str, Any] = {
            "status": waveform.status,
            "seconds": round(waveform.duration_s, 3),
            "truncated": waveform.truncated,
            "fraction_read": round(waveform.fraction_read, 4),
            "capped": waveform.capped,
            "layout": waveform.layout,
            "taken": waveform.taken,
            "n_nonfinite": waveform.n_nonfinite,
            "level_dbfs": _finite(waveform.level_dbfs),
            "loudest_dbfs": _finite(waveform.loudest_dbfs),
            "silent": waveform.silent,
            "n_frames": n_frames,
        }
        if self._reader:
            detail |= transcript.detail()
        if self._text_only:
            n_words = len(detail["text"].split())
            tensors = {"said": torch.tensor([detail["speech_s"], n_words])}
        else:
            tensors = {"pooled_audio": audio_sum / n_frames}
        if self._reader and not self._text_only:
            tensors["pooled_speech"] = transcript.speech_sum / max(1, transcript.n_speech_frames)
        for name, tensor in tensors.items():
            if not bool(torch.isfinite(tensor).all()):
                raise NotFinite(f"{name} holds numbers that are not finite")
        return Extracted({k: v.to(torch.float32).numpy() for k, v in tensors.items()}, detail)
