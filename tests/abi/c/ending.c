/* ending LIBRARY HOW: an application that ends while three threads are inside the library.
 *
 * HOW is return, exit (from another thread), _exit, signal or handler. What exit handlers and
 * destructors call still answers: the program ends with 42 where they run. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "token.h"

static CK_FUNCTION_LIST *p11;
static CK_SLOT_ID slot;
static atomic_ulong rounds;

static void *busy(void *seed)
{
    struct worker worker;
    unsigned kind = (unsigned)(size_t)seed;

    prepare(&worker, p11, slot);
    for (;; rounds++)
        work(&worker, kind++);
    return NULL;
}

static void *exits(void *unused)
{
    exit(7);
    return unused;
}

static void still_answers(int finalise)
{
    CK_INFO info;

    if (p11 == NULL)
        return;
    if (p11->C_GetInfo(&info) != CKR_OK)
        _exit(11);
    if (find_data(p11, open_session(p11, slot)) != CKR_OK)
        _exit(12);
    if (finalise && p11->C_Finalize(NULL) != CKR_OK)
        _exit(13);
}

static void at_exit(void)
{
    still_answers(0);
}

__attribute__((destructor)) static void at_the_very_end(void)
{
    still_answers(1);
    _exit(42);
}

static void handler(int number)
{
    (void)number;
    _exit(9);
}

int main(int argc, char **argv)
{
    pthread_t thread;

    CHECK(argc == 3);
    CHECK(atexit(at_exit) == 0);
    p11 = list_of(argv[1]);
    CHECK(p11->C_Initialize(NULL) == CKR_OK);
    slot = make_token(p11);
    for (size_t i = 0; i < 3; i++)
        CHECK(pthread_create(&thread, NULL, busy, (void *)(i * 3)) == 0);
    while (rounds < 30)
        usleep(1000);
    srand((unsigned)getpid());
    usleep((unsigned)(rand() % 20000));
    switch (argv[2][0]) {
    case 'r':
        return 0;
    case 'e':
        CHECK(pthread_create(&thread, NULL, exits, NULL) == 0);
        pause();
        return 1;
    case '_':
        _exit(8);
    case 's':
        raise(SIGTERM);
        return 1;
    default:
        signal(SIGTERM, handler);
        kill(getpid(), SIGTERM);
        pause();
        return 1;
    }
}
