"""A model that proves one answer after another: everything that answers share is read once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from veracity.codec.files import Source
from veracity.errors import UsageError
from veracity.formats.drawing import ServerNonce
from veracity.formats.examples import Examples
from veracity.formats.program import NetworkFile, ProgramFile
from veracity.formats.proof import Proof
from veracity.formats.secret import Secret
from veracity.progress import Progress, silent
from veracity.proving.accuracy import Accuracy, counted
from veracity.proving.answering import as_stops
from veracity.proving.opened import Means, Opened, check_pair, load_secret, require_told
from veracity.proving.prompts import Given as Conversation
from veracity.proving.prove import ProvedAnswer, answered, question_of
from veracity.proving.prove_answers import ProvedAnswers, all_answered, check_prompts
from veracity.proving.receipts import CheckedReceipt, prove_receipt
from veracity.proving.tensors import Given, ProvedTensors, tensors_proved
from veracity.work.programs import AnyProgram, load_any

__all__ = ["Prover"]

Result = TypeVar("Result")


class Prover:
    """A committed model that is kept open: what all proofs share is read and checked once.

    That is the program and its mapped weights, the check that the secret opens a commitment to
    exactly these, the generators and, with several jobs, the processes that prove. No randomness is
    kept: every proof draws its own. Between proofs a prover holds little more memory than the files
    have; ``memory`` bounds every proof as it does for :func:`veracity.prove`. With ``ray`` each
    proof connects to the cluster anew.

    Any thread may call any method; proofs are made one after the other, in the order in which their
    calls come to the front. A proof that fails or is cancelled through ``progress`` leaves the
    prover as it was.

    Parameters
    ----------
    program : ProgramFile, NetworkFile or path
        The model, calibrated.
    secret : Secret, path, bytes or binary file
        The opening of its commitment.
    memory : int, optional
        Bytes that all processes together may occupy.
    jobs : int
        Processes that prove segments side by side; they start with the first proof that needs them.
    ray : str, optional
        ``HOST:PORT`` of a Ray cluster whose machines prove the segments.
    threads : int, optional
        Threads of all processes together; all cores by default.
    backend : str
        The engine that computes.

    Raises
    ------
    UsageError
        Secret and program do not belong together.

    Examples
    --------
    ``with Prover("stories.vprog", "stories.vsec") as prover: prover.prove("One day")``
    """

    def __init__(
        self,
        program: AnyProgram | str | Path,
        secret: Secret | Source,
        *,
        memory: int | None = None,
        jobs: int = 1,
        ray: str | None = None,
        threads: int | None = None,
        backend: str = "cpu",
    ) -> None:
        means = Means(memory, jobs, ray, threads, backend)
        opened = secret if isinstance(secret, Secret) else load_secret(secret)
        loaded = load_any(program)
        check_pair(loaded, opened)
        self._text: Opened[ProgramFile] | None = None
        self._network: Opened[NetworkFile] | None = None
        if isinstance(loaded, NetworkFile):
            self._network = Opened(loaded, opened, means)
        else:
            self._text = Opened(loaded, opened, means)
        self._lock, self._closed = threading.Lock(), False

    def __enter__(self) -> Prover:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Wait for the proof that is under way, end the processes, and prove no more."""
        with self._lock:
            self._closed = True
            for model in (self._text, self._network):
                if model is not None:
                    model.close()

    def prove(
        self,
        prompt: str | None = None,
        *,
        messages: Conversation | None = None,
        max_new_tokens: int = 32,
        raw: bool = False,
        stop: Sequence[str] = (),
        temperature: float | str | None = None,
        nonce: str = "",
        server_nonce: ServerNonce | Source | None = None,
        context: str = "",
        progress: Progress = silent,
    ) -> ProvedAnswer:
        """Answer a prompt and prove the answer.

        Parameters
        ----------
        prompt, messages, max_new_tokens, raw, stop, temperature, nonce, server_nonce, context
            As for :func:`veracity.prove`.
        progress : Progress
            Called as the work advances.

        Raises
        ------
        UsageError, RangeError, VeracityError
            As there; or the prover is closed, or its model is a network over arrays.
        """
        require_told(context, progress)
        question = question_of(
            prompt,
            messages=messages,
            max_new_tokens=max_new_tokens,
            raw=raw,
            stop=stop,
            temperature=temperature,
            nonce=nonce,
            server_nonce=server_nonce,
            context=context,
        )
        return self._alone(lambda: answered(self._language(), question, progress))

    def prove_answers(
        self,
        prompts: Sequence[str | Conversation],
        *,
        max_new_tokens: int = 32,
        raw: bool = False,
        stop: Sequence[str] = (),
        context: str = "",
        progress: Progress = silent,
    ) -> ProvedAnswers:
        """Answer several prompts and prove all answers with one proof.

        Parameters
        ----------
        prompts, max_new_tokens, raw, stop, context
            As for :func:`veracity.prove_answers`.
        progress : Progress
            Called as the work advances.

        Raises
        ------
        UsageError, RangeError, VeracityError
            As there; or the prover is closed, or its model is a network over arrays.
        """
        require_told(context, progress)
        check_prompts(prompts, max_new_tokens, raw)
        stops = tuple(as_stops(stop))
        return self._alone(
            lambda: all_answered(
                self._language(), prompts, max_new_tokens=max_new_tokens, raw=raw, stops=stops,
                context=context, progress=progress,
            )
        )  # fmt: skip

    def prove_receipt(self, checked: CheckedReceipt, *, progress: Progress = silent) -> Proof:
        """Keep a receipt's promise: prove its answer.

        Parameters
        ----------
        checked : CheckedReceipt
            What :func:`veracity.proving.receipts.check_receipt` gave.
        progress : Progress
            Called as the work advances.

        Raises
        ------
        UsageError
            The receipt is of a refusal, the prover is closed, or its model is a network over
            arrays.
        """
        return self._alone(lambda: prove_receipt(checked, self._language(), progress=progress))

    def prove_tensors(
        self,
        inputs: Mapping[str, Given] | Given,
        *,
        seal: Collection[str] = (),
        context: str = "",
        progress: Progress = silent,
    ) -> ProvedTensors:
        """Run a network on inputs and prove its outputs.

        Parameters
        ----------
        inputs, seal, context
            As for :func:`veracity.prove_tensors`.
        progress : Progress
            Called as the work advances.

        Raises
        ------
        UsageError, RangeError, VeracityError
            As there; or the prover is closed, or its model is a language model.
        """
        require_told(context, progress)
        return self._alone(
            lambda: tensors_proved(
                self._arrays(), inputs, seal=seal, context=context, progress=progress
            )
        )

    def evaluate(
        self,
        examples: Examples | Source,
        *,
        output: str | None = None,
        context: str = "",
        progress: Progress = silent,
    ) -> Accuracy:
        """Ask a network labelled examples, and prove its answers.

        Parameters
        ----------
        examples, output, context
            As for :func:`veracity.evaluate`.
        progress : Progress
            Called as the work advances.

        Raises
        ------
        UsageError, RangeError, VeracityError
            As there; or the prover is closed, or its model is a language model.
        """
        require_told(context, progress)
        return self._alone(
            lambda: counted(
                self._arrays(), examples, output=output, context=context, progress=progress
            )
        )

    def _alone(self, work: Callable[[], Result]) -> Result:
        """What work gives, when no other proof is being made."""
        with self._lock:
            if self._closed:
                raise UsageError("this prover is closed; open another one")
            return work()

    def _language(self) -> Opened[ProgramFile]:
        if self._text is None:
            raise UsageError("this program is a network over arrays; give inputs, no prompt")
        return self._text

    def _arrays(self) -> Opened[NetworkFile]:
        if self._network is None:
            raise UsageError("this program is a language model; ask it with a prompt")
        return self._network
