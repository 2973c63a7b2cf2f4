import pytest
from hypothesis import given
from hypothesis import strategies as st

from scraper.replica.pictures import colour, picture_graph


@given(st.floats(0.05, 0.95), st.floats(0, 360))
def test_a_colour_is_as_bright_as_asked(luma, hue_deg):
    r, g, b = colour(luma, hue_deg)
    assert all(0 <= c <= 255 for c in (r, g, b))
    assert (0.299 * r + 0.587 * g + 0.114 * b) / 255 == pytest.approx(luma, abs=0.003)


def test_warm_and_cold_are_what_people_call_so():
    r, _, b = colour(0.5, 30)
    assert r > b + 60
    r, _, b = colour(0.5, 210)
    assert b > r + 60


def test_equal_videos_have_equal_graphs_and_others_do_not(content):
    graphs = [picture_graph(v) for v in content.videos]
    assert graphs == [picture_graph(v) for v in content.videos]
    assert len(set(graphs)) == len(graphs)
