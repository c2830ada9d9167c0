"""curl from nginx over TLS, then a BLAKE3 check: what a careful user of a plain web server does.

TLS 1.3 with AES-128-GCM (the cipher p2phub prefers, too), a self-signed certificate that curl is told to trust, one
worker a core, sendfile where TLS allows it. curl fetches all files in parallel; `programs.check_files` then compares
digests.
"""

import datetime
import ipaddress
import os
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.payload import Payload
from benchmarks.peers import find_nginx
from benchmarks.processes import Command, ContestantFailed, Ended, Running

_READY_S = 20.0
_CONFIGURATION = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr warn;
worker_processes {workers};
{user}
events {{ worker_connections 64; }}
http {{
    access_log off;
    sendfile on;
    output_buffers 2 256k;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {directory}/certificate.pem;
        ssl_certificate_key {directory}/key.pem;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
        root {root};
    }}
}}
"""


class Curl:
    """nginx to `curl --parallel`, then `programs.check_files`."""

    name = "curl"
    description = "curl --parallel from nginx, TLS 1.3 AES-128-GCM, then BLAKE3 of the files on all cores"

    def __init__(self, *, cache: Path) -> None:
        self._cache = cache
        self._payload: Payload | None = None
        self._directory = Path()
        self._nginx = ""

    def prepare(self, payload: Payload, directory: Path) -> None:
        if shutil.which("curl") is None:
            raise ContestantFailed("curl is not installed; install it with: apt-get install curl")
        self._payload, self._directory, self._nginx = payload, directory, find_nginx(self._cache)
        _write_certificate(directory)

    def provider(self) -> Command:
        assert self._payload is not None
        # nginx cannot report a port that it chose, so one is found for it; that it is still free then is likely,
        # not sure.
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = int(probe.getsockname()[1])
        configuration = self._directory / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""  # else its workers could not read what only we may read
        configuration.write_text(
            _CONFIGURATION.format(
                directory=self._directory,
                workers=os.cpu_count(),
                user=user,
                port=self._port,
                root=self._payload.root,
            )
        )
        return Command([self._nginx, "-e", "stderr", "-p", str(self._directory), "-c", str(configuration)])

    def address(self, provider: Running) -> str:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return f"https://127.0.0.1:{self._port}"
        raise provider.failure(f"could not be reached within {_READY_S:g} s")

    def requester(self, address: str, into: Path, scratch: Path) -> Sequence[Command]:
        assert self._payload is not None
        wanted = [word for file in self._payload.files for word in ("-o", file.path, f"{address}/{file.path}")]
        fetch = [
            "curl",
            "-q",
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
            "--create-dirs",
            "--cacert",
            str(self._directory / "certificate.pem"),
            "--output-dir",
            str(into),
            "--parallel",
            "--parallel-immediate",
            *wanted,
        ]
        check = [sys.executable, "-m", "benchmarks.programs.check_files", str(self._payload.record), str(into)]
        return [Command(fetch), Command(check)]

    def tree(self, into: Path) -> Path:
        return into

    def verified_at(self, ended: Sequence[Ended]) -> float:
        return ended[-1].moment


def _write_certificate(directory: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "key.pem").write_bytes(secret)
