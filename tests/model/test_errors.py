import pytest

from model import errors


def children() -> list[type[errors.ModelError]]:
    return errors.ModelError.__subclasses__()


@pytest.mark.parametrize("error", children())
def test_every_error_is_drawn_in_the_tree(error):
    assert error.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("error", children())
def test_every_error_has_an_exit_code_of_the_command_line(error):
    assert error.exit_code in {1, 2, 3}


@pytest.mark.parametrize("error", [errors.NotFinite, errors.IncompatibleFeatures])
def test_an_error_that_can_befall_one_row_has_a_code_to_store(error):
    assert error.code.replace("_", "").islower()
    assert error.permanent
