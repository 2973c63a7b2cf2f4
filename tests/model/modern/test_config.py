import pytest

from model.errors import BadSetting
from model.modern.config import MEMBERS, ModernConfig


def test_everyone_may_take_part_unless_told_otherwise():
    assert ModernConfig().member_names == MEMBERS
    assert ModernConfig(members=" trees, past,").member_names == ("trees", "past")


@pytest.mark.parametrize(
    "wrong",
    [
        {"members": ""},
        {"members": "ridge,tower"},
        {"newest_rows": 0},
        {"neighbours": 0},
        {"trees": 0},
        {"min_leaf_rows": 0},
        {"folds": 1},
        {"leaves": 1},
        {"history_drop": 1.0},
        {"block_drop": -0.1},
        {"rehearsal": 0.0},
        {"rehearsal": 1.0},
        {"learning_rate": 0.0},
        {"tree_columns": 1.5},
        {"text_buckets": 0},  # the encoder's own settings are looked at, too
        {"history": "later"},
    ],
)
def test_settings_that_no_model_can_have_are_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(BadSetting, match=rf"{name}[ =]'?{value}"):
        ModernConfig(**wrong)
