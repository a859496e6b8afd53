/* What the small C programs of the tests share: the module loaded as applications load it. */
#ifndef TESTS_MODULE_H
#define TESTS_MODULE_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "pkcs11.h"

#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) {                                                      \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);      \
            exit(1);                                                             \
        }                                                                        \
    } while (0)

/* A function of the library, as a pointer of the given type. */
#define FUNCTION(library, name) (*(CK_##name *)find(library, #name))

static inline void *load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    return library;
}

static inline void *find(void *library, const char *name)
{
    static void *slots[8];
    static int next;
    void **slot = &slots[next++ % 8];

    *slot = dlsym(library, name);
    CHECK(*slot != NULL);
    return slot;
}

#endif
