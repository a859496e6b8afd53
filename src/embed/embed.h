/* What the C files of the library share. None of it is visible outside the library. */
#ifndef PYPKCS11_EMBED_H
#define PYPKCS11_EMBED_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "pkcs11.h"

#define PYPKCS11_EXPORT __attribute__((visibility("default")))

/* ---- state.c: may calls go to Python now? ---- */

enum pypkcs11_readiness {
    PYPKCS11_NOT_READY = 0,
    PYPKCS11_READY = 1,        /* Python is ours and is never finalised */
    PYPKCS11_READY_IN_HOST = 2 /* Python is the host's, which finalises it when it likes */
};

extern atomic_int pypkcs11_readiness;

bool pypkcs11_host_python_alive(void);

/* One load where Python is ours: every function of the standard begins with this. */
static inline bool pypkcs11_is_ready(void)
{
    int readiness = atomic_load_explicit(&pypkcs11_readiness, memory_order_acquire);

    if (__builtin_expect(readiness == PYPKCS11_READY, 1))
        return true;
    return readiness == PYPKCS11_READY_IN_HOST && pypkcs11_host_python_alive();
}

void pypkcs11_mark_ready(void);
void pypkcs11_mark_not_ready(void);

bool pypkcs11_holds_gil(void);
bool pypkcs11_in_subinterpreter(void);

/* C_Initialize, C_Finalize and fork exclude each other. The lock lets go of the GIL while it
 * waits, because its holder may need it. */
void pypkcs11_lock(void);
void pypkcs11_unlock(void);
void pypkcs11_renew_lock(void);

/* ---- gate.c: the calls that are inside the library, and fork, which waits for them ---- */

extern atomic_uint pypkcs11_calls;
extern atomic_bool pypkcs11_gate_closed;

/* Returns false in a child whose fork has not been seen to yet. */
bool pypkcs11_wait_at_gate(void);

void pypkcs11_hold_calls(void);
void pypkcs11_let_calls_go(void);
void pypkcs11_renew_gate(void);
void pypkcs11_rest(void);
void pypkcs11_resume(void);

/* Whether this thread holds the calls. */
bool pypkcs11_holding_here(void);

/* Every function of the standard begins and ends with these. A thread that is cancelled while it
 * waits for the GIL would take the GIL's own lock with it, so that cancelling waits. */
static inline bool pypkcs11_enter(int *cancel_state)
{
    if (!pypkcs11_is_ready())
        return false;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, cancel_state);
    atomic_fetch_add(&pypkcs11_calls, 1);
    if (__builtin_expect(!atomic_load(&pypkcs11_gate_closed), 1) || pypkcs11_wait_at_gate())
        return true;
    pthread_setcancelstate(*cancel_state, NULL);
    return false;
}

static inline void pypkcs11_leave(int cancel_state)
{
    atomic_fetch_sub(&pypkcs11_calls, 1);
    pthread_setcancelstate(cancel_state, NULL);
}

/* ---- locate.c: where the Python side of the library is ---- */

#define PYPKCS11_MAX_PATHS 3

struct pypkcs11_environment {
    char *paths[PYPKCS11_MAX_PATHS]; /* what to search for pypkcs11 and what it imports */
    int count;
    char *looked_in; /* for messages: the places tried, or found */
};

/* The real path of the library's file, found when it was loaded; "" when that failed. */
const char *pypkcs11_library_path(void);

/* 1 where the environment variables are those of a caller with fewer rights (AT_SECURE). */
int pypkcs11_secure(void);

/* The process's environment as it is now, NULL at the end; empty where pypkcs11_secure. */
char **pypkcs11_environ(void);

/* Returns false when there is none; `found` is to be released either way. */
bool pypkcs11_locate(struct pypkcs11_environment *found);
void pypkcs11_release_environment(struct pypkcs11_environment *found);

/* ---- surroundings.c ---- */

/* Around the first import of `cryptography`: its OpenSSL takes no file from OPENSSL_CONF. */
void pypkcs11_hide_openssl_settings(void);
void pypkcs11_show_openssl_settings(void);

/* ---- python.c: the interpreter ---- */

enum pypkcs11_python { PYPKCS11_NO_PYTHON = 0, PYPKCS11_OWN_PYTHON = 1, PYPKCS11_HOST_PYTHON = 2 };

extern atomic_int pypkcs11_python;
extern atomic_bool pypkcs11_python_dead;

/* Each reports what failed and returns false. */
bool pypkcs11_python_is_compatible(void);
bool pypkcs11_join_host_python(const struct pypkcs11_environment *environment);
bool pypkcs11_start_own_python(const struct pypkcs11_environment *environment);

/* ---- cffi_unit.c: what CFFI generated ---- */

/* Makes the module `_pypkcs11`; 0 when it went well. Python runs and its GIL is held. */
int pypkcs11_start_cffi(void);

/* The name of a py_C_... that Python has not defined yet, NULL when all are. */
const char *pypkcs11_undefined_entry(void);

/* ---- boot.c ---- */

/* Starts or joins Python and imports the library's Python side, once. The lock is held. */
CK_RV pypkcs11_boot(bool may_create_threads);

/* Whether this thread is starting Python right now. */
bool pypkcs11_booting_here(void);

/* ---- fork.c: what Python may ask about forks ---- */

/* How often this process's line of ancestors forked since the library was loaded. A process
 * that sees another number than before is a child, and its sessions are its parent's. */
unsigned long pypkcs11_fork_count(void);
bool pypkcs11_fork_interrupted_boot(void);
void pypkcs11_set_booting(bool booting);

/* What the child does. Other libraries' fork handlers may call us before our own has run. */
void pypkcs11_settle_fork(void);

/* ---- signals.c: a write that fails must not end the host ---- */

void pypkcs11_hold_signals(void);
void pypkcs11_release_signals(void);

/* ---- report.c ---- */

/* Writes `pypkcs11: <what>; looked in <where>; <remedy>` to stderr, as one line. */
void pypkcs11_report(const char *what, const char *where, const char *remedy);

#endif
