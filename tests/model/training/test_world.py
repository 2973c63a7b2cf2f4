"""Where a training computes: what "auto" means, and who does which part."""

import pytest
import torch
from threadpoolctl import threadpool_limits

from features.errors import DeviceMissing
from model.base import SolveRequest
from model.modern.config import ModernConfig
from model.modern.solve import solve_modern
from model.registry import find_kind
from model.targets import TargetTransform
from model.training.world import World, join, one_thread, precision_on, seeded
from tests.model.planted import planted


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with threadpool_limits(2):
        yield
    torch.set_num_threads(before)


def test_the_number_of_threads_comes_back(two_threads):
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("members", ["ridge", "trees", "ridge,trees,grams,past"])
def test_two_threads_find_the_weights_that_one_finds(members, two_threads, tmp_path):
    config = ModernConfig(members=members, trees=20)
    rows = planted(300, media=True)
    target = TargetTransform.fit([row.views_k for row in rows], "log1p")
    found = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        request = SolveRequest(rows, [], target, 0, tmp_path, lambda *_: None, lambda _: None)
        with threadpool_limits(n_threads):
            found.append(solve_modern(config, request).state_dict())
    one, two = found
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize(("kind", "n_threads"), [("modern", 1), ("mean", 1), ("fused", 2)])
def test_what_was_solved_is_scored_with_one_thread(kind, n_threads, two_threads):
    with find_kind(kind).threads():
        assert torch.get_num_threads() == n_threads


def test_auto_follows_the_processor_and_a_wish_does_not(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict, raising=False)
    assert precision_on("auto", cpu) == "fp32"  # a system that does not tell
    for unit in ("amx_bf16", "avx512_bf16", "bf16"):
        found = {unit: True}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        assert precision_on("auto", cpu) == "bf16"
        assert precision_on("fp32", cpu) == "fp32"
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "avx2": True})
    assert precision_on("auto", cpu) == "fp32"


def test_a_seed_decides_inside_and_leaves_the_numbers_outside():
    before = torch.get_rng_state()
    with seeded(3):
        first = torch.rand(4)
    torch.rand(1)
    with seeded(3):
        assert torch.equal(torch.rand(4), first)
    torch.set_rng_state(before)
    outside = torch.rand(1)
    torch.set_rng_state(before)
    with pytest.raises(ValueError, match="fails"), seeded(4):
        raise ValueError("fails")
    assert torch.equal(torch.rand(1), outside)


def test_convolutions_have_the_precision_that_was_asked_for():
    value = torch.ones(1, 1, 3, 3)
    with World().computing("bf16"):
        assert torch.nn.functional.conv2d(value, value).dtype == torch.bfloat16
    with World().computing("fp32"):
        assert torch.nn.functional.conv2d(value, value).dtype == torch.float32


def test_alone_one_does_everything():
    with join("cpu") as found:
        assert found == World(torch.device("cpu"), rank=0, size=1)
        tensor = torch.ones(2)
        found.add_up([tensor])
        found.wait()
        assert tensor.tolist() == [1, 1]
        assert found.tell({"a": 1}) == {"a": 1}


def test_every_clip_of_a_batch_has_one_place():
    batch = [10, 11, 12]
    shares = [list(World(rank=rank, size=4).share(batch)) for rank in range(4)]
    assert shares == [[10], [11], [12], []]


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceMissing, match="finds no GPU"), join("cuda"):
        pass
    with join("auto") as found:
        assert found.device.type == "cpu"
