/* Stands in for another version of Python: only what a library looks at before it uses one. */
#ifdef OLD
const char *Py_GetVersion(void);
const char *Py_GetVersion(void)
{
    return OLD " (stand-in)";
}
#else
extern const unsigned long Py_Version;
const unsigned long Py_Version = NUMBER;
#endif
