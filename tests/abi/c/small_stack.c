/* small_stack LIBRARY [no-threads]: C_Initialize from a thread with 64 KiB of stack, as daemons have
 * them. Prints the return value and how many threads the process has afterwards. With `no-threads`
 * the caller has a full stack and forbids the library to create threads of its own. */
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "module.h"

static CK_FUNCTION_LIST *list;

static void *initialize(void *arguments)
{
    printf("C_Initialize 0x%lx\n", list->C_Initialize(arguments));
    return NULL;
}

static int threads(void)
{
    char line[256];
    int count = 0;
    FILE *status = fopen("/proc/self/status", "r");

    CHECK(status != NULL);
    while (fgets(line, sizeof(line), status) != NULL)
        sscanf(line, "Threads: %d", &count);
    fclose(status);
    return count;
}

int main(int argc, char **argv)
{
    CK_C_INITIALIZE_ARGS arguments;
    pthread_attr_t attributes;
    pthread_t thread;

    CHECK(argc >= 2);
    CHECK(FUNCTION(load(argv[1]), C_GetFunctionList)(&list) == CKR_OK);
    memset(&arguments, 0, sizeof(arguments));
    arguments.flags = CKF_OS_LOCKING_OK | (argc > 2 ? CKF_LIBRARY_CANT_CREATE_OS_THREADS : 0);
    CHECK(pthread_attr_init(&attributes) == 0);
    if (argc == 2)
        CHECK(pthread_attr_setstacksize(&attributes, (size_t)64 * 1024) == 0);
    CHECK(pthread_create(&thread, &attributes, initialize, &arguments) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    printf("threads %d\n", threads());
    return 0;
}
