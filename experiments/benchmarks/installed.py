"""What is measured, by version."""

import importlib.metadata


def versions(*names: str) -> dict[str, str]:
    """Of these distributions, where they are installed."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
