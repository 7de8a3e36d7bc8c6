"""What a file of this package holds, as plain facts; nothing secret among them."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from veracity.codec import read_file, sniff
from veracity.codec.files import PROGRAM, Source, kind_of, name_of, stored_at
from veracity.errors import FormatError, UsageError
from veracity.formats.accuracy import ACCURACY_KIND, AccuracyProof
from veracity.formats.answers import ANSWERS_KIND, AnswersProof
from veracity.formats.commitment import KIND as COMMITMENT
from veracity.formats.commitment import Commitment
from veracity.formats.data import (
    DATA_KIND,
    ROW_KIND,
    SECRET_KIND,
    DataFile,
    DataSecret,
    RowOpening,
)
from veracity.formats.exclusion import EXCLUSION_KIND, ExclusionProof
from veracity.formats.proof import KIND as PROOF
from veracity.formats.proof import Proof
from veracity.formats.seal import KEY_KIND, SEAL_KIND, Seal, SealKey
from veracity.formats.secret import KIND as SECRET
from veracity.formats.secret import Secret
from veracity.formats.tensor_proof import KIND as TENSORS
from veracity.formats.tensor_proof import TensorProof
from veracity.formats.training import PROOF_KIND, TrainingProof
from veracity.graph import Program
from veracity.lm.text_decoder import context_of, is_text_decoder, vocabulary_of
from veracity.proving.proofs import MAX_ANY
from veracity.proving.tokens import token_facts
from veracity.text.shown import has_name

if TYPE_CHECKING:
    from veracity.formats.program import NetworkFile, ProgramFile
    from veracity.proving.proofs import AnyProof

    OfTraining = DataFile | DataSecret | RowOpening | ExclusionProof
    AnyFile = (
        Commitment | Secret | Seal | SealKey | AnyProof | OfTraining | ProgramFile | NetworkFile
    )  # fmt: skip

__all__ = ["inspect_file", "load"]


def load(source: Source) -> AnyFile:
    """Read any file of this package: a commitment, a secret opening, a proof or a program.

    Parameters
    ----------
    source : path, bytes or binary file
        Where it is. A program is read from a path only: its weights stay on disk.

    Returns
    -------
    Commitment, Secret, Proof, AnswersProof, TensorProof, AccuracyProof, TrainingProof, DataFile,
    DataSecret, RowOpening, ExclusionProof, Seal, SealKey, ProgramFile or NetworkFile

    Raises
    ------
    FormatError
        The file is damaged or not one of ours.
    UsageError
        The path cannot be read, or others can read the secret.
    """
    return _load(source, shared=False)[0]


def _load(source: Source, *, shared: bool) -> tuple[AnyFile, int]:
    """What is in a file, and its size. Pipes are read once."""
    path = stored_at(source)
    what: Source
    if path is None:
        what = data = read_file(source, MAX_ANY, "file")
        kind, size = kind_of(data), len(data)
    else:
        what, kind, size = path, sniff(path), path.stat().st_size
    if kind == COMMITMENT:
        return Commitment.load(what), size
    if kind == SECRET:
        return Secret.load(what, shared=shared), size
    loaders: dict[bytes | None, Callable[[Source], AnyFile]] = {
        PROOF: Proof.load,
        ANSWERS_KIND: AnswersProof.load,
        TENSORS: TensorProof.load,
        ACCURACY_KIND: AccuracyProof.load,
        SEAL_KIND: Seal.load,
        KEY_KIND: lambda what: SealKey.load(what, shared=shared),
        DATA_KIND: DataFile.load,
        SECRET_KIND: DataSecret.load,
        ROW_KIND: RowOpening.load,
        PROOF_KIND: TrainingProof.load,
        EXCLUSION_KIND: ExclusionProof.load,
    }
    if kind in loaders:
        return loaders[kind](what), size
    if path is None:
        if kind == PROGRAM:
            raise UsageError("a program is read from a path, not from a pipe or from bytes")
        raise FormatError(name_of(source, "file"), "not a file of veracity")
    # Only program files need the frontends, which a verifier may not have.
    from veracity.formats.program import load_any_program

    return load_any_program(path), size


def inspect_file(source: Source) -> dict[str, Any]:
    """Facts about a file, ready for a table or JSON."""
    content, size = _load(source, shared=True)
    if isinstance(content, Commitment):
        return {"kind": "commitment (public)", "bytes": size, **commitment_facts(content)}
    if isinstance(content, Secret):
        return {
            "kind": "secret opening (keep it)",
            "bytes": size,
            **mode_facts(source),
            "opens": commitment_facts(content.commitment),
        }
    if isinstance(content, Proof):
        return {
            "kind": "proof (says nothing until it is verified)",
            "bytes": size,
            "commitment": content.commitment_digest,
            "frame": content.frame,
            "context": content.context,
            "prompt_tokens": content.prompt_length,
            "answer_tokens": len(content.answer),
            "prompt_ids": list(content.prompt),
            "answer_ids": list(content.answer),
            "argument_bytes": len(content.argument),
        }
    if isinstance(content, AnswersProof):
        return {
            "kind": "proof of several answers (says nothing until it is verified)",
            "bytes": size,
            "commitment": content.commitment_digest,
            "answers": len(content.answers),
            "context": content.context,
            "prompt_tokens": [one.prompt_length for one in content.answers],
            "answer_tokens": [len(one.answer) for one in content.answers],
            "segments": len(content.cuts) + 1,
            "argument_bytes": len(content.argument),
        }
    if isinstance(content, DataFile | DataSecret | RowOpening | ExclusionProof | TrainingProof):
        return {**training_facts(content), "bytes": size}
    if isinstance(content, Seal | SealKey):
        public = content if isinstance(content, Seal) else content.seal
        spec = public.tensor.spec
        opens = isinstance(content, SealKey)
        return {
            "kind": "seal key (keep it)" if opens else "seal (public; shows no values)",
            "bytes": size,
            "seal": public.digest,
            "dims": list(spec.dims),
            "exponent": spec.exponent,
            "range": [spec.low, spec.high],
            **(mode_facts(source) if opens else {}),
        }
    if isinstance(content, AccuracyProof):
        return {
            "kind": "proof about accuracy (says nothing until it is verified)",
            "bytes": size,
            "commitment": content.commitment_digest,
            "examples": content.examples_digest,
            "samples": len(content.answers),
            "context": content.context,
            "segments": len(content.cuts) + 1,
            "argument_bytes": len(content.argument),
        }
    if isinstance(content, TensorProof):
        return {
            "kind": "proof about tensors (says nothing until it is verified)",
            "bytes": size,
            "commitment": content.commitment_digest,
            "inputs": {n: d.hex() for n, d in content.inputs.items()},
            "outputs": {n: d.hex() for n, d in content.outputs.items()},
            "sealed": sorted(content.sealed),
            "samples": content.samples,
            "context": content.context,
            "segments": len(content.cuts) + 1,
            "argument_bytes": len(content.argument),
        }
    from veracity.formats.program import NetworkFile

    return {
        "kind": "program (private: it holds the weights)",
        "bytes": size,
        **(network_facts(content) if isinstance(content, NetworkFile) else program_facts(content)),
    }


def network_facts(content: NetworkFile) -> dict[str, Any]:
    """What is known of a network over tensors."""
    return {
        "source": content.source,
        "parameters": content.parameters,
        "program": tensor_facts(content.program),
        "quantisation": content.quantisation,
        "calibration": content.calibration,
        "accuracy": content.accuracy,
    }


def tensor_facts(program: Program) -> dict[str, Any]:
    """Digest, number of ops and ports of a program over tensors."""
    ports = {**program.inputs, **program.outputs}
    return {
        "digest": program.digest,
        "ops": len(program.ops),
        **{
            name: f"{'x'.join(map(str, p.dims))}, multiples of 2^-{p.exponent}"
            for name, p in ports.items()
        },
    }


def mode_facts(source: Source) -> dict[str, str]:
    """Permissions of a secret that lies on disk."""
    path = stored_at(source)
    if path is None:
        return {}
    mode = stat.S_IMODE(path.stat().st_mode)
    warning = "" if mode & 0o077 == 0 else " (others can read it: chmod 600)"
    return {"mode": f"{mode:04o}{warning}"}


def training_facts(content: OfTraining | TrainingProof) -> dict[str, Any]:
    """What the files of training say."""
    if isinstance(content, DataFile):
        found = content.commitment
        return {
            "kind": "data commitment (public)",
            "data_digest": content.digest,
            "label": found.label,
            "examples": found.examples,
            "inputs": found.inputs,
            "classes": found.classes,
            "form_bytes": sum(map(len, content.form)),
        }
    if isinstance(content, DataSecret):
        return {
            "kind": "data secret (keep it: it holds the examples)",
            "opens": content.digest.hex(),
            "examples": len(content.labels),
        }
    if isinstance(content, RowOpening):
        return {
            "kind": "opened row (whoever has it can show this example)",
            "data": content.digest.hex(),
            "row": content.index,
        }
    if isinstance(content, ExclusionProof):
        return {
            "kind": "proof of exclusion (says nothing until it is checked)",
            "data": [d.hex() for d in content.data],
            "sha256_of_input": hashlib.sha256(content.content).hexdigest(),
        }
    run = content.description
    return {
        "kind": "training proof (says nothing until it is verified)",
        "commitment": content.commitment_digest,
        "data": [d.hex() for d in run.data],
        "steps": run.recipe.steps,
        "steps_per_window": run.window,
        "recipe": run.recipe.to_json(),
    }


def program_facts(content: ProgramFile) -> dict[str, Any]:
    """What is known of an imported model, and of its scales where it has them."""
    facts: dict[str, Any] = {
        "source": content.source,
        "parameters": content.parameters,
        "architecture": content.model.config.as_dict(),
        "calibrated": content.program is not None,
        "text": token_facts(content.tokenizer),
    }
    if content.program is not None:
        facts["program"] = {
            "digest": content.program.digest,
            "ops": len(content.program.ops),
            "context_tokens": context_of(content.program),
        }
        facts["quantisation"] = content.quantisation
        facts["calibration"] = content.calibration
        facts["accuracy"] = content.accuracy
    return facts


def commitment_facts(commitment: Commitment) -> dict[str, Any]:
    """The statements in a commitment."""
    plain = commitment.metadata.to_plain()
    plain.pop("frames")
    program, table = commitment.program, commitment.table
    if not is_text_decoder(program):
        named = commitment.accuracy_proof
        told = {} if named is None else {
            "proof_of_accuracy": {**named.to_plain(), "says": "nothing until it is verified"}
        }  # fmt: skip
        return {"digest": commitment.digest, "program": tensor_facts(program), **plain, **told}
    stops = {name for i in commitment.metadata.stop_ids if (name := table.show([i]).text)}
    odd = sorted(i for i in table.special if table.pieces[i] and not has_name(table.pieces[i]))
    return {
        "commitment": commitment.digest,
        "program": {
            "ops": len(program.ops),
            "vocabulary": vocabulary_of(program),
            "context_tokens": context_of(program),
        },
        "weights": "the file says that it proves"
        + (" their stated widths" if commitment.widths else " integers below 2^49")
        + "; `veracity verify` checks it",
        "tokenisation": "not pinned: verifiers cannot check how a prompt was spelled in token ids"
        if commitment.table.rule is None
        else "pinned: every text has one spelling in token ids",
        "prompt_frames": {
            name: {"before": table.show(f.before).text, "after": table.show(f.after).text}
            for name, f in sorted(commitment.metadata.frames.items())
        },
        "answers_end_with": sorted(stops),
        "special_tokens_that_are_words": [table.show([i]).text for i in odd],
        **plain,
    }
