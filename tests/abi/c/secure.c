/* secure LIBRARY: prints AT_SECURE, which says whether the caller has fewer rights than the program,
 * and what C_Initialize returns. */
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>

#include "module.h"

int main(int argc, char **argv)
{
    CK_FUNCTION_LIST *p11 = NULL;
    sigset_t blocked;
    sigset_t pending;

    CHECK(argc == 2);
    CHECK(FUNCTION(load(argv[1]), C_GetFunctionList)(&p11) == CKR_OK);
    printf("secure %lu\n", getauxval(AT_SECURE));
    printf("C_Initialize 0x%lx\n", p11->C_Initialize(NULL));
    /* A write that failed has left nothing behind. */
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &blocked) == 0 && sigpending(&pending) == 0);
    CHECK(!sigismember(&blocked, SIGPIPE) && !sigismember(&blocked, SIGXFSZ));
    CHECK(!sigismember(&pending, SIGPIPE) && !sigismember(&pending, SIGXFSZ));
    return 0;
}
