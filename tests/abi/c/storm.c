/* storm LIBRARY: work while signals come at any moment, with handlers that restart nothing. */
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "token.h"

static atomic_ulong alarms;
static atomic_ulong children;

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

static void on_child(int number)
{
    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        children++;
}

static const int watched[] = {SIGALRM, SIGCHLD, SIGINT, SIGPIPE, SIGTERM, SIGXFSZ};

#define COUNT (sizeof(watched) / sizeof(watched[0]))

typedef void (*handler_type)(int);

static handler_type handler_of(int number)
{
    struct sigaction action;

    CHECK(sigaction(number, NULL, &action) == 0);
    return action.sa_handler;
}

int main(int argc, char **argv)
{
    struct sigaction action;
    handler_type before[COUNT];
    struct itimerval often = {{0, 500}, {0, 500}};
    struct itimerval never = {{0, 0}, {0, 0}};
    struct worker worker;
    CK_FUNCTION_LIST *p11 = NULL;

    CHECK(argc == 2);
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_alarm;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    action.sa_handler = on_child;
    CHECK(sigaction(SIGCHLD, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    for (size_t i = 0; i < COUNT; i++)
        before[i] = handler_of(watched[i]);
    p11 = list_of(argv[1]);
    CHECK(p11->C_Initialize(NULL) == CKR_OK);
    prepare(&worker, p11, make_token(p11));
    for (int i = 0; i < 20; i++) {
        pid_t pid = vfork();

        if (pid == 0)
            _exit(0);
        work_round(&worker);
    }
    CHECK(p11->C_Finalize(NULL) == CKR_OK);
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    CHECK(alarms > 20 && children > 0);
    for (size_t i = 0; i < COUNT; i++)
        CHECK(handler_of(watched[i]) == before[i]); /* the host's, still */
    printf("whole\n");
    return 0;
}
