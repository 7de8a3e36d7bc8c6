"""Clusters for tests: certificates of an authority of their own, and workers without Ray."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["LocalLauncher", "make_cluster_certificates"]


def make_cluster_certificates(folder: Path) -> dict[str, str]:
    """An authority and one machine's certificate; the environment that Ray takes them from."""
    now = dt.datetime.now(dt.UTC)
    authority, machine = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = [x509.DNSName("localhost"), x509.DNSName(socket.gethostname())]
    addresses = {"127.0.0.1", socket.gethostbyname(socket.gethostname()), own_address()}
    names += [x509.IPAddress(ipaddress.ip_address(a)) for a in sorted(addresses)]

    def certificate(key: ec.EllipticCurvePrivateKey, name: str) -> x509.CertificateBuilder:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
        )

    top = certificate(authority, "authority").add_extension(x509.BasicConstraints(True, None), True)
    own = certificate(machine, "machine").add_extension(x509.SubjectAlternativeName(names), False)
    folder.mkdir(parents=True, exist_ok=True)
    pem = serialization.Encoding.PEM
    files = {
        "RAY_TLS_CA_CERT": top.sign(authority, hashes.SHA256()).public_bytes(pem),
        "RAY_TLS_SERVER_CERT": own.sign(authority, hashes.SHA256()).public_bytes(pem),
        "RAY_TLS_SERVER_KEY": machine.private_bytes(
            pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    found = {"RAY_AUTH_MODE": "token", "RAY_USE_TLS": "1"}
    for name, data in files.items():
        path = folder / f"{name.lower()}.pem"
        path.write_bytes(data)
        path.chmod(0o600)
        found[name] = str(path)
    return found


def own_address() -> str:
    """The address that Ray takes this machine to have."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


@dataclass
class LocalLauncher:
    """Starts workers itself, where Ray would.

    Attributes
    ----------
    environment : mapping
        Variables of the workers, beside this process's.
    count : int
        How many each time that it is asked.
    entry : str
        Module that is run.
    """

    environment: Mapping[str, str]
    count: int = 2
    entry: str = "veracity.work.cluster.worker"
    asked: int = 0
    call: tuple[str, str, str] = ("", "", "")
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, host: str, port: int, job: str) -> None:
        self.asked += 1
        self.call = (host, str(port), job)
        alive = sum(process.poll() is None for process in self.processes)
        for _ in range(self.count - alive):
            self.one_more()

    def one_more(self, **variables: str) -> subprocess.Popen[bytes]:
        """A machine that joins."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", self.entry, *self.call],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(sys.path),
                "RAYON_NUM_THREADS": "1",
                **self.environment,
                **variables,
            },
        )
        self.processes.append(process)
        return process

    def troubles(self) -> str:
        return ""

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
