/* work LIBRARY: an application's whole life, in whatever surroundings it is started.
 *
 * All of it happens in a thread with 64 KiB of stack. Prints "whole" when all went well; where
 * standard streams are closed, the exit status says so too. */
#include <pthread.h>

#include "token.h"

static void *live(void *path)
{
    struct worker worker;
    CK_FUNCTION_LIST *p11 = list_of(path);

    for (int i = 0; i < 2; i++) {
        CHECK(p11->C_Initialize(NULL) == CKR_OK);
        prepare(&worker, p11, i > 0 ? slot_of(p11, 1) : make_token(p11));
        work_round(&worker);
        /* What the host prints goes nowhere but where it is meant to go. */
        printf("whole\n");
        fflush(stdout);
        fprintf(stderr, "%s", i == 0 ? "" : "end\n");
        CHECK(make_data(p11, worker.session, CK_TRUE) != 0);
        CHECK(p11->C_Finalize(NULL) == CKR_OK);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_attr_t attributes;
    pthread_t thread;

    CHECK(argc == 2);
    CHECK(pthread_attr_init(&attributes) == 0);
    CHECK(pthread_attr_setstacksize(&attributes, (size_t)64 * 1024) == 0);
    CHECK(pthread_create(&thread, &attributes, live, argv[1]) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
