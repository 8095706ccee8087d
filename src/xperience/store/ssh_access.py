"""The relay's own key and the store's host key: made, tried, pinned (asyncssh)."""

import asyncio
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from xperience.common.errors import ConfigurationError, RefusedError, UnavailableError, XperienceError
from xperience.store.ssh import parse_host

TIMEOUT_SECONDS = 20


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key pair's public half, and the line for the store's authorized_keys."""

    public_key: str
    authorized_keys_line: str


@dataclass(frozen=True, slots=True)
class HostKey:
    """What a host shows; `known_hosts_line` pins it."""

    host: str
    fingerprint: str
    known_hosts_line: str


def keygen(path: Path) -> MadeKey:
    """Make an ed25519 pair at `path` and `path`.pub; ConfigurationError where `path` exists.

    `restrict` takes away terminals, forwarding and agents. The relay needs SFTP and the execution of one hash
    command, which a forced command would take away as well: with `command="internal-sftp"` it works too, but reads
    every file back to verify it.
    """
    if path.exists():
        raise ConfigurationError("key exists already", where=str(path), fix="Use it, or give another --ssh-key.")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = asyncssh.generate_private_key("ssh-ed25519", comment=f"xperience-relay@{socket.gethostname()}")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as handle:
        handle.write(key.export_private_key("openssh"))
    public = key.export_public_key("openssh").decode().strip()
    path.with_name(f"{path.name}.pub").write_text(public + "\n")
    return MadeKey(public, f"restrict {public}")


def check_key(host_text: str, *, key: Path, known_hosts: Path) -> str:
    """Log in without asking anything and run `hostname`; the plan's check of the key."""
    user, host, port = parse_host(host_text)

    async def look() -> str:
        async with asyncssh.connect(
            host, port, username=user, client_keys=[str(key)], known_hosts=str(known_hosts), agent_path=None,
            config=None, connect_timeout=TIMEOUT_SECONDS, preferred_auth=["publickey"],
        ) as connection:  # fmt: skip
            done = await connection.run("hostname", check=True, timeout=TIMEOUT_SECONDS)
            return str(done.stdout).strip()

    if not key.is_file():
        raise RefusedError("the relay's key cannot be read", where=str(key), fix="Make one: `relay keygen`.")
    if not known_hosts.is_file():
        raise ConfigurationError("known_hosts cannot be read", where=str(known_hosts), fix="`relay trust-host`.")
    try:
        return asyncio.run(look())
    except ValueError as error:  # what asyncssh says of a damaged or encrypted key
        raise ConfigurationError(
            "the relay's key cannot be read", where=str(key), why=str(error), fix="Make one: `relay keygen`."
        ) from error
    except (asyncssh.Error, OSError) as error:
        raise _named(error, host_text) from error


def _named(error: Exception, host: str) -> XperienceError:
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return RefusedError(
            "the store's host key is not the trusted one", where=host, why=error.reason,
            fix="Look at it with `relay trust-host`; pin it where it is right.",
        )  # fmt: skip
    if isinstance(error, asyncssh.PermissionDenied):
        return RefusedError(
            "the store does not accept the relay's key", where=host, why=error.reason,
            fix="Append the line that `relay keygen` printed to authorized_keys there.",
        )  # fmt: skip
    return UnavailableError("the store cannot be reached", where=host, why=str(error))


def scan_host_key(host_text: str) -> HostKey:
    """The host's key as it shows it now, ed25519 where it has one."""
    _, host, port = parse_host(host_text)
    try:
        key = asyncio.run(
            asyncio.wait_for(
                asyncssh.get_server_host_key(
                    host, port, config=None, server_host_key_algs=["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-256"]
                ),
                TIMEOUT_SECONDS,
            )
        )
    except (asyncssh.Error, OSError) as error:
        raise _named(error, host_text) from error
    if key is None:
        raise UnavailableError("the host shows no key", where=host_text)
    name = host if port == 22 else f"[{host}]:{port}"
    public = key.export_public_key("openssh").decode().split()
    return HostKey(host_text, key.get_fingerprint("sha256"), f"{name} {public[0]} {public[1]}")


def trust(found: HostKey, fingerprint: str, known_hosts: Path) -> None:
    """Append the host's line where its fingerprint is the expected one; RefusedError where it is not.

    Another key of the same host in the file is refused too: it may be the right one.
    """
    if found.fingerprint != fingerprint:
        raise RefusedError(
            "the host's fingerprint is another", where=found.host, why=f"it shows {found.fingerprint}",
            fix="Compare with what the store's console says: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`.",
        )  # fmt: skip
    text = known_hosts.read_text() if known_hosts.exists() else ""
    lines = text.splitlines()
    name, kind, _ = found.known_hosts_line.split()
    if found.known_hosts_line in lines:
        return
    for line in lines:
        if line.split()[:2] == [name, kind]:
            raise RefusedError(
                "another key of this host is trusted already", where=f"{known_hosts}: {name}",
                fix="If the host was set up anew, remove its old line first.",
            )  # fmt: skip
    known_hosts.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with known_hosts.open("a") as handle:
        # The last line may have no end, and would be spoilt as well.
        handle.write("\n" * (text != "" and not text.endswith("\n")) + found.known_hosts_line + "\n")
