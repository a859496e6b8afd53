/* What the objects of a token cost, in any PKCS #11 module.
 *
 *     objects MODULE fill COUNT        make a token with COUNT private AES keys
 *     objects MODULE measure COUNT     open it anew, and print one line "name value" per figure
 *     objects MODULE refresh COUNT     the same for what another process adds meanwhile
 *
 * The keys have the IDs 0 to COUNT - 1, as 8 octets. benchmarks/objects.py runs all of this.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pkcs11.h"

#define SEARCHES 200
#define CHANGES 300 /* keys created and destroyed to take a rate */
#define REFRESHES 50
#define SECONDS 3.0 /* at the most, for each figure that is an average */

static CK_FUNCTION_LIST *p11;
static CK_UTF8CHAR pin[] = "12345678";

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void check(CK_RV rv, const char *what)
{
    if (rv != CKR_OK) {
        fprintf(stderr, "objects: %s: CK_RV %#lx\n", what, (unsigned long)rv);
        exit(1);
    }
}

/* Octets of memory that are this process's alone: what shared libraries take is not counted. */
static double memory(void)
{
    char line[256];
    long kib = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "Private_Dirty: %ld", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib * 1024.0;
}

static void load(const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get;

    if (module == NULL) {
        fprintf(stderr, "objects: %s\n", dlerror());
        exit(1);
    }
    get = (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList");
    check(get(&p11), "C_GetFunctionList");
}

/* A read/write session with the token that is there, or else with the one that is to be. */
static CK_SESSION_HANDLE open_session(CK_BBOOL initialised)
{
    CK_SLOT_ID slots[16];
    CK_ULONG i, count = 16;
    CK_TOKEN_INFO info;
    CK_SESSION_HANDLE session;

    check(p11->C_GetSlotList(CK_TRUE, slots, &count), "C_GetSlotList");
    for (i = 0; i < count; i++) {
        check(p11->C_GetTokenInfo(slots[i], &info), "C_GetTokenInfo");
        if (!(info.flags & CKF_TOKEN_INITIALIZED) == !initialised)
            break;
    }
    if (i == count) {
        fprintf(stderr, "objects: no such slot\n");
        exit(1);
    }
    if (!initialised) {
        CK_UTF8CHAR label[32];

        memset(label, ' ', sizeof label);
        memcpy(label, "benchmark", 9);
        check(p11->C_InitToken(slots[i], pin, sizeof pin - 1, label), "C_InitToken");
        /* SoftHSM lists the token in another slot after this. */
        check(p11->C_Finalize(NULL), "C_Finalize");
        check(p11->C_Initialize(NULL), "C_Initialize");
        return open_session(CK_TRUE);
    }
    check(p11->C_OpenSession(slots[i], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
          "C_OpenSession");
    return session;
}

static void login(CK_SESSION_HANDLE session, CK_USER_TYPE who)
{
    check(p11->C_Login(session, who, pin, sizeof pin - 1), "C_Login");
}

static CK_OBJECT_HANDLE create(CK_SESSION_HANDLE session, unsigned long long id)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_BYTE octets[8], value[32];
    char label[32];
    CK_OBJECT_HANDLE object;
    int i, length = snprintf(label, sizeof label, "key %llu", id);

    for (i = 0; i < 8; i++)
        octets[i] = (CK_BYTE)(id >> (56 - 8 * i));
    memset(value, octets[7] ^ 0x5a, sizeof value);

    CK_ATTRIBUTE template[] = {
        { CKA_CLASS, &class, sizeof class },     { CKA_KEY_TYPE, &type, sizeof type },
        { CKA_TOKEN, &yes, sizeof yes },         { CKA_PRIVATE, &yes, sizeof yes },
        { CKA_SENSITIVE, &yes, sizeof yes },     { CKA_EXTRACTABLE, &no, sizeof no },
        { CKA_ID, octets, sizeof octets },       { CKA_LABEL, label, (CK_ULONG)length },
        { CKA_VALUE, value, sizeof value },
    };

    check(p11->C_CreateObject(session, template, sizeof template / sizeof *template, &object),
          "C_CreateObject");
    return object;
}

static CK_ULONG find(CK_SESSION_HANDLE session, unsigned long long id)
{
    CK_BYTE octets[8];
    CK_ATTRIBUTE template[] = { { CKA_ID, octets, sizeof octets } };
    CK_OBJECT_HANDLE found[4];
    CK_ULONG count;
    int i;

    for (i = 0; i < 8; i++)
        octets[i] = (CK_BYTE)(id >> (56 - 8 * i));
    check(p11->C_FindObjectsInit(session, template, 1), "C_FindObjectsInit");
    check(p11->C_FindObjects(session, found, 4, &count), "C_FindObjects");
    check(p11->C_FindObjectsFinal(session), "C_FindObjectsFinal");
    return count;
}

static void fill(unsigned long count)
{
    CK_SESSION_HANDLE session;
    unsigned long i;
    double start;

    check(p11->C_Initialize(NULL), "C_Initialize");
    session = open_session(CK_FALSE);
    login(session, CKU_SO);
    check(p11->C_InitPIN(session, pin, sizeof pin - 1), "C_InitPIN");
    check(p11->C_Logout(session), "C_Logout");
    login(session, CKU_USER);
    start = now();
    for (i = 0; i < count; i++)
        create(session, i);
    printf("fill_per_s %.0f\n", count / (now() - start));
    check(p11->C_Finalize(NULL), "C_Finalize");
}

static void measure(unsigned long count)
{
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE made[CHANGES];
    double start, before;
    unsigned long n;
    int i;

    start = now();
    check(p11->C_Initialize(NULL), "C_Initialize");
    printf("initialize_ms %.2f\n", (now() - start) * 1e3);
    start = now();
    session = open_session(CK_TRUE);
    printf("open_ms %.2f\n", (now() - start) * 1e3);
    before = memory();
    start = now();
    login(session, CKU_USER);
    n = find(session, count / 2); /* with this, whatever has to be read has been read */
    printf("login_and_first_search_ms %.2f\n", (now() - start) * 1e3);
    if (n != 1) {
        fprintf(stderr, "objects: %lu objects have one ID\n", n);
        exit(1);
    }
    printf("memory_per_object %.0f\n", (memory() - before) / count);

    start = now();
    for (i = 0; i < SEARCHES && (i < 3 || now() - start < SECONDS); i++)
        find(session, (i * 7919UL) % count);
    printf("search_us %.2f\n", (now() - start) / i * 1e6);
    start = now();
    for (i = 0; i < CHANGES && (i < 3 || now() - start < SECONDS); i++)
        made[i] = create(session, count + i);
    printf("create_per_s %.1f\n", i / (now() - start));
    n = i;
    start = now();
    for (i = 0; i < (int)n && (i < 3 || now() - start < SECONDS); i++)
        check(p11->C_DestroyObject(session, made[i]), "C_DestroyObject");
    printf("destroy_per_s %.1f\n", i / (now() - start));
    for (; i < (int)n; i++)
        p11->C_DestroyObject(session, made[i]);
    check(p11->C_Finalize(NULL), "C_Finalize");
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;

    return (difference > 0) - (difference < 0);
}

/* How long a search takes that has to see what another process has just made. */
static void refresh(unsigned long count)
{
    int ask[2], answer[2], i;
    char octet = 0;
    double times[REFRESHES];
    CK_SESSION_HANDLE session;
    pid_t writer;

    if (pipe(ask) || pipe(answer))
        exit(1);
    writer = fork();
    check(p11->C_Initialize(NULL), "C_Initialize");
    session = open_session(CK_TRUE);
    login(session, CKU_USER);
    find(session, 0);
    if (writer == 0) {
        CK_OBJECT_HANDLE made = 0;

        close(ask[1]);
        while (read(ask[0], &octet, 1) == 1) {
            if (octet)
                made = create(session, (1ULL << 40) + octet);
            else
                check(p11->C_DestroyObject(session, made), "C_DestroyObject");
            if (write(answer[1], &octet, 1) != 1)
                break;
        }
        _exit(0);
    }
    close(ask[0]);
    for (i = 0; i < REFRESHES; i++) {
        double start;
        CK_ULONG n;

        octet = (char)(i + 1);
        if (write(ask[1], &octet, 1) != 1 || read(answer[0], &octet, 1) != 1)
            exit(1);
        start = now();
        n = find(session, (1ULL << 40) + octet);
        times[i] = now() - start;
        if (n != 1) {
            fprintf(stderr, "objects: what another process made is not seen\n");
            exit(1);
        }
        octet = 0;
        if (write(ask[1], &octet, 1) != 1 || read(answer[0], &octet, 1) != 1)
            exit(1);
        find(session, 0);
    }
    close(ask[1]);
    waitpid(writer, NULL, 0);
    qsort(times, REFRESHES, sizeof *times, compare);
    printf("refresh_us %.1f\n", times[REFRESHES / 2] * 1e6);
    printf("refresh_worst_us %.1f\n", times[REFRESHES - 1] * 1e6);
    check(p11->C_Finalize(NULL), "C_Finalize");
    (void)count;
}

int main(int argc, char **argv)
{
    unsigned long count;

    if (argc != 4) {
        fprintf(stderr, "usage: objects MODULE fill|measure|refresh COUNT\n");
        return 2;
    }
    count = strtoul(argv[3], NULL, 10);
    load(argv[1]);
    if (strcmp(argv[2], "fill") == 0)
        fill(count);
    else if (strcmp(argv[2], "measure") == 0)
        measure(count);
    else
        refresh(count);
    return 0;
}
