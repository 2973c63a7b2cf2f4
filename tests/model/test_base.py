import pytest
import torch

from model.base import Moments, Standardiser


def test_inputs_become_mean_zero_and_sd_one_per_channel():
    rows = torch.randn(200, 3, 4, 4) * torch.tensor([1.0, 10.0, 0.1]).view(3, 1, 1) + 5
    scaler, moments = Standardiser((3, 1, 1), clip_at=50.0), Moments((3, 1, 1))
    for part in rows.split(7):  # a stream of batches, the last one shorter
        moments.add(part)
    moments.store(scaler)
    scaled = scaler(rows)
    torch.testing.assert_close(scaled.mean((0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.std((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)


def test_extremes_are_cut():
    scaler = Standardiser((2,), clip_at=5.0)
    assert scaler(torch.tensor([[1e6, -1e6]])).tolist() == [[5.0, -5.0]]


def test_a_channel_that_never_moved_keeps_its_scale():
    scaler, moments = Standardiser((2,), clip_at=5.0), Moments((2,))
    moments.add(torch.tensor([[300.1, 1.0], [300.1, 3.0]]))
    moments.store(scaler)
    assert scaler.sd.tolist() == [1.0, 1.0]
    assert scaler.mean.tolist() == pytest.approx([300.1, 2.0])


def test_no_rows_leave_the_scale_alone():
    scaler, moments = Standardiser((2,), clip_at=5.0), Moments((2,))
    moments.add(torch.zeros(0, 2))
    moments.store(scaler)
    assert (scaler.mean.tolist(), scaler.sd.tolist()) == ([0.0, 0.0], [1.0, 1.0])
