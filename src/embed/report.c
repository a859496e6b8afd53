/* One line on stderr for what stops the library from starting; there is no log yet by then. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "embed.h"

/* One write, so that lines of several threads do not mix. Nobody is left to tell of a failure; and
 * a standard error that nobody reads must not end the host. */
static void write_line(const char *line, size_t length)
{
    pypkcs11_hold_signals();
    if (write(STDERR_FILENO, line, length) < 0)
        errno = 0;
    pypkcs11_release_signals();
}

void pypkcs11_report(const char *what, const char *where, const char *remedy)
{
    char line[8192];
    int length = snprintf(line, sizeof(line), "pypkcs11: %s; looked in %s; %s", what, where, remedy);
    size_t end = 0;

    if (length < 0)
        return;
    end = (size_t)length < sizeof(line) - 1 ? (size_t)length : sizeof(line) - 2;
    for (size_t i = 0; i < end; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = ' ';
    line[end++] = '\n';
    write_line(line, end);
}
