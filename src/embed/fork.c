/* fork(): PKCS #11 v3.2, 5.4 asks a child to call C_Initialize of its own.
 *
 * Where Python is ours, fork waits until no thread is inside the library and nothing starts or
 * ends, and takes the GIL; a child of a fork amid other threads would otherwise inherit locks that
 * nobody releases. Where Python is the host's, its own os.fork does that, with the help of
 * abi/boot.py, and the handlers only mark the child. */
#include <Python.h>
#include <pthread.h>
#include <unistd.h>

#include "embed.h"

static atomic_ulong fork_count;
static atomic_bool booting;
static atomic_bool interrupted_boot;

/* Written by `prepare` with the lock held, read by the handlers that follow it. */
static bool in_python;
static PyGILState_STATE gil;

unsigned long pypkcs11_fork_count(void)
{
    return atomic_load(&fork_count);
}

bool pypkcs11_fork_interrupted_boot(void)
{
    return atomic_load(&interrupted_boot);
}

void pypkcs11_set_booting(bool now)
{
    atomic_store(&booting, now);
}

static void prepare(void)
{
    int python = atomic_load(&pypkcs11_python);

    /* In a Python host the caller of os.fork holds the GIL, which the lock's owner may await. */
    if (python == PYPKCS11_HOST_PYTHON)
        return;
    pypkcs11_hold_calls();
    in_python = python == PYPKCS11_OWN_PYTHON && Py_IsInitialized();
    if (in_python) {
        gil = PyGILState_Ensure();
        PyOS_BeforeFork();
    }
}

static void parent(void)
{
    if (atomic_load(&pypkcs11_python) == PYPKCS11_HOST_PYTHON)
        return; /* os.fork holds the calls and lets them go */
    if (in_python) {
        PyOS_AfterFork_Parent();
        PyGILState_Release(gil);
    }
    in_python = false;
    pypkcs11_let_calls_go();
}

static void child(void)
{
    pypkcs11_mark_not_ready();
    atomic_fetch_add(&fork_count, 1);
    if (atomic_load(&booting)) {
        pypkcs11_show_openssl_settings();
        atomic_store(&interrupted_boot, true);
    }
    if (in_python) {
        PyOS_AfterFork_Child();
        PyGILState_Release(gil);
    }
    in_python = false;
    pypkcs11_renew_gate();
    pypkcs11_renew_lock();
}

static pid_t settled;

void pypkcs11_settle_fork(void)
{
    settled = getpid();
    child();
}

static void after_in_child(void)
{
    if (settled != getpid())
        child();
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(prepare, parent, after_in_child);
}
