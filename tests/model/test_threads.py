import pytest
import torch
from threadpoolctl import threadpool_limits

from model.modern.solve import solve_modern
from model.modern.tower import ModernConfig
from model.network import SolveRequest
from model.solved.boosted import BoostedConfig, solve_boosted
from model.solved.ridge import RidgeConfig, solve_ridge
from model.targets import TargetTransform
from model.threads import one_thread, threads_for
from tests.model.planted import planted

MODERN = ModernConfig(
    width=16, heads=2, layers=1, bins=4, epochs=2, folds=2, trees=10, small_below=100
)


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


@pytest.mark.parametrize(
    ("solve", "config"),
    [
        (solve_ridge, RidgeConfig(use_author=True)),
        (solve_boosted, BoostedConfig(use_author=True, max_trees=20)),
        (solve_modern, MODERN),
    ],
)
def test_two_threads_find_the_weights_that_one_finds(solve, config, two_threads, tmp_path):
    rows = planted(300, media=True)
    target = TargetTransform.fit([row.views_k for row in rows], "log1p")
    found = []
    for n_threads in (1, 2):
        torch.set_num_threads(n_threads)
        request = SolveRequest(rows, [], target, 0, tmp_path, lambda *_: None, lambda _: None)
        with threadpool_limits(n_threads):
            found.append(solve(config, request).state_dict())
    one, two = found
    assert one.keys() == two.keys()
    assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.parametrize(("is_solved", "n_threads"), [(True, 1), (False, 2)])
def test_what_was_solved_is_scored_with_one_thread(is_solved, n_threads, two_threads):
    with threads_for(is_solved=is_solved):
        assert torch.get_num_threads() == n_threads
