"""SEAL through TenSEAL's ``sealapi``: a context, and ciphertexts as plain arrays.

The binding can only load from files, so what the other party sent is written to a temporary one;
nothing that has not been sent already ever touches a disk. Arrays are checked (shape, every
coefficient below its prime) before SEAL sees them.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import BackendUnavailable, PeerError, UsageError

__all__ = ["Seal", "available", "load_seal"]

Array = NDArray[np.uint64]


def available() -> bool:
    """Whether TenSEAL is installed."""
    try:
        load_seal()
    except BackendUnavailable:
        return False
    return True


def load_seal() -> ModuleType:
    """The binding.

    Raises
    ------
    BackendUnavailable
        Where TenSEAL is not installed.
    """
    try:
        import tenseal.sealapi as binding
    except ImportError as error:
        raise BackendUnavailable(
            f"token choice by BFV needs TenSEAL ({error}); pip install 'veracity[he]'"
        ) from error
    return binding  # type: ignore[no-any-return]


class Seal:
    """BFV with batching at 128 bits of security, keys with one prime more than ciphertexts.

    Parameters
    ----------
    degree : int
        N, degree of the ring, a power of two.
    prime_bits : tuple of int
        Sizes of the primes of the modulus; the last one serves keys only.
    plain_bits : int
        Size of the prime t that plaintexts are taken modulo.
    """

    def __init__(self, degree: int, prime_bits: tuple[int, ...], plain_bits: int) -> None:
        binding = load_seal()
        parameters = binding.EncryptionParameters(binding.SCHEME_TYPE.BFV)
        parameters.set_poly_modulus_degree(degree)
        parameters.set_coeff_modulus(binding.CoeffModulus.Create(degree, list(prime_bits)))
        parameters.set_plain_modulus(binding.PlainModulus.Batching(degree, plain_bits))
        # SEAL itself refuses a modulus too large for 128 bits at this degree.
        context = binding.SEALContext(parameters, True, binding.SEC_LEVEL_TYPE.TC128)
        if not context.parameters_set():
            raise UsageError(f"BFV parameters are refused: {context.parameters_error_message()}")
        self.binding, self.context, self.degree = binding, context, degree
        self.primes = tuple(int(p.value()) for p in parameters.coeff_modulus())
        self.plain_modulus = int(parameters.plain_modulus().value())
        self.encoder = binding.BatchEncoder(context)
        self.evaluator = binding.Evaluator(context)

    def encode(self, slots: NDArray[np.integer]) -> Any:
        """A plaintext with these values in its slots, as many as the degree at most."""
        values = np.zeros(self.degree, dtype=np.uint64)
        values[: len(slots)] = slots
        plain = self.binding.Plaintext()
        self.encoder.encode(values.tolist(), plain)
        return plain

    def decode(self, plain: Any) -> Array:
        """The slots, uint64 (degree,)."""
        return np.asarray(self.encoder.decode_uint64(plain), dtype=np.uint64)

    def coefficients(self, ciphertext: Any, primes: int) -> Array:
        """Both polynomials modulo each prime, uint64 (2, primes, degree)."""
        data = ciphertext.dyn_array()
        count = 2 * primes * self.degree
        if ciphertext.size() != 2 or data.size() != count:
            raise UsageError("this ciphertext has another shape")
        flat = np.fromiter(map(data.at, range(count)), dtype=np.uint64, count=count)
        return flat.reshape(2, primes, self.degree)

    def ciphertext(self, coefficients: Array) -> Any:
        """The ciphertext with these coefficients.

        Raises
        ------
        PeerError
            Where they are not those of a ciphertext.
        """
        primes = self._checked(coefficients)
        at = self.context.first_parms_id() if primes > 1 else self.context.last_parms_id()
        return self._load(self.binding.Ciphertext(), at, False, coefficients)

    def public_key(self, coefficients: Array) -> Any:
        """The public key with these coefficients, (2, all primes, degree), transformed.

        Raises
        ------
        PeerError
            Where they are not those of a key.
        """
        self._checked(coefficients)
        at = self.context.key_parms_id()
        return self._load(self.binding.PublicKey(), at, True, coefficients)

    def _checked(self, coefficients: Array) -> int:
        primes = int(coefficients.shape[1])
        limits = np.asarray(self.primes[:primes], dtype=np.uint64)
        if bool((coefficients >= limits[None, :, None]).any()):
            raise PeerError("the other party sent what is no ciphertext")
        return primes

    def _load(self, what: Any, parms_id: list[int], transformed: bool, coefficients: Array) -> Any:
        """SEAL's own layout, uncompressed: header, parameters, shape, then the coefficients."""
        # Scale and correction factor are one in BFV.
        shape = (2, self.degree, coefficients.shape[1])
        body = struct.pack("<4Q?3QdQ", *parms_id, transformed, *shape, 1.0, 1)
        array = struct.pack("<Q", coefficients.size) + coefficients.astype("<u8").tobytes()
        body += self._header(len(array)) + array
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "received"
            path.write_bytes(self._header(len(body)) + body)
            try:
                what.load(self.context, str(path))
            except (RuntimeError, ValueError) as error:
                raise PeerError("the other party sent what SEAL refuses") from error
        return what

    def _header(self, length: int) -> bytes:
        """SEAL's header of an uncompressed object: magic, its own size, version, total size."""
        return struct.pack("<HBBBBHQ", 0xA15E, 16, 4, 3, 0, 0, 16 + length)
