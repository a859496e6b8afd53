/* Calls inside the library, counted so that fork and C_Finalize can wait until there are none.
 *
 * A call may be in SQLite or OpenSSL without the GIL and hold a lock there, which a child would
 * inherit with nobody to release it. So fork closes the gate, waits for the calls that are inside
 * and opens the gate again in the parent. */
#include <Python.h>
#include <time.h>
#include <unistd.h>

#include "embed.h"

/* Calls end within milliseconds. Those that take longer than this, in seconds, are making a long
 * key: they calculate, and hold nothing. */
#define PATIENCE 2

atomic_uint pypkcs11_calls;
atomic_bool pypkcs11_gate_closed;

static _Thread_local bool holding;
static pid_t holder; /* the process in which the gate was closed */

bool pypkcs11_holding_here(void)
{
    return holding;
}

bool pypkcs11_wait_at_gate(void)
{
    if (holding && getpid() != holder) {
        pypkcs11_settle_fork();
        return false;
    }
    if (holding)
        return true; /* another library's fork handler, in the thread that forks */
    do {
        atomic_fetch_sub(&pypkcs11_calls, 1);
        pypkcs11_lock(); /* held for as long as the gate is closed */
        pypkcs11_unlock();
        atomic_fetch_add(&pypkcs11_calls, 1);
    } while (atomic_load(&pypkcs11_gate_closed));
    return true;
}

static void wait_for_calls(void)
{
    static const struct timespec pause = {0, 20000};
    struct timespec now;
    time_t end = 0;

    clock_gettime(CLOCK_MONOTONIC, &now);
    end = now.tv_sec + PATIENCE;
    while (atomic_load(&pypkcs11_calls) != 0 && now.tv_sec <= end) {
        nanosleep(&pause, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
    }
}

void pypkcs11_hold_calls(void)
{
    PyThreadState *suspended = NULL;

    pypkcs11_lock();
    holding = true;
    holder = getpid();
    atomic_store(&pypkcs11_gate_closed, true);
    if (atomic_load(&pypkcs11_calls) == 0)
        return;
    if (pypkcs11_holds_gil())
        suspended = PyEval_SaveThread();
    wait_for_calls();
    if (suspended != NULL)
        PyEval_RestoreThread(suspended);
}

void pypkcs11_let_calls_go(void)
{
    if (!holding)
        return;
    holding = false;
    atomic_store(&pypkcs11_gate_closed, false);
    pypkcs11_unlock();
}

/* In a forked child, which has one thread, and that is not inside. */
void pypkcs11_renew_gate(void)
{
    holding = false;
    atomic_store(&pypkcs11_calls, 0);
    atomic_store(&pypkcs11_gate_closed, false);
}

void pypkcs11_rest(void)
{
    atomic_fetch_sub(&pypkcs11_calls, 1);
}

void pypkcs11_resume(void)
{
    atomic_fetch_add(&pypkcs11_calls, 1);
    if (atomic_load(&pypkcs11_gate_closed))
        pypkcs11_wait_at_gate();
}
