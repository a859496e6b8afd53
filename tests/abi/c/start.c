/* start LIBRARY: the life of an application that only starts and ends. Prints the return values,
 * whether the system's libcrypto is in the process, and the manufacturer. */
#include <string.h>

#include "module.h"

static int maps_contain(const char *text)
{
    char line[4096];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");

    CHECK(maps != NULL);
    while (fgets(line, sizeof(line), maps) != NULL)
        found |= strstr(line, text) != NULL;
    fclose(maps);
    return found;
}

int main(int argc, char **argv)
{
    CK_FUNCTION_LIST *list = NULL;
    CK_INFO info;

    CHECK(argc == 2);
    CHECK(FUNCTION(load(argv[1]), C_GetFunctionList)(&list) == CKR_OK);
    memset(&info, ' ', sizeof(info));
    printf("C_Initialize 0x%lx\n", list->C_Initialize(NULL));
    printf("C_Initialize again 0x%lx\n", list->C_Initialize(NULL));
    printf("C_GetInfo 0x%lx\n", list->C_GetInfo(&info));
    printf("manufacturer %.32s\n", (const char *)info.manufacturerID);
    printf("libcrypto %s\n", maps_contain("libcrypto") ? "loaded" : "absent");
    printf("C_Finalize reserved 0x%lx\n", list->C_Finalize(&info));
    printf("C_Finalize 0x%lx\n", list->C_Finalize(NULL));
    printf("C_GetInfo after 0x%lx\n", list->C_GetInfo(&info));
    printf("C_Initialize once more 0x%lx\n", list->C_Initialize(NULL));
    printf("C_Finalize once more 0x%lx\n", list->C_Finalize(NULL));
    return 0;
}
