import pytest

from .example import Example


@pytest.fixture(scope="session")
def example():
    return Example()
