/* A library for a Python host that calls the module when C's exit handlers run: after Python. */
#include <stdlib.h>
#include <unistd.h>

#include "pkcs11.h"

static CK_C_Finalize finalise;
static CK_C_GetInfo get_info;
static CK_C_Initialize initialise;

static void at_exit(void)
{
    CK_INFO info;

    if (get_info(&info) != CKR_CRYPTOKI_NOT_INITIALIZED)
        _exit(11);
    if (finalise(NULL) != CKR_CRYPTOKI_NOT_INITIALIZED)
        _exit(12);
    if (initialise(NULL) != CKR_GENERAL_ERROR)
        _exit(13);
    _exit(42);
}

void arm(CK_FUNCTION_LIST *list);
void arm(CK_FUNCTION_LIST *list)
{
    finalise = list->C_Finalize;
    get_info = list->C_GetInfo;
    initialise = list->C_Initialize;
    atexit(at_exit);
}
