/* What CFFI generated, and the little that must see its insides. */
#include "_pypkcs11.c"

#include <stddef.h>

/* `static` in CFFI's file, so this one includes it. */
int pypkcs11_start_cffi(void)
{
    return cffi_start_python();
}

/* CFFI returns 0, which is CKR_OK, from an entry that Python has not defined. */
const char *pypkcs11_undefined_entry(void)
{
#define ENTRY(name)                                  \
    if (_cffi_externpy__##name.reserved1 == NULL)    \
        return #name;
#include "generated/entries.inc"
#undef ENTRY
    return NULL;
}
