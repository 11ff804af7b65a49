/* One source of a kernel's loops, compiled for several levels of vector instructions; one is chosen at run time.

   A portable build may use only what every processor of its kind has: on x86-64 vectors of 16 bytes, although
   nearly all machines have 32 or 64. So a kernel module writes its loops into a file of its own and says

       #define TW_LOOPS "_average_loops.h"
       #include "_levels.h"

   and that file is included once for each level below. A function there is written

       TW_TARGET static void TW_AT_LEVEL(tw_name)(...) { plain C loops }

   and the compiler vectorises it for the level. The module calls it through a pointer `tw_name`, declared after
   the include, which `TW_CHOOSE(level, tw_name);` sets. Make the call long: a block or more, not a few items.

   A level only widens vectors. The operations and their order are the source's, so the bits are the same at every
   level, which each kernel's tests verify: contraction to fused multiply-adds is off by setup.py's flags, and loops
   may not call functions of libm.

   gcc and clang on x86-64 have three levels, whatever the system: attributes and `__builtin_cpu_supports` need
   no support from the C library, as `target_clones` would. Elsewhere there is the plain level alone; on
   64-bit ARM that is NEON already, which every such processor has. */

#if defined(__FAST_MATH__)
#error "the kernels promise IEEE arithmetic, which -ffast-math takes away"
#endif

#if defined(_MSC_VER)
#define TW_RESTRICT __restrict
#else
#define TW_RESTRICT restrict
#endif

/* `name` may be a macro itself. */
#define TW_JOINED(name, level) TW_JOINED_AS_THEY_ARE(name, level)
#define TW_JOINED_AS_THEY_ARE(name, level) name##level

#define TW_TARGET
#define TW_AT_LEVEL(name) TW_JOINED(name, _plain)
#include TW_LOOPS
#undef TW_TARGET
#undef TW_AT_LEVEL

#if defined(__x86_64__) && defined(__GNUC__)

#define TW_TARGET __attribute__((target("avx2")))
#define TW_AT_LEVEL(name) TW_JOINED(name, _avx2)
#include TW_LOOPS
#undef TW_TARGET
#undef TW_AT_LEVEL

/* clang knows no such attribute and takes the full width by itself; gcc may halve it when tuned for some processors. */
#if defined(__clang__)
#define TW_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl")))
#else
#define TW_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")))
#endif
#define TW_AT_LEVEL(name) TW_JOINED(name, _avx512)
#include TW_LOOPS
#undef TW_TARGET
#undef TW_AT_LEVEL

#define TW_CHOOSE(level, name) \
    ((name) = (level) == 2 ? name##_avx512 : (level) == 1 ? name##_avx2 : name##_plain)

/* How many levels this machine has: 0 is plain, 1 AVX2, 2 AVX-512 as servers have it. */
static int tw_levels(void)
{
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2"))
        return 1;
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") ? 3 : 2;
}

#else

#define TW_CHOOSE(level, name) ((void)(level), (name) = name##_plain)

static int tw_levels(void)
{
    return 1;
}

#endif
