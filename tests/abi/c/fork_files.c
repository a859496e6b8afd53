/* fork_files LIBRARY COMMAND: forks with a session open and prints, in parent and child, whether
 * files of the token are open, and how many objects are found before and after the command ran. */
#include <dirent.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "module.h"

static const char *who = "parent";
static CK_FUNCTION_LIST *list;
static CK_SLOT_ID slots[8];

static void tell_files(const char *when)
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    int open = 0;

    CHECK(directory != NULL);
    while ((entry = readdir(directory)) != NULL) {
        char target[4096] = "";

        (void)!readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
        open |= strstr(target, ".token") != NULL;
    }
    closedir(directory);
    printf("%s %s: %s\n", who, when, open ? "open" : "closed");
    fflush(stdout);
}

static void tell_objects(const char *when)
{
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE found[8];
    CK_ULONG count;

    CHECK(list->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &session) == CKR_OK);
    CHECK(list->C_FindObjectsInit(session, NULL, 0) == CKR_OK);
    CHECK(list->C_FindObjects(session, found, 8, &count) == CKR_OK);
    CHECK(list->C_FindObjectsFinal(session) == CKR_OK);
    printf("%s %s: %lu objects\n", who, when, count);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    CK_ULONG count = 8;
    pid_t pid;
    int status = 0;

    CHECK(argc == 3);
    CHECK(FUNCTION(load(argv[1]), C_GetFunctionList)(&list) == CKR_OK);
    CHECK(list->C_Initialize(NULL) == CKR_OK);
    CHECK(list->C_GetSlotList(CK_TRUE, slots, &count) == CKR_OK);
    tell_objects("before the fork");
    tell_files("before the fork");
    pid = fork();
    if (pid == 0) {
        who = "child";
        tell_files("after the fork");
        CHECK(list->C_Initialize(NULL) == CKR_OK);
        tell_objects("after the fork");
        CHECK(system(argv[2]) == 0);
        tell_objects("after the command");
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    tell_objects("at the end");
    tell_files("at the end");
    return 0;
}
