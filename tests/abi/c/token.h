/* A token to work with, and a round of work that goes through most of the library. */
#ifndef TESTS_TOKEN_H
#define TESTS_TOKEN_H

#include <string.h>

#include "module.h"

#define SO_PIN ((CK_UTF8CHAR_PTR) "so-pin-87654321")
#define USER_PIN ((CK_UTF8CHAR_PTR) "user-pin-1234")
#define SO_PIN_LENGTH 15
#define USER_PIN_LENGTH 13

static inline CK_FUNCTION_LIST *list_of(const char *path)
{
    CK_FUNCTION_LIST *functions = NULL;

    CHECK(FUNCTION(load(path), C_GetFunctionList)(&functions) == CKR_OK);
    return functions;
}

/* The slot of the first token that is initialised, or of the free one. */
static inline CK_SLOT_ID slot_of(CK_FUNCTION_LIST *p11, int initialised)
{
    CK_SLOT_ID slots[16];
    CK_ULONG count = 16;

    CHECK(p11->C_GetSlotList(CK_TRUE, slots, &count) == CKR_OK);
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;

        CHECK(p11->C_GetTokenInfo(slots[i], &info) == CKR_OK);
        if (!(info.flags & CKF_TOKEN_INITIALIZED) == !initialised)
            return slots[i];
    }
    fprintf(stderr, "no such token among %lu\n", count);
    exit(1);
}

static inline CK_SESSION_HANDLE open_session(CK_FUNCTION_LIST *p11, CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE session = 0;

    CHECK(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session) ==
          CKR_OK);
    return session;
}

static inline CK_SLOT_ID make_token(CK_FUNCTION_LIST *p11)
{
    CK_UTF8CHAR label[32];
    CK_SLOT_ID slot = slot_of(p11, 0);
    CK_SESSION_HANDLE session = 0;

    memset(label, ' ', sizeof(label));
    memcpy(label, "host", 4);
    CHECK(p11->C_InitToken(slot, SO_PIN, SO_PIN_LENGTH, label) == CKR_OK);
    session = open_session(p11, slot);
    CHECK(p11->C_Login(session, CKU_SO, SO_PIN, SO_PIN_LENGTH) == CKR_OK);
    CHECK(p11->C_InitPIN(session, USER_PIN, USER_PIN_LENGTH) == CKR_OK);
    CHECK(p11->C_Logout(session) == CKR_OK);
    CHECK(p11->C_CloseSession(session) == CKR_OK);
    return slot;
}

static inline CK_SESSION_HANDLE log_in(CK_FUNCTION_LIST *p11, CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE session = open_session(p11, slot);
    CK_RV rv = p11->C_Login(session, CKU_USER, USER_PIN, USER_PIN_LENGTH);

    CHECK(rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN);
    return session;
}

/* A data object of the token, which goes through the store. */
static inline CK_OBJECT_HANDLE make_data(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session,
                                         CK_BBOOL on_token)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_UTF8CHAR value[] = "some value";
    CK_ATTRIBUTE template[] = {
        {CKA_CLASS, &class, sizeof(class)},
        {CKA_TOKEN, &on_token, sizeof(on_token)},
        {CKA_VALUE, value, sizeof(value)},
    };
    CK_OBJECT_HANDLE object = 0;

    return p11->C_CreateObject(session, template, 3, &object) == CKR_OK ? object : 0;
}

static inline CK_OBJECT_HANDLE make_aes_key(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session)
{
    CK_MECHANISM mechanism = {CKM_AES_KEY_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE;
    CK_ULONG length = 32;
    CK_ATTRIBUTE template[] = {
        {CKA_VALUE_LEN, &length, sizeof(length)},
        {CKA_ENCRYPT, &yes, sizeof(yes)},
        {CKA_DECRYPT, &yes, sizeof(yes)},
    };
    CK_OBJECT_HANDLE key = 0;

    CHECK(p11->C_GenerateKey(session, &mechanism, template, 3, &key) == CKR_OK);
    return key;
}

static inline CK_OBJECT_HANDLE make_ec_key(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session,
                                           CK_BBOOL on_token)
{
    static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
    CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE public_template[] = {{CKA_EC_PARAMS, p256, sizeof(p256)}};
    CK_ATTRIBUTE private_template[] = {
        {CKA_TOKEN, &on_token, sizeof(on_token)},
        {CKA_SIGN, &yes, sizeof(yes)},
    };
    CK_OBJECT_HANDLE public_key = 0;
    CK_OBJECT_HANDLE private_key = 0;

    CHECK(p11->C_GenerateKeyPair(session, &mechanism, public_template, 1, private_template, 2,
                                 &public_key, &private_key) == CKR_OK);
    return private_key;
}

/* Each of the next returns the first return value that is not CKR_OK. */

static inline CK_RV sign(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_MECHANISM mechanism = {CKM_ECDSA_SHA256, NULL, 0};
    CK_BYTE data[100] = {1};
    CK_BYTE signature[64];
    CK_ULONG length = sizeof(signature);
    CK_RV rv = p11->C_SignInit(session, &mechanism, key);

    return rv == CKR_OK ? p11->C_Sign(session, data, sizeof(data), signature, &length) : rv;
}

static inline CK_RV encrypt(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
{
    CK_BYTE iv[16] = {2};
    CK_MECHANISM mechanism = {CKM_AES_CBC_PAD, iv, sizeof(iv)};
    CK_BYTE plain[1000] = {3};
    CK_BYTE cipher[1024];
    CK_BYTE again[1024];
    CK_ULONG length = sizeof(cipher);
    CK_ULONG plain_length = sizeof(again);
    CK_RV rv = p11->C_EncryptInit(session, &mechanism, key);

    if (rv == CKR_OK)
        rv = p11->C_Encrypt(session, plain, sizeof(plain), cipher, &length);
    if (rv == CKR_OK)
        rv = p11->C_DecryptInit(session, &mechanism, key);
    if (rv == CKR_OK)
        rv = p11->C_Decrypt(session, cipher, length, again, &plain_length);
    if (rv == CKR_OK)
        CHECK(plain_length == sizeof(plain) && memcmp(plain, again, sizeof(plain)) == 0);
    return rv;
}

static inline CK_RV digest(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session)
{
    CK_MECHANISM mechanism = {CKM_SHA256, NULL, 0};
    CK_BYTE data[5000] = {4};
    CK_BYTE out[32];
    CK_ULONG length = sizeof(out);
    CK_RV rv = p11->C_DigestInit(session, &mechanism);

    return rv == CKR_OK ? p11->C_Digest(session, data, sizeof(data), out, &length) : rv;
}

static inline CK_RV find_data(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session)
{
    CK_OBJECT_CLASS class = CKO_DATA;
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof(class)}};
    CK_OBJECT_HANDLE found[10];
    CK_ULONG count = 0;
    CK_RV rv = p11->C_FindObjectsInit(session, template, 1);

    if (rv == CKR_OK)
        rv = p11->C_FindObjects(session, found, 10, &count);
    return rv == CKR_OK ? p11->C_FindObjectsFinal(session) : rv;
}

static inline CK_RV random_octets(CK_FUNCTION_LIST *p11, CK_SESSION_HANDLE session)
{
    CK_BYTE out[64];

    return p11->C_GenerateRandom(session, out, sizeof(out));
}

/* What a session of its own needs: keys that die with it. */
struct worker {
    CK_FUNCTION_LIST *p11;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE aes;
    CK_OBJECT_HANDLE ec;
};

static inline void prepare(struct worker *worker, CK_FUNCTION_LIST *p11, CK_SLOT_ID slot)
{
    worker->p11 = p11;
    worker->session = log_in(p11, slot);
    worker->aes = make_aes_key(p11, worker->session);
    worker->ec = make_ec_key(p11, worker->session, CK_FALSE);
}

/* The `kind`-th kind of work, in turn. */
static inline CK_RV work(struct worker *w, unsigned kind)
{
    CK_OBJECT_HANDLE object = 0;

    switch (kind % 7) {
    case 0:
        return sign(w->p11, w->session, w->ec);
    case 1:
        return encrypt(w->p11, w->session, w->aes);
    case 2:
        return digest(w->p11, w->session);
    case 3:
        return find_data(w->p11, w->session);
    case 4:
        return random_octets(w->p11, w->session);
    case 5:
        object = make_data(w->p11, w->session, CK_FALSE);
        return object != 0 ? w->p11->C_DestroyObject(w->session, object) : CKR_OK;
    default:
        object = make_data(w->p11, w->session, CK_TRUE);
        return object != 0 ? w->p11->C_DestroyObject(w->session, object) : CKR_OK;
    }
}

/* Every kind of work once; what fails ends the program. */
static inline void work_round(struct worker *worker)
{
    for (unsigned kind = 0; kind < 7; kind++)
        CHECK(work(worker, kind) == CKR_OK);
}

#endif
