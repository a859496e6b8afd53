/* SIGPIPE (a reader is gone) and SIGXFSZ (a file has reached its limit) come with a write that fails,
 * and as a rule end the host. They are kept from the thread that writes, and taken if they came. */
#include <signal.h>
#include <time.h>

#include "embed.h"

static _Thread_local struct {
    unsigned depth;
    sigset_t before;
    sigset_t waiting; /* these were there already, and are the host's */
} held;

static const int signals[] = {SIGPIPE, SIGXFSZ};

#define COUNT (sizeof(signals) / sizeof(signals[0]))

void pypkcs11_hold_signals(void)
{
    sigset_t both;

    if (held.depth++ > 0)
        return;
    sigemptyset(&both);
    for (size_t i = 0; i < COUNT; i++)
        sigaddset(&both, signals[i]);
    sigpending(&held.waiting);
    pthread_sigmask(SIG_BLOCK, &both, &held.before);
}

static void take(int number)
{
    static const struct timespec at_once = {0, 0};
    sigset_t only;

    sigemptyset(&only);
    sigaddset(&only, number);
    sigtimedwait(&only, NULL, &at_once);
}

void pypkcs11_release_signals(void)
{
    sigset_t now;

    if (--held.depth > 0)
        return;
    sigpending(&now);
    for (size_t i = 0; i < COUNT; i++)
        if (sigismember(&now, signals[i]) && !sigismember(&held.waiting, signals[i]))
            take(signals[i]);
    pthread_sigmask(SIG_SETMASK, &held.before, NULL);
}
