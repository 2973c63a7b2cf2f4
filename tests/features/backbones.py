"""A published weights file of torchvision's, small and made here: what a download would leave."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torchvision.models import ShuffleNet_V2_X0_5_Weights, shufflenet_v2_x0_5

BACKBONE = "shufflenet_v2_x0_5"
NAME = "IMAGENET1K_V1"


@dataclass(frozen=True)
class Offered:
    """file: what stands on the publisher's side. cached: where torchvision keeps its copy."""

    file: Path
    cached: Path

    def put_into_cache(self, content: bytes | None = None) -> None:
        """Place the file, or something else under its name, in torchvision's cache."""
        self.cached.parent.mkdir(parents=True, exist_ok=True)
        self.cached.write_bytes(self.file.read_bytes() if content is None else content)


def offer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Offered:
    """Let torchvision offer a file of this machine, with an empty cache of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = shufflenet_v2_x0_5()
    draft = folder / "draft.pth"
    torch.save(network.state_dict(), draft)
    sha256 = hashlib.sha256(draft.read_bytes()).hexdigest()
    file = draft.rename(folder / f"shuffle-{sha256[:10]}.pth")
    monkeypatch.setattr(ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1.value, "url", file.as_uri())
    monkeypatch.setenv("TORCH_HOME", str(folder / "home"))
    return Offered(file, folder / "home" / "hub" / "checkpoints" / file.name)
