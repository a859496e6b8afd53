/* limits LIBRARY: what a process runs out of costs an error, and never the process. */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "token.h"

static void limit(int resource, rlim_t most)
{
    struct rlimit now;

    CHECK(getrlimit((__rlimit_resource_t)resource, &now) == 0);
    now.rlim_cur = most;
    CHECK(setrlimit((__rlimit_resource_t)resource, &now) == 0);
}

/* The store is full at some point, and works again as soon as the limit is gone. */
static void file_size(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session)
{
    int made = 0;

    limit(RLIMIT_FSIZE, 200 * 1024);
    while (made < 1000 && make_data(p11, session, CK_TRUE) != 0)
        made++;
    CHECK(made < 1000);
    CHECK(make_data(p11, session, CK_TRUE) == 0);
    limit(RLIMIT_FSIZE, RLIM_INFINITY);
    CHECK(make_data(p11, session, CK_TRUE) != 0);
}

static void descriptors(CK_FUNCTION_LIST *p11, CK_SLOT_ID slot, CK_SESSION_HANDLE session)
{
    int most = open("/dev/null", O_RDONLY);

    limit(RLIMIT_NOFILE, (rlim_t)most);
    find_data(p11, session);
    make_data(p11, session, CK_TRUE);
    p11->C_Finalize(NULL);
    p11->C_Initialize(NULL); /* whatever they answer */
    limit(RLIMIT_NOFILE, 1024);
    p11->C_Finalize(NULL);
    CHECK(p11->C_Initialize(NULL) == CKR_OK);
    CHECK(make_data(p11, log_in(p11, slot), CK_TRUE) != 0);
    close(most);
}

int main(int argc, char **argv)
{
    CK_FUNCTION_LIST *p11 = NULL;
    CK_SLOT_ID slot = 0;
    CK_SESSION_HANDLE session = 0;

    CHECK(argc == 2);
    p11 = list_of(argv[1]);
    CHECK(p11->C_Initialize(NULL) == CKR_OK);
    slot = make_token(p11);
    session = log_in(p11, slot);
    file_size(p11, session);
    descriptors(p11, slot, session);
    CHECK(p11->C_Finalize(NULL) == CKR_OK);
    printf("whole\n");
    return 0;
}
