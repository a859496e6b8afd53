/* What Python may ask of the library's C side, as functions of `lib`. */

/* How often this process's line of ancestors forked since the library was loaded. A process that
 * sees another number than before is a child, and its sessions are its parent's. */
unsigned long pypkcs11_fork_count(void);

/* The real path of the library's file; "" when it is unknown. */
const char *pypkcs11_library_path(void);

/* The name of an entry that no def_extern has defined yet, NULL when all are. */
const char *pypkcs11_undefined_entry(void);

/* 1 in a set-user-id program or one with file capabilities: its caller's environment variables
 * are those of somebody with fewer rights. 0 otherwise. */
int pypkcs11_secure(void);

/* The process's environment as it is now, ended by NULL: Python's os.environ is what it was when
 * Python started. Empty where pypkcs11_secure. */
char **pypkcs11_environ(void);

/* While calls are held, none is inside the library and those that come wait. For who forks. */
void pypkcs11_hold_calls(void);
void pypkcs11_let_calls_go(void);

/* A call that only waits is not inside: between these two. */
void pypkcs11_rest(void);
void pypkcs11_resume(void);

/* SIGPIPE and SIGXFSZ are kept from the calling thread between these two, which may nest; those
 * that came meanwhile are dropped. */
void pypkcs11_hold_signals(void);
void pypkcs11_release_signals(void);

/* Between these two, OPENSSL_CONF is empty: what loads an OpenSSL then, configures nothing. */
void pypkcs11_hide_openssl_settings(void);
void pypkcs11_show_openssl_settings(void);
