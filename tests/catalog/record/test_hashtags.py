"""Topics and hashtags: their names, and which videos have them."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from catalog.errors import BadValue
from catalog.record.hashtags import add_topics, mark_listed, plain_hashtag
from catalog.schema.tables import Hashtag
from tests.catalog.factories import T0


def test_topics_are_added_once(catalog):
    with catalog.write() as session:
        assert add_topics(session, {"Dance": ["Dance", "#ballet"], "Sports": ["golf"]}) == 3
    with catalog.write() as session:
        assert add_topics(session, {"Dance": ["dance", "tango"]}) == 1


@pytest.mark.parametrize("name", ["", "#", "##x", "x" * 201])
def test_what_is_no_hashtag_is_refused(name):
    with pytest.raises(BadValue, match="no hashtag"):
        plain_hashtag(name)


def test_a_listing_moves_only_forward(catalog):
    with catalog.write() as session:
        mark_listed(session, "Dance", T0)
        mark_listed(session, "dance", T0 - timedelta(days=1))
        assert session.scalars(select(Hashtag.listed_at)).one() == T0
