/* forks LIBRARY COUNT: a busy parent whose children do each what children do.
 *
 * Four threads sign, encrypt, search and write all the while, others come and go, and the main
 * thread forks at random moments, holding a lock of the application's. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "token.h"

#define WORKERS 4

extern char **environ;

static CK_FUNCTION_LIST *p11;
static CK_SLOT_ID slot;
static atomic_int stop;
static atomic_ulong rounds;
static pthread_mutex_t application = PTHREAD_MUTEX_INITIALIZER;

static void *busy(void *seed)
{
    struct worker worker;
    unsigned kind = (unsigned)(size_t)seed;

    prepare(&worker, p11, slot);
    while (!stop) {
        CHECK(work(&worker, kind++) == CKR_OK);
        pthread_mutex_lock(&application);
        rounds++;
        pthread_mutex_unlock(&application);
    }
    CHECK(p11->C_CloseSession(worker.session) == CKR_OK);
    return NULL;
}

static void *brief(void *unused)
{
    CK_INFO info;

    CHECK(p11->C_GetInfo(&info) == CKR_OK);
    return unused;
}

static void *coming_and_going(void *unused)
{
    while (!stop) {
        pthread_t thread;

        CHECK(pthread_create(&thread, NULL, brief, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
    }
    return unused;
}

static int exit_status(pid_t pid)
{
    int status = 0;

    while (waitpid(pid, &status, 0) != pid)
        CHECK(errno == EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    CHECK(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

/* A child that wants to work must begin anew, and then can do everything. */
static int works(void)
{
    struct worker worker;
    CK_INFO info;
    CK_SESSION_HANDLE session;

    if (p11->C_GetInfo(&info) != CKR_CRYPTOKI_NOT_INITIALIZED)
        return 1;
    if (p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) !=
        CKR_CRYPTOKI_NOT_INITIALIZED)
        return 2;
    if (p11->C_Finalize(NULL) != CKR_CRYPTOKI_NOT_INITIALIZED)
        return 3;
    if (p11->C_Initialize(NULL) != CKR_OK)
        return 4;
    prepare(&worker, p11, slot);
    work_round(&worker);
    return p11->C_Finalize(NULL) == CKR_OK ? 0 : 5;
}

static int starts(void)
{
    CK_INFO info;

    if (p11->C_Initialize(NULL) != CKR_OK || p11->C_GetInfo(&info) != CKR_OK)
        return 1;
    return p11->C_Finalize(NULL) == CKR_OK ? 0 : 2;
}

/* As daemons do: the child ends, the grandchild works on. */
static int forks_again(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        alarm(60);
        setsid();
        pid = fork();
        if (pid == 0) {
            alarm(60);
            _exit(starts());
        }
        _exit(exit_status(pid));
    }
    return exit_status(pid);
}

/* Initialised in the child as well, whose own child begins anew. */
static int forks_after_starting(void)
{
    CK_INFO info;
    pid_t pid;

    if (p11->C_Initialize(NULL) != CKR_OK)
        return 1;
    pid = fork();
    if (pid == 0) {
        alarm(60);
        _exit(p11->C_GetInfo(&info) == CKR_CRYPTOKI_NOT_INITIALIZED ? starts() : 9);
    }
    if (exit_status(pid) != 0 || p11->C_GetInfo(&info) != CKR_OK)
        return 2;
    return 0;
}

static int child(int number)
{
    alarm(60); /* a child that hangs is killed, and counted as that */
    switch (number % 40) {
    case 0:
        return works();
    case 1:
        return starts();
    case 2:
        return forks_again();
    case 3:
        return forks_after_starting();
    case 4:
        exit(0); /* with exit handlers and destructors */
    case 5:
        execl("/bin/true", "true", (char *)NULL);
        return 127;
    default:
        return 0;
    }
}

static void run_others(void)
{
    char *arguments[] = {"true", NULL};
    pid_t pid = 0;

    CHECK(system("exit 3") >> 8 == 3);
    CHECK(posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ) == 0);
    CHECK(exit_status(pid) == 0);
    pid = vfork();
    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(127);
    }
    CHECK(exit_status(pid) == 0);
}

int main(int argc, char **argv)
{
    pthread_t threads[WORKERS + 1];
    struct timespec pause = {0, 0};
    CK_INFO info;
    pid_t early = 0;
    int before = 0;
    int count = 0;
    unsigned long seen = 0;

    CHECK(argc == 3);
    p11 = list_of(argv[1]);
    count = atoi(argv[2]);
    early = fork(); /* before Python was started here */
    if (early == 0)
        _exit(starts());
    CHECK(exit_status(early) == 0);
    CHECK(p11->C_Initialize(NULL) == CKR_OK);
    slot = make_token(p11);
    for (size_t i = 0; i < WORKERS; i++)
        CHECK(pthread_create(&threads[i], NULL, busy, (void *)i) == 0);
    CHECK(pthread_create(&threads[WORKERS], NULL, coming_and_going, NULL) == 0);
    while (rounds < 50)
        usleep(1000);
    before = descriptors();
    srand(1);
    for (int i = 0; i < count; i++) {
        pid_t pid;
        int status = 0;

        pause.tv_nsec = rand() % 2000000;
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&application);
        pid = fork();
        if (pid == 0)
            _exit(child(i));
        pthread_mutex_unlock(&application);
        CHECK(pid > 0);
        if (i % 100 == 0)
            run_others();
        status = exit_status(pid);
        if (status != 0) {
            fprintf(stderr, "child %d of kind %d: %d\n", i, i % 40, status);
            return 1;
        }
    }
    /* The parent never noticed. */
    seen = rounds;
    while (rounds < seen + 50)
        usleep(1000);
    CHECK(descriptors() <= before + WORKERS + 2);
    stop = 1;
    for (int i = 0; i < WORKERS + 1; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(p11->C_GetInfo(&info) == CKR_OK);
    CHECK(p11->C_Finalize(NULL) == CKR_OK);
    printf("%lu rounds\n", (unsigned long)rounds);
    return 0;
}
