/* An OpenSSL provider that offers nothing: it loads the module named in PROVIDER_MODULE and starts
 * it, as providers and engines for PKCS #11 do. It writes one line each time OpenSSL loads it. */
#include "module.h"

int OSSL_provider_init(const void *handle, const void *core, const void **functions, void **context);

static const struct {
    int id;
    void *function;
} nothing[1];

int OSSL_provider_init(const void *handle, const void *core, const void **functions, void **context)
{
    CK_FUNCTION_LIST *list = NULL;

    (void)handle;
    (void)core;
    CHECK(FUNCTION(load(getenv("PROVIDER_MODULE")), C_GetFunctionList)(&list) == CKR_OK);
    fprintf(stderr, "provider: C_Initialize 0x%lx\n", list->C_Initialize(NULL));
    *functions = nothing;
    *context = NULL;
    return 1;
}
