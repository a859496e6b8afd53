/* What an application may call before C_Initialize: the function lists. No Python here. */
#include <stdint.h>
#include <string.h>

#include "embed.h"
#include "generated/lists.inc"

static const CK_UTF8CHAR STANDARD[] = "PKCS 11";

/* The default comes first (5.4.5). No CKF_INTERFACE_FORK_SAFE: that promises a child its own copy
 * of every session, and here a child calls C_Initialize and starts without sessions. */
static const CK_INTERFACE interfaces[] = {
    {(CK_UTF8CHAR_PTR)(uintptr_t)STANDARD, (CK_VOID_PTR)(uintptr_t)&function_list_3_2, 0},
    {(CK_UTF8CHAR_PTR)(uintptr_t)STANDARD, (CK_VOID_PTR)(uintptr_t)&function_list_3_0, 0},
    {(CK_UTF8CHAR_PTR)(uintptr_t)STANDARD, (CK_VOID_PTR)(uintptr_t)&function_list, 0},
};

#define INTERFACE_COUNT (sizeof(interfaces) / sizeof(interfaces[0]))

PYPKCS11_EXPORT CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR ppFunctionList)
{
    if (ppFunctionList == NULL_PTR)
        return CKR_ARGUMENTS_BAD;
    *ppFunctionList = (CK_FUNCTION_LIST_PTR)(uintptr_t)&function_list;
    return CKR_OK;
}

PYPKCS11_EXPORT CK_RV C_GetInterfaceList(CK_INTERFACE_PTR pInterfacesList, CK_ULONG_PTR pulCount)
{
    CK_RV rv = CKR_OK;

    if (pulCount == NULL_PTR)
        return CKR_ARGUMENTS_BAD;
    if (pInterfacesList != NULL_PTR) {
        if (*pulCount < INTERFACE_COUNT)
            rv = CKR_BUFFER_TOO_SMALL;
        else
            memcpy(pInterfacesList, interfaces, sizeof(interfaces));
    }
    *pulCount = INTERFACE_COUNT;
    return rv;
}

static bool matches(const CK_INTERFACE *offered, const CK_UTF8CHAR *name, const CK_VERSION *version,
                    CK_FLAGS flags)
{
    const CK_VERSION *offered_version = (const CK_VERSION *)offered->pFunctionList;

    if (name != NULL && strcmp((const char *)name, (const char *)offered->pInterfaceName) != 0)
        return false;
    if (version != NULL &&
        (version->major != offered_version->major || version->minor != offered_version->minor))
        return false;
    return (offered->flags & flags) == flags;
}

PYPKCS11_EXPORT CK_RV C_GetInterface(CK_UTF8CHAR_PTR pInterfaceName, CK_VERSION_PTR pVersion,
                                     CK_INTERFACE_PTR_PTR ppInterface, CK_FLAGS flags)
{
    if (ppInterface == NULL_PTR)
        return CKR_ARGUMENTS_BAD;
    for (size_t i = 0; i < INTERFACE_COUNT; i++) {
        if (matches(&interfaces[i], pInterfaceName, pVersion, flags)) {
            *ppInterface = (CK_INTERFACE_PTR)(uintptr_t)&interfaces[i];
            return CKR_OK;
        }
    }
    return CKR_FUNCTION_FAILED;
}
