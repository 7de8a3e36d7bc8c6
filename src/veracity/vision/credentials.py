"""Content credentials: what c2patool is to sign into an enhanced picture.

This makes the manifest definition and nothing else: the tool signs it, with the publisher's key,
and writes it into the file. A signed picture still verifies, since its pixels stay the same.
Format: the manifest definition of c2patool; labels of C2PA, digital source types of IPTC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["ENHANCEMENT", "SOURCE_TYPE", "manifest_definition"]

#: Label of the assertion that ties a picture to its proof.
ENHANCEMENT = "org.veracity.enhancement"
#: What IPTC calls a picture that an algorithm improved.
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicallyEnhanced"


def manifest_definition(
    facts: Mapping[str, Any], program: str, version: str, proof: Path | None = None
) -> dict[str, Any]:
    """The definition for one enhanced picture.

    Parameters
    ----------
    facts : mapping
        ``input`` and ``output`` (paths), ``input_pixels`` and ``output_pixels`` (digests) and,
        with a proof, ``commitment_digest`` and ``seals``. Of a port that is sealed the digest of
        the seal is stated: one of the pixels could be found by guessing them.
    program : str
        Digest of the program that was run.
    version : str
        Of this package.
    proof : path, optional
        The proof, whose SHA-256 is stated.

    Returns
    -------
    dict
        To be written as JSON and given to ``c2patool OUTPUT --manifest FILE --parent INPUT``.
    """
    output = Path(facts["output"]).name
    agent = {"name": "veracity", "version": version}
    stated: dict[str, Any] = {"program": program}
    seals = facts.get("seals", {})
    for port, side in (("picture", "input"), ("enlarged", "output")):
        if port in seals:
            stated[f"{side}_seal"] = seals[port]["digest"]
        else:
            stated[f"{side}_pixels"] = facts[f"{side}_pixels"]
    if proof is not None:
        stated["commitment"] = facts["commitment_digest"]
        stated["proof_sha256"] = hashlib.sha256(proof.read_bytes()).hexdigest()
    edited = {
        "action": "c2pa.edited",
        "digitalSourceType": SOURCE_TYPE,
        "softwareAgent": agent,
        "parameters": {"description": "enlarged by two, blur and noise corrected, by a network"},
    }
    return {
        "claim_generator_info": [agent],
        "title": output,
        "format": "image/png",
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [edited]}},
            {"label": ENHANCEMENT, "data": stated},
        ],
    }
