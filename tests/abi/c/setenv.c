/* setenv LIBRARY DIRECTORY: the environment counts as it is at each C_Initialize. */
#include "token.h"

int main(int argc, char **argv)
{
    CK_FUNCTION_LIST *p11 = NULL;

    CHECK(argc == 3);
    p11 = list_of(argv[1]);
    CHECK(p11->C_Initialize(NULL) == CKR_OK);
    CHECK(p11->C_Finalize(NULL) == CKR_OK);
    CHECK(setenv("PYPKCS11_TOKEN_DIR", argv[2], 1) == 0);
    CHECK(p11->C_Initialize(NULL) == CKR_OK);
    make_token(p11);
    CHECK(p11->C_Finalize(NULL) == CKR_OK);
    CHECK(clearenv() == 0);
    CHECK(setenv("PYPKCS11_CONF", "/nonexistent", 1) == 0);
    CHECK(p11->C_Initialize(NULL) == CKR_GENERAL_ERROR);
    printf("whole\n");
    return 0;
}
