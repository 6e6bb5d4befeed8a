/* One row per system call: which strings and small structures of its arguments a record keeps.
 *
 * File contents are never here: read and write keep no data. */
#define _GNU_SOURCE
#include "common/texts.h"

#include <linux/time_types.h>
#include <linux/types.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "common/arch.h"

#define STRING(argument) {TEXT_STRING, argument, 0}
#define BYTES(argument, size) {TEXT_BYTES, argument, size}
#define SIZED(argument, length) {TEXT_SIZED, argument, length}
#define VECTOR(argument) {TEXT_VECTOR, argument, 0}
#define OUT_BYTES(argument, size) {TEXT_OUT_BYTES, argument, size}
#define OUT_SIZED(argument, length) {TEXT_OUT_SIZED, argument, length}
#define NOTHING {TEXT_NONE, 0, 0}
#define TIMESPEC sizeof(struct __kernel_timespec)

/* clang-format off */
static const struct text_rule rules[] = {
#ifdef SYS_open  /* the older calls, which aarch64 doesn't have */
    { SYS_open, { STRING(0), NOTHING } },
    { SYS_creat, { STRING(0), NOTHING } },
    { SYS_stat, { STRING(0), NOTHING } },
    { SYS_lstat, { STRING(0), NOTHING } },
    { SYS_access, { STRING(0), NOTHING } },
    { SYS_readlink, { STRING(0), NOTHING } },
    { SYS_rename, { STRING(0), STRING(1) } },
    { SYS_link, { STRING(0), STRING(1) } },
    { SYS_symlink, { STRING(0), STRING(1) } },
    { SYS_unlink, { STRING(0), NOTHING } },
    { SYS_mkdir, { STRING(0), NOTHING } },
    { SYS_rmdir, { STRING(0), NOTHING } },
    { SYS_chmod, { STRING(0), NOTHING } },
    { SYS_chown, { STRING(0), NOTHING } },
    { SYS_lchown, { STRING(0), NOTHING } },
    { SYS_mknod, { STRING(0), NOTHING } },
    { SYS_utime, { STRING(0), NOTHING } },
    { SYS_utimes, { STRING(0), NOTHING } },
    { SYS_futimesat, { STRING(1), NOTHING } },
    { SYS_pipe, { OUT_BYTES(0, 8), NOTHING } },
    { SYS_uselib, { STRING(0), NOTHING } },
#endif
    { SYS_openat, { STRING(1), NOTHING } },
    { NR_OPENAT2, { STRING(1), SIZED(2, 3) } },
    { SYS_newfstatat, { STRING(1), NOTHING } },
    { SYS_statx, { STRING(1), NOTHING } },
    { SYS_faccessat, { STRING(1), NOTHING } },
    { NR_FACCESSAT2, { STRING(1), NOTHING } },
    { SYS_readlinkat, { STRING(1), NOTHING } },
    { SYS_renameat, { STRING(1), STRING(3) } },
    { SYS_renameat2, { STRING(1), STRING(3) } },
    { SYS_linkat, { STRING(1), STRING(3) } },
    { SYS_symlinkat, { STRING(0), STRING(2) } },
    { SYS_unlinkat, { STRING(1), NOTHING } },
    { SYS_mkdirat, { STRING(1), NOTHING } },
    { SYS_fchmodat, { STRING(1), NOTHING } },
    { NR_FCHMODAT2, { STRING(1), NOTHING } },
    { SYS_fchownat, { STRING(1), NOTHING } },
    { SYS_mknodat, { STRING(1), NOTHING } },
    { SYS_utimensat, { STRING(1), NOTHING } },
    { SYS_truncate, { STRING(0), NOTHING } },
    { SYS_statfs, { STRING(0), NOTHING } },
    { SYS_chdir, { STRING(0), NOTHING } },
    { SYS_chroot, { STRING(0), NOTHING } },
    { SYS_mount, { STRING(0), STRING(1) } },
    { SYS_umount2, { STRING(0), NOTHING } },
    { SYS_pivot_root, { STRING(0), STRING(1) } },
    { SYS_swapon, { STRING(0), NOTHING } },
    { SYS_swapoff, { STRING(0), NOTHING } },
    { SYS_acct, { STRING(0), NOTHING } },
    { SYS_setxattr, { STRING(0), STRING(1) } },
    { SYS_lsetxattr, { STRING(0), STRING(1) } },
    { SYS_getxattr, { STRING(0), STRING(1) } },
    { SYS_lgetxattr, { STRING(0), STRING(1) } },
    { SYS_listxattr, { STRING(0), NOTHING } },
    { SYS_llistxattr, { STRING(0), NOTHING } },
    { SYS_removexattr, { STRING(0), STRING(1) } },
    { SYS_lremovexattr, { STRING(0), STRING(1) } },
    { NR_SETXATTRAT, { STRING(1), STRING(3) } },
    { NR_GETXATTRAT, { STRING(1), STRING(3) } },
    { NR_LISTXATTRAT, { STRING(1), NOTHING } },
    { NR_REMOVEXATTRAT, { STRING(1), STRING(3) } },
    { SYS_quotactl, { STRING(1), NOTHING } },
    { SYS_inotify_add_watch, { STRING(1), NOTHING } },
    { SYS_fanotify_mark, { STRING(4), NOTHING } },
    { SYS_name_to_handle_at, { STRING(1), NOTHING } },
    { NR_OPEN_TREE, { STRING(1), NOTHING } },
    { NR_MOVE_MOUNT, { STRING(1), STRING(3) } },
    { SYS_memfd_create, { STRING(0), NOTHING } },
    { SYS_mq_open, { STRING(0), NOTHING } },
    { SYS_mq_unlink, { STRING(0), NOTHING } },
    { SYS_execve, { STRING(0), VECTOR(1) } },
    { SYS_execveat, { STRING(1), VECTOR(2) } },
    { SYS_pipe2, { OUT_BYTES(0, 8), NOTHING } },
    { SYS_socketpair, { OUT_BYTES(3, 8), NOTHING } },
    { SYS_connect, { SIZED(1, 2), NOTHING } },
    { SYS_bind, { SIZED(1, 2), NOTHING } },
    { SYS_sendto, { SIZED(4, 5), NOTHING } },
    { SYS_accept, { OUT_SIZED(1, 2), NOTHING } },
    { SYS_accept4, { OUT_SIZED(1, 2), NOTHING } },
    { SYS_getsockname, { OUT_SIZED(1, 2), NOTHING } },
    { SYS_getpeername, { OUT_SIZED(1, 2), NOTHING } },
    { SYS_recvfrom, { OUT_SIZED(4, 5), NOTHING } },
    { SYS_setsockopt, { BYTES(3, 4), NOTHING } },
    { NR_CLONE3, { SIZED(0, 1), NOTHING } },
    { SYS_nanosleep, { BYTES(0, TIMESPEC), NOTHING } },
    { SYS_clock_nanosleep, { BYTES(2, TIMESPEC), NOTHING } },
    { SYS_wait4, { OUT_BYTES(1, 4), NOTHING } },
    { SYS_prlimit64, { BYTES(2, 16), OUT_BYTES(3, 16) } },
    { SYS_sethostname, { SIZED(0, 1), NOTHING } },
};
/* clang-format on */

#define RULE_COUNT (sizeof rules / sizeof *rules)
#define NUMBER_LIMIT 1024

static const struct text_rule * by_number[NUMBER_LIMIT];

__attribute__((constructor)) static void index_rules(void) {
    for (size_t i = 0; i < RULE_COUNT; i++) {
        by_number[rules[i].nr] = &rules[i];
    }
}

const struct text_rule * text_rule_of(uint32_t nr) {
    return nr < NUMBER_LIMIT ? by_number[nr] : NULL;
}

bool text_on_entry(const struct text_rule * rule) {
    for (int i = 0; i < 2; i++) {
        uint8_t kind = rule->part[i].kind;
        if (kind == TEXT_OUT_BYTES || kind == TEXT_OUT_SIZED || kind == TEXT_VECTOR) {
            return false;
        }
    }
    return true;
}

int text_rule(uint32_t nr, uint8_t * kinds, uint8_t * arguments, uint16_t * sizes) {
    const struct text_rule * rule = text_rule_of(nr);
    for (int i = 0; rule && i < 2; i++) {
        kinds[i] = rule->part[i].kind;
        arguments[i] = rule->part[i].argument;
        sizes[i] = rule->part[i].size;
    }
    return rule != NULL;
}

uint32_t audit_arch(void) {
    return ARCH_NATIVE_AUDIT;
}
