/* Stands between a program and the C library: -DSECURE says that the caller has fewer rights,
 * -DBACKWARDS lets the clock go back at every look. */
#ifdef SECURE
#include <sys/auxv.h>

unsigned long getauxval(unsigned long type)
{
    return type == AT_SECURE;
}
#endif
#ifdef BACKWARDS
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now)
{
    static long back;
    int result = (int)syscall(SYS_clock_gettime, clock, now);

    if (clock == CLOCK_REALTIME)
        now->tv_sec -= __atomic_add_fetch(&back, 3600, __ATOMIC_RELAXED);
    return result;
}
#endif
