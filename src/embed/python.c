/* The interpreter: the host's when it has one of our version, else one that we start. */
#include <Python.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <wchar.h>

#include "embed.h"
#include "finder.h"
#include "recorded.h"

atomic_int pypkcs11_python = PYPKCS11_NO_PYTHON;
atomic_bool pypkcs11_python_dead = false;

#define STRINGIFY(x) #x
#define TEXT(x) STRINGIFY(x)
#define OUR_VERSION TEXT(PY_MAJOR_VERSION) "." TEXT(PY_MINOR_VERSION)

/* Py_AtExit: too late to call Python, early enough to stop others from it. */
static void python_ended(void)
{
    atomic_store(&pypkcs11_python_dead, true);
    pypkcs11_mark_not_ready();
}

/* What Py_GetVersion tells of a Python without a GIL, whose structures have another shape. */
static bool is_free_threaded(const char *version)
{
    return strstr(version, "free-threading") != NULL;
}

#ifdef Py_GIL_DISABLED
#define OUR_KIND true
#else
#define OUR_KIND false
#endif

static bool is_our_kind(const char *version)
{
    if (is_free_threaded(version) == OUR_KIND)
        return true;
    pypkcs11_report(OUR_KIND ? "this process's Python has a GIL, and the library is made for one without"
                             : "this process's Python has no GIL, and the library is made for one with it",
                    "the process's symbols", "build pypkcs11 with the process's Python");
    return false;
}

static bool is_our_version(int major, int minor)
{
    char what[160];

    if (major == PY_MAJOR_VERSION && minor == PY_MINOR_VERSION)
        return true;
    snprintf(what, sizeof(what),
             "this process contains Python %d.%d, which the library, made for Python " OUR_VERSION
             ", cannot use",
             major, minor);
    pypkcs11_report(what, "the process's symbols",
                    "build pypkcs11 with the process's Python (3.11 or later)");
    return false;
}

/* A Python of another minor version anywhere in the process's global symbols would answer our
 * calls with structures of another shape. Its symbols are looked up, and none is used but these
 * two, which work whether it runs or not. Both are asked: Py_Version is new in 3.11, so that in
 * an older host the lookup goes on to our own libpython. */
bool pypkcs11_python_is_compatible(void)
{
    const unsigned long *number = (const unsigned long *)dlsym(RTLD_DEFAULT, "Py_Version");
    union {
        void *symbol;
        const char *(*call)(void);
    } text = {.symbol = dlsym(RTLD_DEFAULT, "Py_GetVersion")};
    int major = 0;
    int minor = 0;

    if (text.symbol != NULL && sscanf(text.call(), "%d.%d", &major, &minor) == 2 &&
        (!is_our_version(major, minor) || !is_our_kind(text.call())))
        return false;
    return number == NULL || is_our_version((int)(*number >> 24), (int)(*number >> 16 & 0xff));
}

static PyObject *path_list(const struct pypkcs11_environment *environment)
{
    PyObject *paths = PyList_New(0);

    for (int i = 0; paths != NULL && i < environment->count; i++) {
        PyObject *path = PyUnicode_DecodeFSDefault(environment->paths[i]);

        if (path == NULL || PyList_Append(paths, path) < 0)
            Py_CLEAR(paths);
        Py_XDECREF(path);
    }
    return paths;
}

/* Runs finder.py, which lets the host import the library's modules and leaves sys.path alone. */
bool pypkcs11_join_host_python(const struct pypkcs11_environment *environment)
{
    PyObject *globals = PyDict_New();
    PyObject *paths = path_list(environment);
    PyObject *result = NULL;

    atomic_store(&pypkcs11_python, PYPKCS11_HOST_PYTHON);
    if (globals != NULL && paths != NULL &&
        PyDict_SetItemString(globals, "__builtins__", PyEval_GetBuiltins()) == 0 &&
        PyDict_SetItemString(globals, "PATHS", paths) == 0)
        result = PyRun_String(PYPKCS11_FINDER, Py_file_input, globals, globals);
    Py_XDECREF(result);
    Py_XDECREF(paths);
    Py_XDECREF(globals);
    if (result == NULL || Py_AtExit(python_ended) < 0) {
        PyErr_Clear();
        pypkcs11_report("the process's Python did not take the library's import finder",
                        environment->looked_in, "reinstall pypkcs11");
        return false;
    }
    return true;
}

/* dlopen(RTLD_LOCAL), which every application uses, hides libpython from Python's extensions. */
static bool promote_libpython(void)
{
    Dl_info info;

    if (dlopen(PYPKCS11_LIBPYTHON, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD) != NULL)
        return true;
    return dladdr((const void *)&Py_Version, &info) != 0 && info.dli_fname != NULL &&
           dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD) != NULL;
}

static PyStatus set(PyConfig *config, wchar_t **member, const char *value)
{
    return PyConfig_SetBytesString(config, member, value);
}

static PyStatus append_path(PyConfig *config, const char *path)
{
    wchar_t *decoded = Py_DecodeLocale(path, NULL);
    PyStatus status;

    if (decoded == NULL)
        return PyStatus_NoMemory();
    status = PyWideStringList_Append(&config->module_search_paths, decoded);
    PyMem_RawFree(decoded);
    return status;
}

/* Nothing of this comes from the caller: no environment variables, no user site, no `site`, no
 * signal handlers, no reconfigured streams or locale, no .pyc files written. */
static PyStatus configure(PyConfig *config, const struct pypkcs11_environment *environment)
{
    PyStatus status;

    config->site_import = 0;
    config->write_bytecode = 0;
    config->pathconfig_warnings = 0;
    config->module_search_paths_set = 1;
    status = set(config, &config->home, PYPKCS11_PREFIX);
    if (!PyStatus_Exception(status))
        status = set(config, &config->program_name, PYPKCS11_EXECUTABLE);
    if (!PyStatus_Exception(status))
        status = set(config, &config->executable, PYPKCS11_EXECUTABLE);
    if (!PyStatus_Exception(status))
        status = set(config, &config->base_executable, PYPKCS11_EXECUTABLE);
    if (!PyStatus_Exception(status))
        status = set(config, &config->prefix, PYPKCS11_PREFIX);
    if (!PyStatus_Exception(status))
        status = set(config, &config->base_prefix, PYPKCS11_PREFIX);
    if (!PyStatus_Exception(status))
        status = set(config, &config->exec_prefix, PYPKCS11_PREFIX);
    if (!PyStatus_Exception(status))
        status = set(config, &config->base_exec_prefix, PYPKCS11_PREFIX);
    if (!PyStatus_Exception(status))
        status = append_path(config, PYPKCS11_STDLIB);
    if (!PyStatus_Exception(status))
        status = append_path(config, PYPKCS11_DYNLOAD);
    for (int i = 0; i < environment->count && !PyStatus_Exception(status); i++)
        status = append_path(config, environment->paths[i]);
    return status;
}

static PyStatus initialize(const struct pypkcs11_environment *environment)
{
    PyPreConfig preconfig;
    PyConfig config;
    PyStatus status;

    PyPreConfig_InitIsolatedConfig(&preconfig);
    preconfig.utf8_mode = 1;
    status = Py_PreInitialize(&preconfig);
    if (PyStatus_Exception(status))
        return status;
    PyConfig_InitIsolatedConfig(&config);
    status = configure(&config, environment);
    if (!PyStatus_Exception(status))
        status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    return status;
}

/* Where memory ends during the start, cryptography's Rust ends the process. So there must be room
 * for what the start takes, about 40 MB of addresses. */
static bool has_room(void)
{
    const size_t needed = (size_t)56 << 20;
    void *room = mmap(NULL, needed, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (room == MAP_FAILED)
        return false;
    munmap(room, needed);
    return true;
}

/* On success the calling thread holds the GIL, as after Py_Initialize. */
bool pypkcs11_start_own_python(const struct pypkcs11_environment *environment)
{
    struct stat found;
    PyStatus status;

    /* Python prints several lines and exits when it misses these. */
    if (stat(PYPKCS11_STDLIB "/encodings/__init__.py", &found) != 0) {
        pypkcs11_report("the standard library of Python " OUR_VERSION " is missing",
                        PYPKCS11_STDLIB, "install it again, or build pypkcs11 anew");
        return false;
    }
    if (!has_room()) {
        pypkcs11_report("there is not enough memory to start Python",
                        "the process's limits (ulimit -v)", "allow the process 64 MB more");
        return false;
    }
    if (!promote_libpython()) {
        pypkcs11_report("the symbols of " PYPKCS11_LIBPYTHON " cannot be made global",
                        "the loaded libraries", "build pypkcs11 anew for the installed Python");
        return false;
    }
    /* Before Python runs, so that a fork in another thread from here on waits for us. */
    atomic_store(&pypkcs11_python, PYPKCS11_OWN_PYTHON);
    status = initialize(environment);
    if (PyStatus_Exception(status)) {
        pypkcs11_report(status.err_msg != NULL ? status.err_msg : "Python does not start",
                        PYPKCS11_STDLIB, "check the installation of Python " OUR_VERSION);
        return false;
    }
    Py_AtExit(python_ended);
    return true;
}
