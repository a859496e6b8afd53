/* threads LIBRARY SECONDS BRIEF: host threads as hosts have them.
 *
 * Eight threads share sessions or have their own; some are cancelled, one finalises and initialises
 * while the others are inside. Then BRIEF short-lived threads come and go, without any growth. */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "token.h"

#define WORKERS 8

static CK_FUNCTION_LIST *p11;
static CK_SLOT_ID slot;
static struct worker shared;
static atomic_int stop;
static atomic_ulong done;

/* What may be answered where other threads use the same session, or end the library. */
static int expected(CK_RV rv)
{
    switch (rv) {
    case CKR_OK:
    case CKR_CRYPTOKI_NOT_INITIALIZED:
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_SESSION_CLOSED:
    case CKR_OBJECT_HANDLE_INVALID:
    case CKR_KEY_HANDLE_INVALID:
    case CKR_OPERATION_ACTIVE:
    case CKR_OPERATION_NOT_INITIALIZED:
    case CKR_USER_NOT_LOGGED_IN:
        return 1;
    default:
        fprintf(stderr, "0x%lx\n", rv);
        return 0;
    }
}

static void *own_session(void *seed)
{
    struct worker worker;
    unsigned kind = (unsigned)(size_t)seed;

    prepare(&worker, p11, slot);
    while (!stop) {
        CHECK(work(&worker, kind++) == CKR_OK);
        done++;
    }
    CHECK(p11->C_CloseSession(worker.session) == CKR_OK);
    return NULL;
}

static void *shared_session(void *seed)
{
    unsigned kind = (unsigned)(size_t)seed;

    while (!stop) {
        CK_RV rv = work(&shared, kind++);

        CHECK(expected(rv));
        done++;
        if (rv == CKR_CRYPTOKI_NOT_INITIALIZED)
            usleep(1000); /* another thread initialises: leave it a processor */
    }
    return NULL;
}

static void *endless(void *seed)
{
    unsigned kind = (unsigned)(size_t)seed;

    for (;;) {
        CHECK(expected(work(&shared, kind++)));
        pthread_testcancel();
    }
    return NULL;
}

static void *brief(void *unused)
{
    CK_INFO info;

    CHECK(p11->C_GetInfo(&info) == CKR_OK);
    return unused;
}

static long resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    CHECK(file != NULL && fscanf(file, "%*d %ld", &pages) == 1);
    fclose(file);
    return pages * 4;
}

static void run(void *(*const bodies[])(void *), int count, long milliseconds)
{
    pthread_t threads[WORKERS];

    stop = 0;
    for (int i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, bodies[i % count], (void *)(size_t)i) == 0);
    usleep((unsigned)milliseconds * 1000);
    stop = 1;
    for (int i = 0; i < WORKERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

static void mixed(long milliseconds)
{
    static void *(*const bodies[])(void *) = {own_session, shared_session};

    run(bodies, 2, milliseconds);
}

static void cancelled(int count)
{
    srand(2);
    for (int i = 0; i < count; i++) {
        pthread_t threads[4];
        void *result = NULL;

        for (size_t k = 0; k < 4; k++)
            CHECK(pthread_create(&threads[k], NULL, endless, (void *)k) == 0);
        usleep((unsigned)(rand() % 20000));
        for (int k = 0; k < 4; k++)
            CHECK(pthread_cancel(threads[k]) == 0);
        for (int k = 0; k < 4; k++)
            CHECK(pthread_join(threads[k], &result) == 0 && result == PTHREAD_CANCELED);
    }
}

static void finalised_amid_calls(int count)
{
    pthread_t threads[WORKERS];

    stop = 0;
    for (size_t i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, shared_session, (void *)i) == 0);
    for (int i = 0; i < count; i++) {
        usleep((unsigned)(rand() % 20000));
        CHECK(p11->C_Finalize(NULL) == CKR_OK);
        CHECK(p11->C_Initialize(NULL) == CKR_OK);
        prepare(&shared, p11, slot);
    }
    stop = 1;
    for (int i = 0; i < WORKERS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    prepare(&shared, p11, slot);
}

static void come_and_go(int count)
{
    for (int i = 0; i < count; i += 4) {
        pthread_t threads[4];

        for (int k = 0; k < 4; k++)
            CHECK(pthread_create(&threads[k], NULL, brief, NULL) == 0);
        for (int k = 0; k < 4; k++)
            CHECK(pthread_join(threads[k], NULL) == 0);
    }
}

int main(int argc, char **argv)
{
    long before = 0;
    long milliseconds = 0;

    CHECK(argc == 4);
    milliseconds = (long)(atof(argv[2]) * 1000);
    p11 = list_of(argv[1]);
    CHECK(p11->C_Initialize(NULL) == CKR_OK);
    slot = make_token(p11);
    prepare(&shared, p11, slot);
    mixed(milliseconds);
    cancelled((int)(milliseconds / 50));
    work_round(&shared);
    finalised_amid_calls((int)(milliseconds / 50));
    work_round(&shared);
    come_and_go(1000); /* the caches of malloc fill up */
    before = resident();
    come_and_go(atoi(argv[3]));
    if (resident() > before + 1024) {
        fprintf(stderr, "grew from %ld to %ld KiB\n", before, resident());
        return 1;
    }
    CHECK(p11->C_Finalize(NULL) == CKR_OK);
    printf("%lu calls\n", (unsigned long)done);
    return 0;
}
