/* What the caller's environment must not decide: how the token's own OpenSSL is configured.
 *
 * `cryptography` carries an OpenSSL that reads the file named by OPENSSL_CONF when it is loaded.
 * That file is the host's: it may ask for providers and properties that only the host's OpenSSL
 * has ("fips=yes"), or load this very module. OpenSSL reads no file when the name is empty. */
#include <string.h>
#include <unistd.h>

#include "embed.h"

#define NAME "OPENSSL_CONF="

static char no_file[] = NAME;

/* The host's entry, while `no_file` stands in its place. */
static char *hosts_own;

static bool exchange(char **place, char *from, char *to)
{
    return __atomic_compare_exchange_n(place, &from, to, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Nothing is allocated or moved, so that a getenv in another thread goes on undisturbed; in these
 * few milliseconds it finds the name empty. An entry that somebody changed meanwhile stays. */
void pypkcs11_hide_openssl_settings(void)
{
    hosts_own = NULL;
    for (char **place = environ; place != NULL && *place != NULL; place++) {
        char *found = *place;

        if (strncmp(found, NAME, strlen(NAME)) == 0) {
            hosts_own = found;
            if (exchange(place, found, no_file))
                return;
        }
    }
}

void pypkcs11_show_openssl_settings(void)
{
    for (char **place = environ; place != NULL && *place != NULL; place++) {
        if (*place == no_file && hosts_own != NULL && exchange(place, no_file, hosts_own))
            return;
    }
}
