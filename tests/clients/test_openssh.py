"""OpenSSH: keys of the token log in, directly and through an agent, sign and issue certificates."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from clients.harness import Result, Token, wait_until
from clients.openssh import USER, WELCOME, Agent, Server, Ssh, agent, authorized, server

KEY_TYPES = ["rsa:2048", "EC:prime256v1", "EC:secp384r1", "EC:secp521r1"]
ASKED_FOR_THE_PIN = "Enter PIN for 'test token': "


@pytest.fixture
def ssh(token: Token) -> Ssh:
    return Ssh.at(token)


def one_key(ssh: Ssh, key_type: str = "EC:prime256v1", *options: str) -> Path:
    """A key pair in the token; its public key in a file."""
    ssh.token.generate(key_type, "01", "me", *options)
    return ssh.public("me")


def openssl_says(ssh: Ssh) -> str:
    """The token's one public key in OpenSSH's form, by way of openssl."""
    ssh.token.openssl("pkey", "-pubin", "-inform", "DER", "-in", ssh.token.public_key("01"),
                      "-out", "public.pem")  # fmt: skip
    return ssh("ssh-keygen", "-i", "-m", "PKCS8", "-f", "public.pem").stdout.decode().strip()


def is_in(result: Result, there: Server) -> bool:
    """Whether a login worked; anything but that and a refusal is a failure of the test."""
    shown = f"{result}\n{there.log.read_text(errors='replace')}"
    if result.code == 0:
        assert result.stdout == WELCOME, shown
        return True
    assert result.code == 255, shown
    assert "Permission denied (publickey)" in result.text, shown
    return False


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_key_is_listed(ssh: Ssh, key_type: str) -> None:
    ssh.token.generate(key_type, "01", "my key")
    assert ssh.listed() == [f"{openssl_says(ssh)} my key"]
    assert ssh.questions() == []


def test_an_edwards_key_is_passed_over(ssh: Ssh) -> None:
    """OpenSSH 9.2 takes RSA and the NIST curves from tokens, and not Ed25519."""
    ssh.token.generate("EC:edwards25519", "02", "edwards")
    ssh.token.generate("EC:prime256v1", "01", "me")
    (only,) = ssh.listed()
    assert only.startswith("ecdsa-sha2-nistp256 ")
    assert only.endswith(" me")


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_key_logs_in(ssh: Ssh, key_type: str) -> None:
    public = one_key(ssh, key_type)
    with server(ssh, authorized(public)) as there:
        assert is_in(there.login("-I", ssh.token.library, via=ssh), there)
    assert ssh.questions() == [ASKED_FOR_THE_PIN]


def test_one_of_several_keys_is_chosen(ssh: Ssh) -> None:
    """By its public key in a file; the server is not offered the others."""
    ssh.token.generate("EC:secp384r1", "02", "other")
    public = one_key(ssh)
    with server(ssh, authorized(public), "MaxAuthTries 1") as there:
        chosen = ["-o", "IdentitiesOnly=yes", "-o", f"IdentityFile={public}"]
        assert is_in(there.login("-I", ssh.token.library, *chosen, via=ssh), there)


def test_a_key_with_nothing_but_a_certificate_logs_in(ssh: Ssh) -> None:
    """No public key object: OpenSSH takes the key out of the X.509 certificate."""
    token = ssh.token
    token.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem",
                  "-subj", "/CN=me", "-outform", "DER", "-out", "cert.der")  # fmt: skip
    token.openssl("pkey", "-in", "key.pem", "-outform", "DER", "-out", "key.der")
    for kind in ("privkey", "cert"):
        file = "key.der" if kind == "privkey" else "cert.der"
        token.user("--write-object", file, "--type", kind, "--id", "01", "--label", "me")
    with server(ssh, authorized(ssh.public("/CN=me"))) as there:
        assert is_in(there.login("-I", token.library, via=ssh), there)


def test_a_wrong_pin_does_not_log_in(ssh: Ssh) -> None:
    with server(ssh, authorized(one_key(ssh))) as there:
        wrong = Ssh(Token(**{**vars(ssh.token), "pin": "9999"}))
        assert not is_in(there.login("-I", ssh.token.library, via=wrong), there)
        assert ssh.questions() == [ASKED_FOR_THE_PIN]
        assert is_in(there.login("-I", ssh.token.library, via=ssh), there)


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_key_logs_in_through_an_agent(ssh: Ssh, key_type: str) -> None:
    """The PIN is asked for when the agent gets the card, and not again."""
    public = one_key(ssh, key_type)
    with server(ssh, authorized(public)) as there, agent(ssh) as ours:
        ours.add()
        assert len(ssh.questions()) == 1
        assert ours.keys() == public.read_text().splitlines()
        for _ in range(2):
            assert is_in(there.login(via=ours), there)
    assert ssh.questions() == []


def test_a_card_is_removed_and_added_again(ssh: Ssh) -> None:
    with server(ssh, authorized(one_key(ssh))) as there, agent(ssh) as ours:
        for _ in range(2):
            ours.add()
            assert is_in(there.login(via=ours), there)
            ours("ssh-add", "-e", ssh.token.library)
            assert ours.keys() == ["The agent has no identities."]
            assert not is_in(there.login(via=ours), there)


def test_the_agent_loads_only_what_it_was_allowed(ssh: Ssh) -> None:
    with agent(ssh, "-P", "/usr/lib/*") as ours:
        refused = ours.attempt("ssh-add", "-s", ssh.token.library)
        assert refused.code != 0
        assert "agent refused operation" in refused.text


def test_a_wrong_pin_is_not_taken_by_the_agent(ssh: Ssh) -> None:
    one_key(ssh)
    with agent(ssh) as ours:
        wrong = ours.ssh.attempt("ssh-add", "-s", ssh.token.library, PIN="9999",
                                 SSH_AUTH_SOCK=str(ours.socket))  # fmt: skip
        assert wrong.code != 0
        ours.add()


def started(there: Server, ours: Agent | Ssh, *options: str) -> subprocess.Popen[bytes]:
    """A login that runs by itself."""
    env = ours.env if isinstance(ours, Ssh) else {
        **ours.ssh.env, "SSH_AUTH_SOCK": str(ours.socket)
    }  # fmt: skip
    return subprocess.Popen(
        there.command(*options), env=env, cwd=there.ssh.work,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(login: subprocess.Popen[bytes]) -> Result:
    """How a login that was started went; none takes for ever."""
    try:
        out, err = login.communicate(timeout=60)
    finally:
        login.kill()
    return Result("ssh", login.returncode, out, err)


def test_many_log_in_at_once(ssh: Ssh) -> None:
    """Through one agent, through another, and without: three processes have the token open."""
    with (
        server(ssh, authorized(one_key(ssh))) as there,
        agent(ssh, name="one") as one,
        agent(ssh, name="two") as two,
    ):
        one.add()
        two.add()
        directly = ["-I", str(ssh.token.library)]
        logins = [started(there, via) for via in (one, two, one, two, one, one)]
        logins += [started(there, ssh, *directly) for _ in range(2)]
        assert [is_in(ended(login), there) for login in logins] == [True] * 8


def test_a_card_is_removed_while_in_use(ssh: Ssh) -> None:
    """A login works or is refused, whenever that happens; afterwards the card can be added."""
    with server(ssh, authorized(one_key(ssh))) as there, agent(ssh) as ours:
        ours.add()
        logins = [started(there, ours) for _ in range(5)]
        ours("ssh-add", "-e", ssh.token.library)
        for login in logins:
            is_in(ended(login), there)
        ours.add()
        assert is_in(there.login(via=ours), there)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("victim", ["agent", "helper"])
def test_the_agent_is_killed(ssh: Ssh, victim: str) -> None:
    """Or its helper, which has the library; the token serves the next agent."""
    with server(ssh, authorized(one_key(ssh))) as there:
        with agent(ssh, name="first") as first:
            first.add()
            assert is_in(there.login(via=first), there)
            helper = first.helper()
            os.kill(helper if victim == "helper" else first.process.pid, signal.SIGKILL)
            wait_until(lambda: is_gone(helper), "the helper's end")
            assert not is_in(there.login(via=first), there)
        with agent(ssh, name="second") as second:
            second.add()
            assert is_in(there.login(via=second), there)


def test_a_key_is_deleted_under_the_agent(ssh: Ssh) -> None:
    """Another process deletes one of two keys: that one is refused, the other goes on."""
    public = one_key(ssh)
    ssh.token.generate("EC:prime256v1", "02", "other")
    other = ssh.public("other")
    with agent(ssh) as ours:
        ours.add()
        assert signed(ours, public).code == signed(ours, other).code == 0
        ssh.token.user("--delete-object", "--type", "privkey", "--id", "01")
        assert "agent refused operation" in signed(ours, public).text
        assert signed(ours, other).code == 0


def signed(ours: Agent, public: Path) -> Result:
    """Sign the file "message" through an agent."""
    message = ours.ssh.token.file("message", b"any file" * 10_000)
    message.with_suffix(".sig").unlink(missing_ok=True)
    return ours.attempt("ssh-keygen", "-Y", "sign", "-n", "file", "-f", public, message)


@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_a_file_is_signed(ssh: Ssh, key_type: str) -> None:
    public = one_key(ssh, key_type)
    ssh.token.file("allowed_signers", b"me@example.org " + public.read_bytes())
    with agent(ssh) as ours:
        ours.add()
        assert signed(ours, public).code == 0
    verify = ["bash", "-c", 'ssh-keygen -Y verify -f allowed_signers -I me@example.org -n file '
              '-s message.sig < "$0"']  # fmt: skip
    assert 'Good "file" signature for me@example.org' in ssh(*verify, "message").text
    other = ssh.token.file("other", b"another file")
    assert ssh.attempt(*verify, other).code != 0


@pytest.mark.parametrize("key_type", KEY_TYPES[:2])
@pytest.mark.parametrize("through", ["token", "agent"])
def test_a_certificate_is_issued(ssh: Ssh, key_type: str, through: str) -> None:
    """The CA's key is in the token; who has the certificate logs in, and nobody else."""
    authority = one_key(ssh, key_type)
    mine = ssh.new_key("mine")
    issue = ["-I", "name", "-n", USER, "-V", "+1h", mine.with_suffix(".pub")]
    if through == "token":
        ssh("ssh-keygen", "-s", authority, "-D", ssh.token.library, *issue)
    else:
        with agent(ssh) as ours:
            ours.add()
            ours("ssh-keygen", "-U", "-s", authority, *issue)
    with server(ssh, "AuthorizedKeysFile none", f"TrustedUserCAKeys {authority}") as there:
        assert is_in(there.login("-i", mine, via=ssh), there)
        assert not is_in(there.login("-i", ssh.new_key("stranger"), via=ssh), there)


@pytest.mark.parametrize("key_type", KEY_TYPES[:3])
def test_a_servers_host_key_is_in_the_token(ssh: Ssh, key_type: str) -> None:
    public = one_key(ssh, key_type)
    mine = ssh.new_key("mine")
    with agent(ssh) as ours:
        ours.add()
        settings = [authorized(mine.with_suffix(".pub")), f"HostKeyAgent {ours.socket}"]
        with server(ssh, *settings, host_key=public) as there:
            for _ in range(2):
                assert is_in(there.login("-i", mine, via=ssh), there)


def test_a_key_that_asks_each_time(ssh: Ssh) -> None:
    """CKA_ALWAYS_AUTHENTICATE: OpenSSH asks for the PIN again if it had logged in before that.

    Which it does when it sees no key without a login: when the public key is private as well.
    """
    ssh.token.generate("EC:prime256v1", "01", "me", "--always-auth", "--private")
    public = ssh.public("me")
    assert ssh.questions() == [ASKED_FOR_THE_PIN]
    with server(ssh, authorized(public)) as there:
        assert is_in(there.login("-I", ssh.token.library, via=ssh), there)
    assert ssh.questions() == [ASKED_FOR_THE_PIN] * 2


def test_a_key_that_asks_each_time_is_not_for_agents(ssh: Ssh) -> None:
    """The agent's helper cannot ask; the token does not sign without the PIN."""
    public = one_key(ssh, "EC:prime256v1", "--always-auth")
    with agent(ssh) as ours:
        ours.add()
        assert "agent refused operation" in signed(ours, public).text
