"""Certificates for tests of the parties; made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from veracity.net import Identity


@pytest.fixture(scope="session")
def identities(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Identity]:
    """Each role's identity, and a foreign user's from another authority."""
    certificates = pytest.importorskip("veracity.private.certificates")
    folder: Path = tmp_path_factory.mktemp("parties")
    made = certificates.make_certificates(folder / "ours")
    foreign = certificates.make_certificates(folder / "theirs")
    known = {role: Identity(home) for role, home in made.items()}
    return {**known, "foreign": Identity(foreign["user"])}
