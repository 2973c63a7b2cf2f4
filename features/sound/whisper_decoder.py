"""Whisper's decoder on several windows of sound at once, each at its own place in its own text.

Nearly all of a step's time goes into fetching the weights from memory, so eight rows cost little
more than one. What a row gets does not depend, in any bit, on the rows beside it: the matrix
products see to that (`features.sound.whisper_decoder`), and everything else is computed row by row.

The layouts are those that torch's own compilers and quantised layers use. Where a processor or a
build of torch has none of them, the plain product stands in: slower, the same numbers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the whole world knows it by  # noqa: N812 - the name the whole world knows it by
from whisper.model import ResidualAttentionBlock, Whisper

#: As many rows as a product of `product` takes.
ROWS: Final = 8

#: (R, K) to (R, N), R at most ROWS; a row's numbers do not depend on how many there are.
Product = Callable[[Tensor], Tensor]


def product(weight: Tensor, bias: Tensor | None) -> Product:
    """Make the linear layer for up to ROWS rows. weight: (N, K), bias: (N,), both float32.

    Whisper's weights were published in 16 bits. Kept so, and widened within the processor, they
    are the very same numbers at half the way from memory, which is what such a product costs.
    """
    if weight.device.type == "cpu":
        if torch.backends.quantized.engine in ("x86", "fbgemm") and _fits_half(weight):
            packed = torch.ops.quantized.linear_prepack_fp16(weight.detach().contiguous(), bias)
            # It sums a row from its first to its last number, whatever other rows there are.
            return lambda x: torch.ops.quantized.linear_dynamic_fp16(x, packed)
        ordered = _ordered(weight, bias)
        if ordered is not None:
            return _padded(ordered)
    return _padded(lambda x: F.linear(x, weight, bias))


def _ordered(weight: Tensor, bias: Tensor | None) -> Product | None:
    reorder = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
    multiply = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if reorder is None or multiply is None:
        return None
    ordered = reorder(weight.detach().contiguous(), ROWS)
    return lambda x: multiply(x, ordered, bias, "none", [], "")


def _padded(multiply: Product) -> Product:
    # These choose their way, and with it the last bits, by the number of rows: it stays the same.
    return lambda x: multiply(F.pad(x, (0, 0, 0, ROWS - len(x))))[: len(x)]


def _fits_half(weight: Tensor) -> bool:
    return torch.equal(weight.half().to(weight.dtype), weight)


class _Layer:
    """One block, its weights laid out for few rows; self-attention's three projections in one."""

    def __init__(self, block: ResidualAttentionBlock) -> None:
        self.block = block
        parts = [block.attn.query, block.attn.key, block.attn.value]
        biases = [
            part.weight.new_zeros(len(part.weight)) if part.bias is None else part.bias
            for part in parts
        ]
        self.joined = product(torch.cat([part.weight for part in parts]), torch.cat(biases))
        self.out = _of(block.attn.out)
        self.cross_query = _of(block.cross_attn.query)
        self.cross_out = _of(block.cross_attn.out)
        self.widen = _of(block.mlp[0])
        self.narrow = _of(block.mlp[2])


@dataclass
class _Row:
    """What is remembered of one window: (H, T, E / H) keys and values, one pair a layer."""

    sound: list[tuple[Tensor, Tensor]]
    text: list[tuple[Tensor, Tensor]]
    n_tokens: int = 0


class RowDecoder:
    """A decoder with ROWS places; `enter` and `leave` them, `step` those that are taken."""

    def __init__(self, network: Whisper) -> None:
        self._decoder = network.decoder
        self._n_heads: int = network.dims.n_text_head
        self._n_text_ctx: int = network.dims.n_text_ctx
        self._layers = [_Layer(block) for block in network.decoder.blocks]
        self._embedding: Tensor = network.decoder.token_embedding.weight
        self._to_words = product(self._embedding, None)
        self._rows: dict[int, _Row] = {}

    @property
    def n_free(self) -> int:
        """How many more windows can enter."""
        return ROWS - len(self._rows)

    @torch.inference_mode()
    def enter(self, features: Tensor) -> int:
        """Take a place for a window's encoder output, (1, 1500, E) float32; return its number."""
        place = min(set(range(ROWS)) - self._rows.keys())
        row = _Row([], [])
        for layer in self._layers:
            attention = layer.block.cross_attn
            keys, values = (self._heads(to(features)[0]) for to in (attention.key, attention.value))
            row.sound.append((keys, values))
            room = keys.new_empty(self._n_heads, self._n_text_ctx, keys.shape[-1])
            row.text.append((room, torch.empty_like(room)))
        self._rows[place] = row
        return place

    def leave(self, place: int) -> None:
        """Free a place."""
        del self._rows[place]

    @torch.inference_mode()
    def step(self, tokens: Mapping[int, int]) -> dict[int, Tensor]:
        """Add one token to each of these places; return what may follow it, (V,) logits each."""
        rows = {place: self._rows[place] for place in tokens}
        before = []
        for place, row in rows.items():
            position = self._decoder.positional_embedding[row.n_tokens]
            before.append(self._embedding[tokens[place]] + position)
            row.n_tokens += 1
        x = torch.stack(before)
        for number, layer in enumerate(self._layers):
            block = layer.block
            joined = layer.joined(block.attn_ln(x)).view(len(x), 3, self._n_heads, 1, -1)
            mixed = []
            for row, (query, key, value) in zip(rows.values(), joined, strict=True):
                keys, values = (kept[:, : row.n_tokens] for kept in row.text[number])
                keys[:, -1:], values[:, -1:] = key, value
                mixed.append(_attend(query, keys, values))
            x = x + layer.out(torch.stack(mixed))
            queries = layer.cross_query(block.cross_attn_ln(x)).view(len(x), self._n_heads, 1, -1)
            mixed = [
                _attend(query, *row.sound[number])
                for row, query in zip(rows.values(), queries, strict=True)
            ]
            x = x + layer.cross_out(torch.stack(mixed))
            x = x + layer.narrow(F.gelu(layer.widen(block.mlp_ln(x))))
        return dict(zip(rows, self._to_words(self._decoder.ln(x)), strict=True))

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(len(x), self._n_heads, -1).transpose(0, 1).contiguous()


def _of(linear: nn.Linear) -> Product:
    return product(linear.weight, linear.bias)


def _attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of one token. query: (H, 1, E / H), keys, values: (H, T, E / H)  returns: (E,)."""
    scores = torch.bmm(query * query.shape[-1] ** -0.5, keys.transpose(1, 2))
    return torch.bmm(scores.softmax(-1), values).flatten()
