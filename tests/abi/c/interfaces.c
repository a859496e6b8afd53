/* The three functions that answer before C_Initialize, by the rules of PKCS #11 v3.2, 5.4. */
#include <string.h>

#include "module.h"

static CK_VERSION *version_of(const CK_INTERFACE *interface)
{
    return (CK_VERSION *)interface->pFunctionList;
}

/* Every pointer of a list, which holds `count` of them behind its version. */
static void check_list(void *library, const void *list, const char *const *names, int count)
{
    void *const *pointers = (void *const *)list + 1;

    for (int i = 0; i < count; i++)
        CHECK(pointers[i] == dlsym(library, names[i]));
}

static void check_interface_list(void *library, const char *const *names)
{
    CK_C_GetInterfaceList get = FUNCTION(library, C_GetInterfaceList);
    static const int counts[3] = {104, 92, 68};
    static const CK_VERSION versions[3] = {{3, 2}, {3, 0}, {2, 40}};
    CK_INTERFACE interfaces[4];
    CK_ULONG count = 99;

    CHECK(get(NULL, NULL) == CKR_ARGUMENTS_BAD);
    CHECK(get(interfaces, NULL) == CKR_ARGUMENTS_BAD);
    CHECK(get(NULL, &count) == CKR_OK && count == 3);
    count = 2;
    CHECK(get(interfaces, &count) == CKR_BUFFER_TOO_SMALL && count == 3);
    count = 4;
    CHECK(get(interfaces, &count) == CKR_OK && count == 3);
    for (int i = 0; i < 3; i++) {
        CHECK(strcmp((const char *)interfaces[i].pInterfaceName, "PKCS 11") == 0);
        CHECK(interfaces[i].flags == 0);
        CHECK(version_of(&interfaces[i])->major == versions[i].major);
        CHECK(version_of(&interfaces[i])->minor == versions[i].minor);
        check_list(library, interfaces[i].pFunctionList, names, counts[i]);
    }
}

static void check_interface(void *library)
{
    CK_C_GetInterface get = FUNCTION(library, C_GetInterface);
    CK_UTF8CHAR standard[] = "PKCS 11";
    CK_UTF8CHAR vendor[] = "Vendor Somebody";
    CK_UTF8CHAR shorter[] = "PKCS";
    CK_VERSION known[3] = {{3, 2}, {3, 0}, {2, 40}};
    CK_VERSION unknown = {3, 1};
    CK_INTERFACE *found = NULL;
    CK_INTERFACE *again = NULL;

    CHECK(get(standard, NULL, NULL, 0) == CKR_ARGUMENTS_BAD);
    CHECK(get(NULL, NULL, &found, 0) == CKR_OK);
    CHECK(version_of(found)->major == 3 && version_of(found)->minor == 2);
    CHECK(get(standard, NULL, &again, 0) == CKR_OK && again == found);
    for (int i = 0; i < 3; i++) {
        CHECK(get(standard, &known[i], &found, 0) == CKR_OK);
        CHECK(version_of(found)->major == known[i].major);
        CHECK(version_of(found)->minor == known[i].minor);
        CHECK(get(NULL, &known[i], &again, 0) == CKR_OK && again == found);
    }
    CHECK(get(standard, &unknown, &found, 0) == CKR_FUNCTION_FAILED);
    CHECK(get(vendor, NULL, &found, 0) == CKR_FUNCTION_FAILED);
    CHECK(get(shorter, NULL, &found, 0) == CKR_FUNCTION_FAILED);
    /* It promises what a child does not get here: its parent's sessions. */
    CHECK(get(standard, NULL, &found, CKF_INTERFACE_FORK_SAFE) == CKR_FUNCTION_FAILED);
}

int main(int argc, char **argv)
{
    void *library = load(argv[1]);
    CK_FUNCTION_LIST *list = NULL;
    CK_INFO info;
    int (*python_runs)(void) = NULL;

    CHECK(argc == 2 + 104); /* the functions' names, in the order of the table */
    CHECK(FUNCTION(library, C_GetFunctionList)(NULL) == CKR_ARGUMENTS_BAD);
    CHECK(FUNCTION(library, C_GetFunctionList)(&list) == CKR_OK);
    CHECK(list->version.major == 2 && list->version.minor == 40);
    check_list(library, list, (const char *const *)&argv[2], 68);
    check_interface_list(library, (const char *const *)&argv[2]);
    check_interface(library);
    CHECK(list->C_GetInfo(&info) == CKR_CRYPTOKI_NOT_INITIALIZED);
    CHECK(list->C_Finalize(NULL) == CKR_CRYPTOKI_NOT_INITIALIZED);
    *(void **)&python_runs = dlsym(library, "Py_IsInitialized");
    CHECK(python_runs != NULL && !python_runs());
    return 0;
}
