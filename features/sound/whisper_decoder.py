"""Whisper's decoder on several windows of sound at once, each at its own place in its own text.

Nearly all of a step's time goes into fetching the weights from memory, so eight rows cost little
more than one. What a row gets does not depend, in any bit, on the rows beside it, on its place
among them, or on the number of threads: `lay_out` tries on the machine at hand which of several
layouts of the weights keeps that rule, and everything else is computed row by row.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the name the whole world knows it by
from whisper.model import ResidualAttentionBlock, Whisper

log = logging.getLogger(__name__)

#: As many rows as are multiplied at once.
ROWS: Final = 8

#: (R, K) to (R, N), R at most ROWS.
Product = Callable[[Tensor], Tensor]
#: weight: (N, K), bias: (N,), both float32. None where the machine, or the weight, does not do.
Layout = Callable[[Tensor, Tensor | None], Product | None]

#: How far a layout's numbers may be from the plain product's, as a share of the greatest.
TOLERANCE: Final = 1e-5


def _half(rows: int) -> Layout:
    """Keep the weights in 16 bits, as Whisper's were published, and widen them in the processor.

    They are the very same numbers at half the way from memory, which is what a product costs.
    rows: the product is made of so many at a time. A kernel for AVX-512 sums a row from its first
    to its last number whatever rows there are; those for AVX2 differ by their number of rows, and
    fours are all taken by the same one.
    """

    def lay_out(weight: Tensor, bias: Tensor | None) -> Product | None:
        if weight.device.type != "cpu" or not _fits_half(weight):
            return None
        if torch.backends.quantized.engine not in ("x86", "fbgemm"):
            return None
        packed = torch.ops.quantized.linear_prepack_fp16(weight.detach().contiguous(), bias)
        return _padded(lambda x: torch.ops.quantized.linear_dynamic_fp16(x, packed), rows)

    return lay_out


def _reordered(weight: Tensor, bias: Tensor | None) -> Product | None:
    """Put the weights into the order in which oneDNN reads them, as torch's compiler does."""
    reorder = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
    multiply = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    if weight.device.type != "cpu" or reorder is None or multiply is None:
        return None
    ordered = reorder(weight.detach().contiguous(), ROWS)
    return _padded(lambda x: multiply(x, ordered, bias, "none", [], ""), ROWS)


def _plain(weight: Tensor, bias: Tensor | None) -> Product:
    return _padded(lambda x: F.linear(x, weight, bias), ROWS)


def _row_by_row(weight: Tensor, bias: Tensor | None) -> Product:
    """Multiply each row by itself, in one thread: slow, and independent by construction."""
    if weight.device.type != "cpu":
        return lambda x: torch.cat([F.linear(row[None], weight, bias) for row in x])
    # NumPy's own loop: no library of matrix products, which would choose a way, and no threads.
    matrix = weight.detach().numpy()

    def multiply(x: Tensor) -> Tensor:
        rows = [np.einsum("nk,k->n", matrix, row, optimize=False) for row in x.numpy()]
        product = torch.from_numpy(np.stack(rows))
        return product if bias is None else product + bias

    return multiply


#: The fastest first. The last one holds everywhere, and is what remains where no other does.
LAYOUTS: Final[dict[str, Layout]] = {
    "16 bits": _half(1),
    "16 bits by fours": _half(4),
    "16 bits by eights": _half(ROWS),
    "reordered": _reordered,
    "plain": _plain,
    "row by row": _row_by_row,
}

#: What `_holds` said of a layout and a shape on this machine; blocks share their shapes.
_tried: dict[tuple[object, ...], bool] = {}


def lay_out(weight: Tensor, bias: Tensor | None) -> tuple[str, Product]:
    """Make the linear layer for up to ROWS rows, in the first layout that holds; with its name.

    A row's numbers depend neither on how many rows there are, nor on its place, nor on the
    number of threads.
    """
    *trials, (last, always) = LAYOUTS.items()
    n_threads = torch.get_num_threads()
    # In one thread: oneDNN may choose an order by their number, and with it the last bits.
    with _threads(1):
        for name, layout in trials:
            key = (layout, weight.shape, bias is None, weight.device, n_threads)
            if not _tried.get(key, True):
                continue
            product = layout(weight, bias)
            if product is None:
                continue
            if key not in _tried:
                _tried[key] = _holds(product, weight, bias, n_threads)
            if _tried[key]:
                return name, product
            log.debug("layout %r does not hold for %s", name, tuple(weight.shape))
        product = always(weight, bias)
    assert product is not None  # it asks for nothing that a machine might lack
    return last, product


@torch.inference_mode()
def _holds(product: Product, weight: Tensor, bias: Tensor | None, n_threads: int) -> bool:
    """Try two rows, in turns, in all numbers of rows and all places, in one thread and in more."""
    # Not the global generator: what is random elsewhere must not depend on this.
    rows = torch.randn(2, weight.shape[1], generator=torch.Generator().manual_seed(0))
    rows = rows.to(weight.device)
    alone = torch.stack([product(row[None])[0] for row in rows])
    plain = F.linear(rows, weight, bias)
    if not bool((alone - plain).abs().max() <= TOLERANCE * plain.abs().max()):
        return False
    for n in sorted({1, 2, n_threads}):
        with _threads(n):
            for n_rows in range(1, ROWS + 1):
                turns = torch.arange(n_rows, n_rows + n_rows) % 2
                if not torch.equal(product(rows[turns]), alone[turns]):
                    return False
    return True


@contextmanager
def _threads(n_threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _padded(multiply: Product, to: int) -> Product:
    """Fill the rows up to a multiple of `to`: products choose their way by the number of rows."""
    if to == 1:
        return multiply
    return lambda x: multiply(F.pad(x, (0, 0, 0, -len(x) % to)))[: len(x)]


def _fits_half(weight: Tensor) -> bool:
    return torch.equal(weight.half().to(weight.dtype), weight)


class _Layer:
    """One block, its weights laid out for few rows; self-attention's three projections in one."""

    def __init__(
        self, block: ResidualAttentionBlock, lay_out: Callable[[Tensor, Tensor | None], Product]
    ) -> None:
        def of(linear: nn.Linear) -> Product:
            return lay_out(linear.weight, linear.bias)

        self.block = block
        parts = [block.attn.query, block.attn.key, block.attn.value]
        biases = [
            part.weight.new_zeros(len(part.weight)) if part.bias is None else part.bias
            for part in parts
        ]
        self.joined = lay_out(torch.cat([part.weight for part in parts]), torch.cat(biases))
        self.out = of(block.attn.out)
        self.cross_query = of(block.cross_attn.query)
        self.cross_out = of(block.cross_attn.out)
        self.widen = of(block.mlp[0])
        self.narrow = of(block.mlp[2])


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
        names: set[str] = set()

        def laid_out(weight: Tensor, bias: Tensor | None) -> Product:
            name, product = lay_out(weight, bias)
            names.add(name)
            return product

        self._layers = [_Layer(block, laid_out) for block in network.decoder.blocks]
        self._embedding: Tensor = network.decoder.token_embedding.weight
        self._to_words = laid_out(self._embedding, None)
        #: Which of LAYOUTS this machine's products have, one for all where one does.
        self.layout = ", ".join(name for name in LAYOUTS if name in names)
        log.info("the decoder's weights are laid out: %s", self.layout)
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
            # Many numbers at once are parted among threads, and each part's rest is rounded apart.
            wide = torch.stack([F.gelu(row) for row in layer.widen(block.mlp_ln(x))])
            x = x + layer.narrow(wide)
        return dict(zip(rows, self._to_words(self._decoder.ln(x)), strict=True))

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(len(x), self._n_heads, -1).transpose(0, 1).contiguous()


def _attend(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of one token. query: (H, 1, E / H), keys, values: (H, T, E / H)  returns: (E,)."""
    scores = torch.bmm(query * query.shape[-1] ** -0.5, keys.transpose(1, 2))
    return torch.bmm(scores.softmax(-1), values).flatten()
