"""The host's OpenSSL configuration is the host's: the token's cryptography never follows it.

The token computes with the OpenSSL inside `cryptography`, which would read the file in OPENSSL_CONF
when it is loaded. Here these files make an unprotected token fail, or have it load itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from abi.compiling import SOURCES, compile_c

FIPS_ALONE = """\
openssl_conf = init
[init]
alg_section = algorithms
[algorithms]
default_properties = fips=yes
"""

STARTS_THE_MODULE = """\
openssl_conf = init
[init]
providers = providers
[providers]
default = default_section
test = test_section
[default_section]
activate = 1
[test_section]
module = {provider}
activate = 1
"""

HOST = """\
import ctypes, sys
module = ctypes.CDLL(sys.argv[1])
ok = lambda rv: None if rv == 0 else sys.exit(hex(rv))
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
before = getenv(b"OPENSSL_CONF")
ok(module.C_Initialize(None))
slot, session, size = ctypes.c_ulong(), ctypes.c_ulong(), ctypes.c_ulong(1)
ok(module.C_GetSlotList(1, ctypes.byref(slot), ctypes.byref(size)))
ok(module.C_InitToken(slot, b"1234", ctypes.c_ulong(4), b"token".ljust(32)))
ok(module.C_OpenSession(slot, 4, None, None, ctypes.byref(session)))
ok(module.C_DigestInit(session, (ctypes.c_ulong * 3)(0x250, 0, 0)))
digest, size = ctypes.create_string_buffer(32), ctypes.c_ulong(32)
ok(module.C_Digest(session, b"abc", ctypes.c_ulong(3), digest, ctypes.byref(size)))
print(digest.raw.hex(), getenv(b"OPENSSL_CONF") == before)
"""

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def environment(library: Path, token_dir: Path, tmp_path: Path) -> dict[str, str]:
    cheap = tmp_path / "config.toml"
    cheap.write_text("[store]\nkdf_memory = 64\nkdf_iterations = 1\nkdf_lanes = 1\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENSSL_", "PYPKCS11_"))}
    return {
        **kept,
        "PYPKCS11_TOKEN_DIR": str(token_dir),
        "PYPKCS11_CONF": str(cheap),
        "PROVIDER_MODULE": str(library),
    }


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("provider") / "provider.so"
    return compile_c(SOURCES / "provider.c", target, "-std=gnu11", "-shared", "-fPIC")


def run(*command: object, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    arguments = [str(part) for part in command]
    return subprocess.run(
        arguments, env=env, capture_output=True, text=True, timeout=60, check=False
    )


def use_a_token(library: Path, env: dict[str, str]) -> None:
    """Have pkcs11-tool, a C program, make a token and a key in it, and sign."""
    tool = ["pkcs11-tool", "--module", library]
    user = [*tool, "--login", "--pin", "1234"]
    for step in (
        [*tool, "--init-token", "--label", "t", "--so-pin", "12345678"],
        [*tool, "--init-pin", "--login", "--login-type", "so", "--so-pin", "12345678",
         "--pin", "1234"],
        [*user, "--keypairgen", "--key-type", "rsa:2048", "--id", "01"],
        [*user, "--sign", "--mechanism", "SHA256-RSA-PKCS", "--id", "01", "--input-file",
         SOURCES / "provider.c", "--output-file", "/dev/null"],
    ):  # fmt: skip
        done = run(*step, env=env)
        assert done.returncode == 0, done.stderr


def test_algorithms_that_the_host_does_not_allow_itself(
    library: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """No algorithm has the property fips=yes in an OpenSSL that loads no FIPS provider."""
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(FIPS_ALONE)
    environment["OPENSSL_CONF"] = str(configuration)
    assert run("openssl", "dgst", "-sha256", configuration, env=environment).returncode != 0
    use_a_token(library, environment)


@pytest.mark.parametrize("name", ["fips.cnf", "empty.cnf", "missing.cnf", ""])
def test_the_hosts_variable_is_as_it_was(
    library: Path, environment: dict[str, str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "fips.cnf").write_text(FIPS_ALONE)
    (tmp_path / "empty.cnf").write_text("")
    environment["OPENSSL_CONF"] = str(tmp_path / name) if name else ""
    done = run(sys.executable, "-c", HOST, library, env=environment)
    assert (done.stdout, done.stderr) == (f"{SHA256_OF_ABC} True\n", "")


def test_a_configuration_that_starts_the_module(
    library: Path, provider: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """The host's OpenSSL loads the provider, which starts the module; the token's does not."""
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(STARTS_THE_MODULE.format(provider=provider))
    environment["OPENSSL_CONF"] = str(configuration)
    done = run("openssl", "dgst", "-sha256", "-r", "/dev/null", env=environment)
    assert (done.returncode, done.stderr) == (0, "provider: C_Initialize 0x0\n"), done
    done = run(sys.executable, "-c", HOST, library, env=environment)
    assert (done.stdout, done.stderr) == (f"{SHA256_OF_ABC} True\n", "")


def test_a_python_host_whose_ssl_starts_the_module(
    library: Path, provider: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    """The module starts while the host's own Python imports `ssl`, and then serves that host."""
    configuration = tmp_path / "openssl.cnf"
    configuration.write_text(STARTS_THE_MODULE.format(provider=provider))
    environment["OPENSSL_CONF"] = str(configuration)
    script = f"import ssl; ssl.create_default_context()\n{HOST}"
    script = script.replace("ok(module.C_Initialize(None))\n", "")
    done = run(sys.executable, "-c", script, library, env=environment)
    assert (done.stdout, done.stderr) == (
        f"{SHA256_OF_ABC} True\n",
        "provider: C_Initialize 0x0\n",
    )
