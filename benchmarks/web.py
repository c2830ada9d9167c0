"""nginx as a provider: a plain web server of a payload's files, over TLS or not, for the contestants that fetch by URL.

One worker a core, sendfile where TLS allows it. Over TLS: 1.3 with AES-128-GCM (the cipher p2phub prefers, too) and a
self-signed certificate that the requester is told to trust.
"""

import datetime
import ipaddress
import os
import socket
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.isolation import LOOPBACK
from benchmarks.peers import Program, find_program
from benchmarks.processes import Command, Running

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
    {maps}
    server {{
        listen {host}:{port}{tls};
        keepalive_requests 1000000;
        {server}
    }}
}}
"""
_TLS = """
        ssl_certificate {directory}/certificate.pem;
        ssl_certificate_key {directory}/key.pem;
        ssl_protocols TLSv1.3;
        ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
"""


class Nginx:
    """The web server of one contestant in one race; `directory` is the contestant's own."""

    def __init__(self, directory: Path, *, cache: Path, tls: bool, host: str = LOOPBACK) -> None:
        """Find the program. Raises ContestantFailed if there is none."""
        self._directory, self._tls, self._host, self._port = directory, tls, host, 0
        self._program = find_nginx(cache)
        self.certificate = directory / "certificate.pem"
        if tls:
            _write_certificate(directory, host)

    def command(self, *, server: str, maps: str = "") -> Command:
        """Return what starts it, with these lines in its `server` and `http` blocks."""
        self._port = free_port(self._host)
        configuration = self._directory / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""  # else its workers could not read what only we may read
        configuration.write_text(
            _CONFIGURATION.format(
                directory=self._directory,
                workers=os.cpu_count(),
                user=user,
                host=self._host,
                port=self._port,
                tls=" ssl" if self._tls else "",
                maps=maps,
                server=(_TLS.format(directory=self._directory) if self._tls else "") + server,
            )
        )
        arguments = [self._program.path, "-e", "stderr", "-p", str(self._directory), "-c", str(configuration)]
        return Command(arguments, self._program.environment)

    def address(self, provider: Running) -> str:
        """Wait until it can be asked; return its URL, without a slash at the end."""
        wait_for_port(provider, self._port, self._host)
        return f"{'https' if self._tls else 'http'}://{self._host}:{self._port}"


def find_nginx(cache: Path) -> Program:
    """Return nginx. Raises ContestantFailed if there is none and none can be fetched."""
    return find_program("nginx", "nginx", asked="-v", cache=cache)


def free_port(host: str = LOOPBACK) -> int:
    """Return a free port of an address of ours, for a program that cannot report one that it chose.

    That it is still free when the program starts is likely, not sure.
    """
    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])


def wait_for_port(provider: Running, port: int, host: str = LOOPBACK) -> None:
    """Wait until the provider accepts connections there. Raises ContestantFailed."""
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise provider.failure(f"could not be reached within {_READY_S:g} s")


def _write_certificate(directory: Path, host: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "benchmark")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
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
