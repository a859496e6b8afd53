/* From nothing to a Python side that answers, or to one line on stderr and CKR_GENERAL_ERROR. */
#include <Python.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "embed.h"

#define BOOT_STACK ((size_t)8 << 20)

static bool booted;
static bool broken; /* tried with Python running; what is half there cannot be tried again */

static const char *const REINSTALL = "reinstall pypkcs11, or build it anew after `make set-up-build`";

/* Takes the current exception and writes "TypeName: its text". */
static void describe_exception(char *text, size_t size)
{
    PyObject *message = NULL;
    const char *utf8 = NULL;
#if PY_VERSION_HEX >= 0x030C0000
    PyObject *value = PyErr_GetRaisedException();
#else
    PyObject *type = NULL;
    PyObject *value = NULL;
    PyObject *traceback = NULL;

    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
#endif
    if (value != NULL)
        message = PyObject_Str(value);
    if (message != NULL)
        utf8 = PyUnicode_AsUTF8(message);
    snprintf(text, size, "%s: %s", value != NULL ? Py_TYPE(value)->tp_name : "error",
             utf8 != NULL ? utf8 : "(no text)");
    PyErr_Clear();
    Py_XDECREF(message);
    Py_XDECREF(value);
}

static bool report_exception(const struct pypkcs11_environment *environment)
{
    char what[2048];

    describe_exception(what, sizeof(what));
    pypkcs11_report(what, environment->looked_in, REINSTALL);
    return false;
}

static bool import(const char *name)
{
    PyObject *module = PyImport_ImportModule(name);

    Py_XDECREF(module);
    return module != NULL;
}

/* pypkcs11.abi.boot.start(in_host) returns None, or (what failed, what to do). */
static bool run_python_side(const struct pypkcs11_environment *environment)
{
    PyObject *module = PyImport_ImportModule("pypkcs11.abi.boot");
    PyObject *failure = NULL;
    const char *what = NULL;
    const char *remedy = NULL;
    bool started = false;

    if (module != NULL)
        failure = PyObject_CallMethod(
            module, "start", "O",
            atomic_load(&pypkcs11_python) == PYPKCS11_HOST_PYTHON ? Py_True : Py_False);
    if (failure == NULL)
        report_exception(environment);
    else if (failure == Py_None)
        started = true;
    else if (PyArg_ParseTuple(failure, "ss", &what, &remedy))
        pypkcs11_report(what, environment->looked_in, remedy);
    else
        report_exception(environment);
    Py_XDECREF(failure);
    Py_XDECREF(module);
    return started;
}

/* The GIL is held throughout. */
static bool import_python_side(const struct pypkcs11_environment *environment)
{
    /* CFFI reports a missing backend in many lines, so it is missed here first. */
    if (!import("_cffi_backend"))
        return report_exception(environment);
    /* CFFI 2 waits for ever where Python 3.11 has given this type a version tag, as it does when
     * the host looks up an attribute of a capsule. This takes the tag away. */
    PyType_Modified(&PyCapsule_Type);
    if (pypkcs11_start_cffi() != 0) {
        pypkcs11_report("CFFI cannot make the module _pypkcs11", environment->looked_in, REINSTALL);
        return false;
    }
    return run_python_side(environment);
}

/* What the thread that starts our own Python is given, and what it gives. */
struct start {
    const struct pypkcs11_environment *environment;
    bool started;
};

/* Set while Python starts in this thread: what is loaded then must not call us back. */
static _Thread_local bool booting_here;

bool pypkcs11_booting_here(void)
{
    return booting_here;
}

static void *start_own_python(void *argument)
{
    struct start *start = argument;

    booting_here = true;
    if (pypkcs11_start_own_python(start->environment)) {
        /* What is imported stays for good: collecting garbage meanwhile only takes time. */
        PyGC_Disable();
        start->started = import_python_side(start->environment);
        PyGC_Enable();
        PyEval_SaveThread();
    }
    booting_here = false;
    return NULL;
}

/* Runs start_own_python in a thread of its own. Python's start goes deep and leaves thousands of
 * freed chunks in its thread's malloc cache: the caller keeps its small stack and its cache as they
 * were (pkcs11-tool 0.23 reads freed memory, which goes well until the cache is another). */
static bool start_in_thread(struct start *start)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    bool created = false;

    if (pthread_attr_init(&attributes) != 0)
        return false;
    /* The host's signals are for the host's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    created = pthread_attr_setstacksize(&attributes, BOOT_STACK) == 0 &&
              pthread_create(&thread, &attributes, start_own_python, start) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (created)
        pthread_join(thread, NULL);
    return created;
}

/* Two copies of the library under two names have two states and one Python, in which there is one
 * module `_pypkcs11`. Reports and returns true when another copy has made it. */
static bool another_copy_runs(void)
{
    PyObject *module = PyMapping_GetItemString(PyImport_GetModuleDict(), "_pypkcs11");
    PyObject *ffi = module != NULL ? PyObject_GetAttrString(module, "ffi") : NULL;
    PyObject *lib = ffi != NULL ? PyObject_GetAttrString(module, "lib") : NULL;
    PyObject *path = lib != NULL ? PyObject_CallMethod(lib, "pypkcs11_library_path", NULL) : NULL;
    PyObject *text = path != NULL ? PyObject_CallMethod(ffi, "string", "O", path) : NULL;
    bool found = module != NULL;

    PyErr_Clear();
    if (found)
        pypkcs11_report("this process has loaded another copy of the library",
                        text != NULL && PyBytes_Check(text) ? PyBytes_AsString(text) : "memory",
                        "let all that is in this process load the same file");
    Py_XDECREF(text);
    Py_XDECREF(path);
    Py_XDECREF(lib);
    Py_XDECREF(ffi);
    Py_XDECREF(module);
    return found;
}

static bool boot_in(const struct pypkcs11_environment *environment, bool may_create_threads)
{
    struct start start = {.environment = environment, .started = false};

    if (Py_IsInitialized()) {
        PyGILState_STATE gil = PyGILState_Ensure();

        start.started = !another_copy_runs() && pypkcs11_join_host_python(environment) &&
                        import_python_side(environment);
        PyGILState_Release(gil);
    } else {
        if (!may_create_threads || !start_in_thread(&start))
            start_own_python(&start);
        if (!start.started && atomic_load(&pypkcs11_python) == PYPKCS11_NO_PYTHON)
            return false; /* nothing was begun: C_Initialize may try again */
    }
    broken = !start.started;
    return start.started;
}

CK_RV pypkcs11_boot(bool may_create_threads)
{
    struct pypkcs11_environment environment;
    bool located = false;

    if (atomic_load(&pypkcs11_python_dead)) {
        pypkcs11_report("the process's Python has ended", "this process",
                        "use the module before Py_Finalize only");
        return CKR_GENERAL_ERROR;
    }
    if (pypkcs11_fork_interrupted_boot()) {
        pypkcs11_report("this process was forked while its parent was starting Python",
                        "this process", "fork before or after C_Initialize, not during it");
        return CKR_GENERAL_ERROR;
    }
    if (Py_IsInitialized() && pypkcs11_in_subinterpreter()) {
        pypkcs11_report("this is a sub-interpreter of the process's Python", "this thread",
                        "use the module in the main interpreter");
        return CKR_GENERAL_ERROR;
    }
    if (booted)
        return CKR_OK;
    if (broken) {
        pypkcs11_report("an earlier start failed", "this process",
                        "see the message of the first C_Initialize, and start a new process");
        return CKR_GENERAL_ERROR;
    }
    located = pypkcs11_locate(&environment);
    if (located) {
        pypkcs11_set_booting(true);
        booted = boot_in(&environment, may_create_threads);
        pypkcs11_set_booting(false);
    } else {
        pypkcs11_report("the Python files of the library are missing",
                        environment.looked_in != NULL ? environment.looked_in : "memory",
                        "keep the library where it was installed, or install it again");
    }
    pypkcs11_release_environment(&environment);
    return booted ? CKR_OK : CKR_GENERAL_ERROR;
}
