/* unload LIBRARY COPY OPENINGS LIVES: the library loaded, unloaded and initialised again and again. */
#include <dirent.h>

#include "token.h"

static const int modes[] = {
    RTLD_NOW | RTLD_LOCAL,  RTLD_LAZY | RTLD_LOCAL,  RTLD_NOW | RTLD_GLOBAL,
    RTLD_LAZY | RTLD_GLOBAL, RTLD_NOW | RTLD_DEEPBIND, RTLD_LAZY | RTLD_DEEPBIND,
};

static CK_FUNCTION_LIST *open_library(const char *path, int mode, void **library)
{
    CK_FUNCTION_LIST *p11 = NULL;

    *library = dlopen(path, mode);
    if (*library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(*library != NULL);
    CHECK(FUNCTION(*library, C_GetFunctionList)(&p11) == CKR_OK);
    return p11;
}

static long resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    CHECK(file != NULL && fscanf(file, "%*d %ld", &pages) == 1);
    fclose(file);
    return pages * 4;
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

static void lives(CK_FUNCTION_LIST *p11, int count)
{
    for (int i = 0; i < count; i++) {
        CHECK(p11->C_Initialize(NULL) == CKR_OK);
        CHECK(find_data(p11, open_session(p11, slot_of(p11, 1))) == CKR_OK);
        CHECK(p11->C_Finalize(NULL) == CKR_OK);
    }
}

int main(int argc, char **argv)
{
    CK_FUNCTION_LIST *p11 = NULL;
    CK_INFO info;
    void *library = NULL;
    int mode = 0;
    int count = 0;
    int open_before = 0;
    long before = 0;

    CHECK(argc == 6);
    mode = modes[atoi(argv[3])];
    count = atoi(argv[4]);
    for (int i = 0; i < count; i++) {
        CK_RV rv = CKR_OK;

        p11 = open_library(argv[1], mode, &library);
        rv = p11->C_Initialize(NULL);
        /* Every other time it is closed without C_Finalize, and there when it is opened again. */
        CHECK(rv == (i % 2 == 0 ? CKR_OK : CKR_CRYPTOKI_ALREADY_INITIALIZED));
        CHECK(p11->C_GetInfo(&info) == CKR_OK);
        if (i == 0)
            make_token(p11);
        if (i % 2 == 1)
            CHECK(p11->C_Finalize(NULL) == CKR_OK);
        CHECK(dlclose(library) == 0);
    }
    p11 = open_library(argv[1], mode, &library);
    lives(p11, 20);
    before = resident();
    open_before = descriptors();
    lives(p11, atoi(argv[5]));
    CHECK(descriptors() == open_before);
    if (resident() > before + 1024) {
        fprintf(stderr, "grew from %ld to %ld KiB\n", before, resident());
        return 1;
    }
    /* A copy under another name is told that it is one, and the first goes on. */
    CHECK(p11->C_Initialize(NULL) == CKR_OK);
    CHECK(open_library(argv[2], mode, &library)->C_Initialize(NULL) == CKR_GENERAL_ERROR);
    CHECK(open_library(argv[2], mode, &library)->C_GetInfo(&info) == CKR_CRYPTOKI_NOT_INITIALIZED);
    CHECK(p11->C_GetInfo(&info) == CKR_OK);
    CHECK(p11->C_Finalize(NULL) == CKR_OK);
    printf("whole\n");
    return 0;
}
