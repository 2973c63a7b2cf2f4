"""Write Whisper weights as a CTranslate2 container: the way back from features.ct2."""

import struct
from collections.abc import Iterator, Mapping
from typing import Final

import torch
from torch import Tensor

from features.ct2 import SPEC_NAME, VERSIONS, WhisperTensors

_REVISION: Final = 3
_TYPE_NUMBERS: Final = {torch.float32: 0, torch.int8: 1, torch.int16: 2, torch.float16: 4}
#: Blocks' linear layers: the container's name, and stock Whisper's that are joined in it.
_SELF: Final = (
    ("self_attention/linear_0", ("attn.query", "attn.key", "attn.value")),
    ("self_attention/linear_1", ("attn.out",)),
    ("ffn/linear_0", ("mlp.0",)),
    ("ffn/linear_1", ("mlp.2",)),
)
_CROSS: Final = (
    ("attention/linear_0", ("cross_attn.query",)),
    ("attention/linear_1", ("cross_attn.key", "cross_attn.value")),
    ("attention/linear_2", ("cross_attn.out",)),
)
_SELF_NORMS: Final = (("self_attention/layer_norm", "attn_ln"), ("ffn/layer_norm", "mlp_ln"))
_CROSS_NORMS: Final = (("attention/layer_norm", "cross_attn_ln"),)


def write_container(tensors: WhisperTensors) -> bytes:
    """Lay a network out as `read_container` and `to_whisper` read it; no value changes.

    Numbers are stored as float16 where that loses nothing, as of OpenAI's own, else as float32.
    """
    state = {name: tensor.detach().cpu() for name, tensor in tensors.state.items()}
    dtype = torch.float16 if _are_halves(state) else torch.float32
    arrays = dict(_scalars(tensors.dims))
    for name, tensor in _arrays(tensors.dims, state):
        arrays[name] = tensor.to(dtype)
    parts = [struct.pack("<I", max(VERSIONS)), _text(SPEC_NAME)]
    parts.append(struct.pack("<II", _REVISION, len(arrays)))
    for name, tensor in sorted(arrays.items()):
        raw = tensor.contiguous().numpy().tobytes()
        shape = struct.pack(f"<B{tensor.ndim}I", tensor.ndim, *tensor.shape)
        kind = struct.pack("<BI", _TYPE_NUMBERS[tensor.dtype], len(raw))
        parts += [_text(name), shape, kind, raw]
    parts.append(struct.pack("<I", 1))
    parts += [_text("decoder/projection/weight"), _text("decoder/embeddings/weight")]
    return b"".join(parts)


def _are_halves(state: Mapping[str, Tensor]) -> bool:
    return all(torch.equal(t.half().to(t.dtype), t) for t in state.values())


def _scalars(dims: Mapping[str, int]) -> Iterator[tuple[str, Tensor]]:
    yield "decoder/activation", torch.tensor(3, dtype=torch.int8)  # the exact GELU
    yield "decoder/pre_norm", torch.tensor(1, dtype=torch.int8)
    for name in ("alibi", "scale_embeddings", "start_from_zero_embedding"):
        yield f"decoder/{name}", torch.tensor(0, dtype=torch.int8)
    yield "decoder/num_heads", torch.tensor(dims["n_text_head"], dtype=torch.int16)
    yield "encoder/num_heads", torch.tensor(dims["n_audio_head"], dtype=torch.int16)


def _arrays(dims: Mapping[str, int], state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    yield "decoder/embeddings/weight", state["decoder.token_embedding.weight"]
    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            yield f"encoder/{conv}/{part}", state[f"encoder.{conv}.{part}"]
    for side, layers, final in (
        ("encoder", dims["n_audio_layer"], "ln_post"),
        ("decoder", dims["n_text_layer"], "ln"),
    ):
        yield f"{side}/position_encodings/encodings", state[f"{side}.positional_embedding"]
        yield from _norm(state, f"{side}/layer_norm", f"{side}.{final}")
        is_decoder = side == "decoder"
        for index in range(layers):
            new, old = f"{side}/layer_{index}", f"{side}.blocks.{index}"
            for name, parts in _SELF + (_CROSS if is_decoder else ()):
                yield from _linear(state, f"{new}/{name}", [f"{old}.{part}" for part in parts])
            for name, norm in _SELF_NORMS + (_CROSS_NORMS if is_decoder else ()):
                yield from _norm(state, f"{new}/{name}", f"{old}.{norm}")


def _linear(
    state: Mapping[str, Tensor], name: str, parts: list[str]
) -> Iterator[tuple[str, Tensor]]:
    weights = [state[f"{part}.weight"] for part in parts]
    yield f"{name}/weight", torch.cat(weights)
    # Whisper's keys have no bias; the container wants one.
    zeros = [weight.new_zeros(len(weight)) for weight in weights]
    biases = [
        state.get(f"{part}.bias", zero) for part, zero in zip(parts, zeros, strict=True)
    ]
    yield f"{name}/bias", torch.cat(biases)


def _norm(state: Mapping[str, Tensor], name: str, norm: str) -> Iterator[tuple[str, Tensor]]:
    yield f"{name}/gamma", state[f"{norm}.weight"]
    yield f"{name}/beta", state[f"{norm}.bias"]


def _text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"
