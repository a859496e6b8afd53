/* Finds the library's own environment from the library's own place: never from the caller's
 * environment variables, working directory or user site. */
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "embed.h"
#include "recorded.h"

static char library[PATH_MAX];

const char *pypkcs11_library_path(void)
{
    return library;
}

int pypkcs11_secure(void)
{
    return getauxval(AT_SECURE) != 0;
}

char **pypkcs11_environ(void)
{
    static char *none[] = {NULL};

    return pypkcs11_secure() || environ == NULL ? none : environ;
}

/* At load, because the name may be relative to a directory that the process leaves later. */
__attribute__((constructor)) static void find_library(void)
{
    Dl_info info;

    if (dladdr(library, &info) == 0 || info.dli_fname == NULL ||
        realpath(info.dli_fname, library) == NULL)
        library[0] = '\0';
}

static bool exists(const char *directory, const char *name)
{
    char *path = NULL;
    struct stat status;
    bool found = false;

    if (asprintf(&path, "%s/%s", directory, name) < 0)
        return false;
    found = stat(path, &status) == 0;
    free(path);
    return found;
}

/* The directory `levels` above the library's file, as malloc'ed text; NULL when there is none. */
static char *above(int levels)
{
    char *path = strdup(library);

    while (path != NULL && levels-- > 0) {
        char *slash = strrchr(path, '/');

        if (slash == NULL) {
            free(path);
            return NULL;
        }
        *slash = '\0';
    }
    return path;
}

static void add(struct pypkcs11_environment *found, char *path)
{
    if (path != NULL && path[0] != '\0' && found->count < PYPKCS11_MAX_PATHS)
        found->paths[found->count++] = path;
    else
        free(path);
}

/* Where the build found cffi and cryptography. */
static void add_recorded_sites(struct pypkcs11_environment *found)
{
    static const char *const sites[] = {PYPKCS11_RECORDED_SITES};

    for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++)
        add(found, strdup(sites[i]));
}

/* make install: PREFIX/lib/pkcs11/libpypkcs11.so and PREFIX/lib/pypkcs11/{pypkcs11,cffi,...} */
static char *installed(const char *directory)
{
    char *parent = NULL;
    char *tree = NULL;
    const char *name = strrchr(directory, '/');

    if (name == NULL || strcmp(name, "/pkcs11") != 0)
        return NULL;
    parent = above(2);
    if (parent != NULL && asprintf(&tree, "%s/pypkcs11", parent) < 0)
        tree = NULL;
    free(parent);
    return tree;
}

bool pypkcs11_locate(struct pypkcs11_environment *found)
{
    char *directory = above(1);
    char *tree = NULL;

    memset(found, 0, sizeof(*found));
    if (directory == NULL) {
        found->looked_in = strdup("the file names of the loaded libraries");
        return false;
    }
    tree = installed(directory);
    if (tree != NULL && exists(tree, "pypkcs11/abi")) {
        add(found, strdup(tree));
    } else if (exists(directory, "__init__.py") && exists(directory, "abi")) {
        /* pip: the library is a file of the package; in a checkout its dependencies are elsewhere. */
        add(found, above(2));
        add_recorded_sites(found);
    } else if (PYPKCS11_RECORDED_SOURCE[0] != '\0' &&
               exists(PYPKCS11_RECORDED_SOURCE, "pypkcs11/abi")) {
        add(found, strdup(PYPKCS11_RECORDED_SOURCE));
        add_recorded_sites(found);
    }
    if (found->count > 0) {
        if (asprintf(&found->looked_in, "%s%s%s", found->paths[0], found->count > 1 ? " and " : "",
                     found->count > 1 ? found->paths[1] : "") < 0)
            found->looked_in = NULL;
    } else if (asprintf(&found->looked_in, "%s%s%s%s%s", tree != NULL ? tree : "",
                        tree != NULL ? " and " : "", directory,
                        PYPKCS11_RECORDED_SOURCE[0] != '\0' ? " and " : "",
                        PYPKCS11_RECORDED_SOURCE) < 0) {
        found->looked_in = NULL;
    }
    free(tree);
    free(directory);
    return found->count > 0;
}

void pypkcs11_release_environment(struct pypkcs11_environment *found)
{
    for (int i = 0; i < found->count; i++)
        free(found->paths[i]);
    free(found->looked_in);
    memset(found, 0, sizeof(*found));
}
