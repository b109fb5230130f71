import pytest

from .example import build


@pytest.fixture(scope="session")
def example():
    return build()
