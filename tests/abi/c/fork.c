/* fork LIBRARY COUNT: forks while three threads are inside the library. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "module.h"

static CK_FUNCTION_LIST *list;
static volatile int stop;

static void *busy(void *unused)
{
    CK_INFO info;

    while (!stop)
        CHECK(list->C_GetInfo(&info) == CKR_OK);
    return unused;
}

static int child(void)
{
    CK_INFO info;

    alarm(20);
    if (list->C_GetInfo(&info) != CKR_CRYPTOKI_NOT_INITIALIZED)
        return 1;
    if (list->C_Finalize(NULL) != CKR_CRYPTOKI_NOT_INITIALIZED)
        return 2;
    if (list->C_Initialize(NULL) != CKR_OK || list->C_GetInfo(&info) != CKR_OK)
        return 3;
    return list->C_Finalize(NULL) == CKR_OK ? 0 : 4;
}

int main(int argc, char **argv)
{
    pthread_t threads[3];
    CK_INFO info;

    CHECK(argc == 3);
    CHECK(FUNCTION(load(argv[1]), C_GetFunctionList)(&list) == CKR_OK);
    CHECK(list->C_Initialize(NULL) == CKR_OK);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, busy, NULL) == 0);
    for (int i = atoi(argv[2]); i > 0; i--) {
        int status = 0;
        pid_t pid = fork();

        if (pid == 0)
            _exit(child());
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(status == 0);
    }
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK(list->C_GetInfo(&info) == CKR_OK);
    CHECK(list->C_Finalize(NULL) == CKR_OK);
    return 0;
}
