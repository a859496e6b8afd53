"""Hosts written in Python: the library runs in theirs, and leaves it as it was."""

from __future__ import annotations

import glob
import os
import sys
from pathlib import Path

import pytest
from abi.compiling import SOURCES, compile_c
from abi.test_hosts import SOAK, Run, run, settings, whole_tokens

__all__ = ["run", "settings"]

UNDISTURBED = """
import ctypes, gc, locale, logging, os, signal, sys, threading, warnings
import faulthandler
locale.setlocale(locale.LC_ALL, "C")

def state():
    return {
        "path": list(sys.path),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "wakeup": signal.set_wakeup_fd(-1),
        "locale": locale.setlocale(locale.LC_ALL),
        "warnings": list(warnings.filters),
        "loggers": (list(logging.root.handlers), set(logging.root.manager.loggerDict)),
        "hooks": (sys.excepthook, sys.displayhook, sys.unraisablehook, threading.excepthook),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "flags": (sys.flags, sys.dont_write_bytecode, sys.getswitchinterval()),
        "collector": (gc.isenabled(), gc.get_threshold()),
        "recursion": sys.getrecursionlimit(),
        "environment": dict(os.environ),
        "directory": os.getcwd(),
        "threads": threading.enumerate(),
        "umask": os.umask(0o22),
    }

before = state()
module = ctypes.CDLL(sys.argv[1])
assert module.C_Initialize(None) == 0
info = ctypes.create_string_buffer(88)
assert module.C_GetInfo(info) == 0
assert module.C_Finalize(None) == 0
after = state()
for name in before:
    assert before[name] == after[name], (name, before[name], after[name])
print("undisturbed")
"""


@pytest.mark.parametrize("options", [(), ("-I", "-S"), ("-X", "dev", "-W", "error")])
def test_the_host_is_left_as_it_was(library: Path, run: Run, options: tuple[str, ...]) -> None:
    done = run(sys.executable, *options, "-c", UNDISTURBED, library)
    assert (done.returncode, done.stdout, done.stderr) == (0, "undisturbed\n", "")


def test_a_host_that_has_the_package_too(library: Path, run: Run, root: Path) -> None:
    """It imports another copy of the package before: the library runs what is there."""
    script = "import pypkcs11.core.library\n" + UNDISTURBED
    done = run(sys.executable, "-c", script, library, PYTHONPATH=str(root / "src"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "undisturbed\n", "")


THREADS = """
import ctypes, sys
arguments = (ctypes.c_char_p * 4)(b"threads", sys.argv[2].encode(), b"0.3", b"500")
sys.exit(ctypes.CDLL(sys.argv[1]).main(4, arguments))
"""


def test_threads_in_development_mode(library: Path, run: Run, tmp_path: Path) -> None:
    """Python checks its memory and its locks, while C threads do all kinds of work."""
    options = ("-std=gnu11", "-shared", "-fPIC")
    host = compile_c(SOURCES / "threads.c", tmp_path / "threads.so", *options)
    done = run(sys.executable, "-X", "dev", "-W", "error", "-c", THREADS, host, library)
    assert (done.returncode, done.stderr) == (0, "")
    whole_tokens(tmp_path / "tokens")


PYTHON_PKCS11 = """
import ctypes, itertools, os, sys, threading, warnings
import pkcs11
from pkcs11 import KeyType, Mechanism
warnings.simplefilter("ignore", DeprecationWarning)
library = pkcs11.lib(sys.argv[1])
token = library.get_token(token_label="host")
DATA = {
    pkcs11.Attribute.CLASS: pkcs11.ObjectClass.DATA,
    pkcs11.Attribute.TOKEN: True,
    pkcs11.Attribute.VALUE: b"value",
}
stop = threading.Event()
# What python-pkcs11 computes once for each key it computes under a lock of functools, which a
# child would inherit: nobody forks before that is done.
ready = threading.Barrier(4)
count = 0

def work():
    global count
    with token.open(rw=True) as session:
        public, private = session.generate_keypair(KeyType.RSA, 2048, store=False)
        for number in itertools.count():
            signature = private.sign(b"data", mechanism=Mechanism.SHA256_RSA_PKCS)
            assert public.verify(b"data", signature, mechanism=Mechanism.SHA256_RSA_PKCS)
            session.create_object(DATA).destroy()
            count += 1
            if number == 0:
                ready.wait()
            if stop.is_set():
                break

session = token.open(user_pin="user-pin-1234")
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
ready.wait()
for number in range(int(sys.argv[2])):
    pid = os.fork()
    if pid == 0:
        import faulthandler
        faulthandler.dump_traceback_later(60, exit=True)
        assert ctypes.CDLL(sys.argv[1]).C_Initialize(None) == 0
        token = library.get_token(token_label="host")
        with token.open(rw=True, user_pin="user-pin-1234") as session:
            session.generate_key(KeyType.AES, 256).encrypt(b"data", mechanism_param=bytes(16))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0, number
stop.set()
for thread in threads: thread.join()
assert count > 0
session.close()
print("whole")
"""


def test_forks_amid_threads(library: Path, run: Run, tmp_path: Path) -> None:
    """os.fork in a host whose threads write to the token: no child waits for their locks."""
    program = compile_c(SOURCES / "work.c", tmp_path / "work", "-std=gnu11")
    assert run(program, library).returncode == 0
    done = run(sys.executable, "-c", PYTHON_PKCS11, library, 10 * SOAK)
    assert (done.returncode, done.stdout, done.stderr) == (0, "whole\n", "")
    whole_tokens(tmp_path / "tokens")


SUBINTERPRETER = """
import ctypes, sys
try:
    import _xxsubinterpreters as interpreters
except ImportError:
    import _interpreters as interpreters
script = f'''
import ctypes, threading
module = ctypes.CDLL({sys.argv[1]!r})
info = ctypes.create_string_buffer(88)
def call():
    rv = module.C_Initialize(None)
    assert rv in {{expected}}, rv
    rv = module.C_GetInfo(info)
    assert rv == 0x190 or (rv == 0 and info.raw[2:10] == b"pypkcs11"), rv
thread = threading.Thread(target=call)
thread.start()
thread.join()
call()
'''
try:
    one = interpreters.create(isolated=False)
except TypeError:
    one = interpreters.create("legacy")
interpreters.run_string(one, script.replace("{expected}", "(0, 5, 0x191)"))
module = ctypes.CDLL(sys.argv[1])
assert module.C_Initialize(None) in (0, 0x191)
interpreters.run_string(one, script.replace("{expected}", "(5, 0x191)"))
info = ctypes.create_string_buffer(88)
assert module.C_GetInfo(info) == 0
assert module.C_Finalize(None) == 0
print("whole")
"""


def test_subinterpreters_work_or_are_refused(library: Path, run: Run) -> None:
    """Never is a call answered with CKR_OK that nobody has seen."""
    done = run(sys.executable, "-c", SUBINTERPRETER, library)
    assert (done.returncode, done.stdout) == (0, "whole\n"), done.stderr
    for line in done.stderr.splitlines():
        assert line.startswith("pypkcs11: this is a sub-interpreter of the process's Python; ")


OTHER = """
import ctypes, sys, time
module = ctypes.CDLL(sys.argv[1])
begin = time.time()
rv = module.C_Initialize(None)
answer = sys.version_info[0], sys.version_info[1], rv, time.time() - begin < 0.01
sys.stdout.write("%d %d:%d %s\\n" % answer)
"""


def others() -> list[str]:
    """The interpreters of this machine that are not the one of the tests."""
    found = glob.glob("/usr/bin/python[23].[0-9]*") + glob.glob("/usr/local/bin/python[23].[0-9]*")
    found += glob.glob(os.path.expanduser("~/.pyenv/versions/*/bin/python"))
    return [path for path in found if not path.endswith(("-config", "m"))]


def test_other_pythons(library: Path, run: Run) -> None:
    """The same minor version works, whoever built it; any other is refused at once."""
    ours = f"{sys.version_info.major} {sys.version_info.minor}"
    for interpreter in [sys.executable, *others()]:
        try:
            done = run(interpreter, "-E", "-s", "-S", "-c", OTHER, library)
        except OSError:  # not an interpreter after all
            continue
        version, _, answer = done.stdout.partition(":")
        if version == ours:
            assert answer.startswith("0 "), (interpreter, done.stdout, done.stderr)
            continue
        assert answer == "5 True\n", (interpreter, done.stdout, done.stderr)
        (line,) = done.stderr.splitlines()
        assert line.startswith(
            f"pypkcs11: this process contains Python {version.replace(' ', '.')}"
        )
