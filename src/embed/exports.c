/* The functions of PKCS #11 that applications call; those that Python answers are generated. */
#include "embed.h"
#include "generated/entries.h"

/* Section 5.4.1: an application may forbid its modules to create threads. */
static bool may_create_threads(const CK_C_INITIALIZE_ARGS *arguments)
{
    return arguments == NULL_PTR || !(arguments->flags & CKF_LIBRARY_CANT_CREATE_OS_THREADS);
}

static CK_RV initialize(CK_VOID_PTR pInitArgs)
{
    CK_RV rv = CKR_CRYPTOKI_ALREADY_INITIALIZED;

    if (pypkcs11_is_ready())
        return rv;
    rv = pypkcs11_boot(may_create_threads(pInitArgs));
    if (rv == CKR_OK)
        rv = py_C_Initialize(pInitArgs);
    if (rv == CKR_OK)
        pypkcs11_mark_ready();
    return rv;
}

PYPKCS11_EXPORT CK_RV C_Initialize(CK_VOID_PTR pInitArgs)
{
    CK_RV rv = CKR_OK;
    int cancel_state = 0;

    if (pypkcs11_booting_here())
        return CKR_FUNCTION_FAILED;
    if (!pypkcs11_python_is_compatible())
        return CKR_GENERAL_ERROR;
    if (pypkcs11_holding_here())
        pypkcs11_wait_at_gate();
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pypkcs11_lock();
    rv = initialize(pInitArgs);
    pypkcs11_unlock();
    pthread_setcancelstate(cancel_state, NULL);
    return rv;
}

PYPKCS11_EXPORT CK_RV C_Finalize(CK_VOID_PTR pReserved)
{
    CK_RV rv = CKR_CRYPTOKI_NOT_INITIALIZED;
    int cancel_state = 0;

    if (!pypkcs11_is_ready())
        return rv;
    if (pReserved != NULL_PTR)
        return CKR_ARGUMENTS_BAD;
    if (pypkcs11_holding_here() && !pypkcs11_wait_at_gate())
        return rv;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    pypkcs11_lock();
    if (pypkcs11_is_ready()) {
        pypkcs11_mark_not_ready();
        pypkcs11_hold_calls(); /* those that are inside may end */
        rv = py_C_Finalize(pReserved);
        pypkcs11_let_calls_go();
    }
    pypkcs11_unlock();
    pthread_setcancelstate(cancel_state, NULL);
    return rv;
}

#include "generated/exports.inc"
