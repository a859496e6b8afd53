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
