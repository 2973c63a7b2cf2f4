"""Sound and weights for the tests of the audio feature, with their recipes."""

import struct
import subprocess
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from whisper.model import ModelDimensions, Whisper

SPEECH = Path(__file__).parents[2] / "scraper" / "replica" / "speech"

_MELODY = (
    "0.3*sin(2*PI*(220*pow(2,floor(mod(t*4,8))*2/12))*t)*exp(-3*mod(t,0.25))"
    "+0.2*sin(2*PI*55*t)*exp(-8*mod(t,0.5))"
)
_CHORD_AND_DRUM = (
    "0.15*(sin(2*PI*220*t)+sin(2*PI*277.18*t)+sin(2*PI*329.63*t))*(0.6+0.4*sin(2*PI*0.5*t))"
    "+0.25*(random(0)-0.5)*exp(-20*mod(t,0.5))"
)


def _made(formula: str, rate_hz: int = 16_000) -> list[str]:
    return ["-i", f"aevalsrc='{formula}':d=10:s={rate_hz}"]


#: name -> ffmpeg input options; every one is 10 s long and says nothing.
NON_SPEECH = {
    "silence": ["-t", "10", "-i", "anullsrc=r=16000:cl=mono"],
    "pink": ["-i", "anoisesrc=d=10:c=pink:r=16000:a=0.3:seed=1"],
    "white": ["-i", "anoisesrc=d=10:c=white:r=16000:a=0.5:seed=2"],
    "music": _made(_MELODY, 44_100),
    "chord": _made(_CHORD_AND_DRUM, 44_100),
    "clipped": _made(f"clip(40*({_MELODY}),-1,1)", 44_100),
    "tone": ["-i", "sine=f=440:d=10:r=16000"],
    "sweep": _made("0.4*sin(2*PI*(100*t+150*t*t))"),
    "clicks": _made("0.8*exp(-200*mod(t,1))"),
    "dc": _made("0.5+0.01*random(0)"),
}


def write_corpus(folder: Path) -> dict[str, Path]:
    """Write every sound there is: read speech, what says nothing, and numbers that are none."""
    corpus = {path.stem: path for path in sorted(SPEECH.glob("*.flac"))}
    for name, options in NON_SPEECH.items():
        corpus[name] = folder / f"{name}.m4a"
        ffmpeg("-f", "lavfi", *options, "-c:a", "aac", str(corpus[name]))
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    noise[[5, 600, 601]] = [np.nan, np.inf, -np.inf]
    corpus["nan"] = write_wav(folder / "nan.wav", noise)
    corpus["blip"] = write_wav(folder / "blip.wav", noise[1000:2700])
    return corpus


TYPE_NUMBERS = {"float32": 0, "int8": 1, "int16": 2, "float16": 4, "bfloat16": 5}


def ffmpeg(*arguments: str) -> None:
    """Run ffmpeg, quietly."""
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments], check=True)


def write_wav(path: Path, samples: NDArray[np.generic], rate_hz: int = 16_000) -> Path:
    """Write mono samples as they are: int16 as PCM, float32 as IEEE floats."""
    is_float = samples.dtype == np.float32
    width = samples.dtype.itemsize
    data = samples.tobytes()
    head = struct.pack(
        "<HHIIHH", 3 if is_float else 1, 1, rate_hz, rate_hz * width, width, 8 * width
    )
    body = b"WAVEfmt " + struct.pack("<I", len(head)) + head
    body += b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return path


def random_whisper(
    *,
    n_mels: int = 80,
    n_audio_ctx: int = 1500,
    width: int = 64,
    layers: int = 2,
    n_vocab: int = 51_865,
    n_text_ctx: int = 448,
) -> Whisper:
    """A small Whisper that knows nothing; float16-exact, so that containers can hold it."""
    dims = (n_mels, n_audio_ctx, width, 2, layers, n_vocab, n_text_ctx, width, 2, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Whisper(ModelDimensions(*dims))
        # The stock class leaves this one uninitialised.
        torch.nn.init.normal_(network.decoder.positional_embedding, std=0.02)
    for parameter in network.parameters():
        parameter.data = parameter.data.half().float()
    return network.eval().requires_grad_(False)


def container_arrays(network: Whisper) -> dict[str, torch.Tensor]:
    """Lay a network's tensors out as CTranslate2 names and joins them."""
    state, dims = network.state_dict(), network.dims
    arrays = {
        "decoder/activation": torch.tensor(3, dtype=torch.int8),
        "decoder/alibi": torch.tensor(0, dtype=torch.int8),
        "decoder/pre_norm": torch.tensor(1, dtype=torch.int8),
        "decoder/scale_embeddings": torch.tensor(0, dtype=torch.int8),
        "decoder/start_from_zero_embedding": torch.tensor(0, dtype=torch.int8),
        "decoder/alignment_layer": torch.tensor(-1, dtype=torch.int16),
        "decoder/num_heads": torch.tensor(dims.n_text_head, dtype=torch.int16),
        "encoder/num_heads": torch.tensor(dims.n_audio_head, dtype=torch.int16),
        "decoder/embeddings/weight": state["decoder.token_embedding.weight"],
    }
    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            arrays[f"encoder/{conv}/{part}"] = state[f"encoder.{conv}.{part}"]
    sides = (("encoder", "ln_post", dims.n_audio_layer), ("decoder", "ln", dims.n_text_layer))
    for side, final_norm, n_layers in sides:
        arrays[f"{side}/position_encodings/encodings"] = state[f"{side}.positional_embedding"]
        norms = {f"{side}/layer_norm": f"{side}.{final_norm}"}
        for i in range(n_layers):
            old, new = f"{side}.blocks.{i}", f"{side}/layer_{i}"
            linears = {
                "self_attention/linear_0": ["attn.query", "attn.key", "attn.value"],
                "self_attention/linear_1": ["attn.out"],
                "ffn/linear_0": ["mlp.0"],
                "ffn/linear_1": ["mlp.2"],
            }
            norms[f"{new}/self_attention/layer_norm"] = f"{old}.attn_ln"
            norms[f"{new}/ffn/layer_norm"] = f"{old}.mlp_ln"
            if side == "decoder":
                linears["attention/linear_0"] = ["cross_attn.query"]
                linears["attention/linear_1"] = ["cross_attn.key", "cross_attn.value"]
                linears["attention/linear_2"] = ["cross_attn.out"]
                norms[f"{new}/attention/layer_norm"] = f"{old}.cross_attn_ln"
            for name, parts in linears.items():
                weights = [state[f"{old}.{part}.weight"] for part in parts]
                biases = [
                    state.get(f"{old}.{part}.bias", torch.zeros(len(weight)))
                    for part, weight in zip(parts, weights, strict=True)
                ]
                arrays[f"{new}/{name}/weight"] = torch.cat(weights)
                arrays[f"{new}/{name}/bias"] = torch.cat(biases)
        for name, norm in norms.items():
            arrays[f"{name}/gamma"] = state[f"{norm}.weight"]
            arrays[f"{name}/beta"] = state[f"{norm}.bias"]
    return arrays


def write_container(
    arrays: dict[str, torch.Tensor],
    *,
    dtype: torch.dtype = torch.float16,
    version: int = 6,
    spec: str = "WhisperSpec",
    aliases: dict[str, str] | None = None,
) -> bytes:
    """Write the binary format: header, arrays in the given float type, aliases."""

    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    blob = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(arrays))
    for name, tensor in sorted(arrays.items()):
        stored = tensor.to(dtype) if tensor.is_floating_point() else tensor
        data = stored.contiguous().view(torch.uint8) if stored.ndim else stored.reshape(1)
        raw = data.numpy().tobytes()
        kind = TYPE_NUMBERS[str(stored.dtype).removeprefix("torch.")]
        shape = struct.pack(f"<B{stored.ndim}I", stored.ndim, *stored.shape)
        blob += text(name) + shape + struct.pack("<BI", kind, len(raw)) + raw
    if aliases is None:
        aliases = {"decoder/projection/weight": "decoder/embeddings/weight"}
    blob += struct.pack("<I", len(aliases))
    for alias, target in aliases.items():
        blob += text(alias) + text(target)
    return blob
