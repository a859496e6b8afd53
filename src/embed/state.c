/* Whether calls may go to Python, and the lock around what changes that. */
#include <Python.h>
#include <pthread.h>

#include "embed.h"

atomic_int pypkcs11_readiness = PYPKCS11_NOT_READY;

static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

void pypkcs11_mark_ready(void)
{
    int readiness = atomic_load(&pypkcs11_python) == PYPKCS11_HOST_PYTHON ? PYPKCS11_READY_IN_HOST
                                                                          : PYPKCS11_READY;

    atomic_store_explicit(&pypkcs11_readiness, readiness, memory_order_release);
}

void pypkcs11_mark_not_ready(void)
{
    atomic_store_explicit(&pypkcs11_readiness, PYPKCS11_NOT_READY, memory_order_release);
}

/* CFFI answers 0, which is CKR_OK, in an interpreter that has not defined the entries. */
bool pypkcs11_in_subinterpreter(void)
{
    PyThreadState *here = PyGILState_GetThisThreadState();

    return here != NULL && PyThreadState_GetInterpreter(here) != PyInterpreterState_Main();
}

/* A call into a Python that is being finalised, or was, is a crash: C's own exit handlers and
 * destructors make such calls. Python marks itself as finalising after its atexit functions ran,
 * so those may still use the library. */
bool pypkcs11_host_python_alive(void)
{
    if (atomic_load_explicit(&pypkcs11_python_dead, memory_order_relaxed) || !Py_IsInitialized() ||
        pypkcs11_in_subinterpreter())
        return false;
#if PY_VERSION_HEX >= 0x030D0000
    return !Py_IsFinalizing();
#else
    return !_Py_IsFinalizing();
#endif
}

bool pypkcs11_holds_gil(void)
{
    /* While Python is being started nobody holds the GIL but the thread that starts it. */
    if (atomic_load(&pypkcs11_python) == PYPKCS11_NO_PYTHON || !pypkcs11_host_python_alive())
        return false;
    return PyGILState_Check() != 0;
}

void pypkcs11_lock(void)
{
    PyThreadState *suspended = NULL;

    if (pthread_mutex_trylock(&lock) == 0)
        return;
    if (pypkcs11_holds_gil())
        suspended = PyEval_SaveThread();
    pthread_mutex_lock(&lock);
    if (suspended != NULL)
        PyEval_RestoreThread(suspended);
}

void pypkcs11_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* In a forked child: the owner may be a thread that exists in the parent only. */
void pypkcs11_renew_lock(void)
{
    static const pthread_mutex_t fresh = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

    lock = fresh;
}
