"""Numbers of Linux system calls on the machines that `seccomp` filters for, and which are refused to decoders.

Source: Linux, arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (which aarch64 has).
"""

from __future__ import annotations

# Each line: the name, its number on x86-64, on aarch64 (`-`: there is none).
_PROCESSES = """
    execve 59 221
    execveat 322 281
    fork 57 -
    vfork 58 -
    ptrace 101 117
    process_vm_readv 310 270
    process_vm_writev 311 271
    process_madvise 440 440
    process_mrelease 448 448
    kcmp 312 272
    pidfd_open 434 434
    pidfd_getfd 438 438
    pidfd_send_signal 424 424
    tkill 200 130
    rt_sigqueueinfo 129 138
    rt_tgsigqueueinfo 297 240
"""
_NETWORK = """
    socket 41 198
    socketpair 53 199
    connect 42 203
    bind 49 200
    listen 50 201
    accept 43 202
    accept4 288 242
"""
_FILES = """
    creat 85 -
    truncate 76 45
    rename 82 -
    renameat 264 38
    renameat2 316 276
    mkdir 83 -
    mkdirat 258 34
    rmdir 84 -
    unlink 87 -
    unlinkat 263 35
    link 86 -
    linkat 265 37
    symlink 88 -
    symlinkat 266 36
    mknod 133 -
    mknodat 259 33
    chmod 90 -
    fchmod 91 52
    fchmodat 268 53
    fchmodat2 452 452
    chown 92 -
    fchown 93 55
    lchown 94 -
    fchownat 260 54
    setxattr 188 5
    lsetxattr 189 6
    fsetxattr 190 7
    removexattr 197 14
    lremovexattr 198 15
    fremovexattr 199 16
    utime 132 -
    utimes 235 -
    futimesat 261 -
    utimensat 280 88
    open_by_handle_at 304 265
"""
_MACHINE = """
    mount 165 40
    umount2 166 39
    pivot_root 155 41
    chroot 161 51
    open_tree 428 428
    move_mount 429 429
    fsopen 430 430
    fsconfig 431 431
    fsmount 432 432
    fspick 433 433
    mount_setattr 442 442
    unshare 272 97
    setns 308 268
    bpf 321 280
    perf_event_open 298 241
    userfaultfd 323 282
    fanotify_init 300 262
    keyctl 250 219
    add_key 248 217
    request_key 249 218
    init_module 175 105
    finit_module 313 273
    delete_module 176 106
    kexec_load 246 104
    kexec_file_load 320 294
    reboot 169 142
    swapon 167 224
    swapoff 168 225
    acct 163 89
    syslog 103 116
    sethostname 170 161
    settimeofday 164 170
    clock_settime 227 112
    shmget 29 194
    msgget 68 186
    semget 64 190
    mq_open 240 180
"""
_IO = """
    io_uring_setup 425 425
    io_uring_enter 426 426
    io_uring_register 427 427
"""
_BY_ARGUMENT = """
    clone 56 220
    clone3 435 435
    open 2 -
    openat 257 56
    openat2 437 437
    kill 62 129
    tgkill 234 131
    prlimit64 302 261
    ioctl 16 29
"""


def _numbers(table: str) -> dict[str, dict[str, int]]:
    """By name and machine."""
    lines = (line.split() for line in table.splitlines() if line)
    return {
        name: {machine: int(text) for machine, text in (("x86_64", x86), ("aarch64", arm)) if text != "-"}
        for name, x86, arm in lines
    }


FORBIDDEN = tuple(_numbers(_PROCESSES + _NETWORK + _FILES + _MACHINE))
IO_CALLS = tuple(_numbers(_IO))  # read, write, open and connect without the calls of those names
NUMBERS = _numbers(_PROCESSES + _NETWORK + _FILES + _MACHINE + _IO + _BY_ARGUMENT)
