"""Calls about the address space and shared memory. Source: section 2 of the manual."""

from __future__ import annotations

from llamactl.trace.decode.families import Family
from llamactl.trace.decode.row import Row, newer

_MEMORY = Family.MEMORY
_IPC = Family.IPC

MEMORY = (
    Row("mmap", _MEMORY | Family.DESC, "addr:pointer length:size prot:prot flags:map fd:fd offset:hex",
        result="pointer"),
    Row("munmap", _MEMORY, "addr:pointer length:size"),
    Row("mremap", _MEMORY,
        "old_address:pointer old_size:size new_size:size flags:mremap new_address:pointer", result="pointer"),
    Row("mprotect", _MEMORY, "addr:pointer len:size prot:prot"),
    Row("pkey_mprotect", _MEMORY, "addr:pointer len:size prot:prot pkey:int"),
    Row("pkey_alloc", Family.NONE, "flags:hex access_rights:hex"),
    Row("pkey_free", Family.NONE, "pkey:int"),
    Row("madvise", _MEMORY, "addr:pointer length:size advice:advice"),
    newer(440, "process_madvise", _MEMORY | Family.DESC,
          "pidfd:fd iovec:pointer vlen:size advice:advice flags:hex"),
    Row("brk", _MEMORY, "addr:pointer", result="pointer"),
    Row("msync", _MEMORY, "addr:pointer length:size flags:msync"),
    Row("mlock", _MEMORY, "addr:pointer len:size"),
    Row("mlock2", _MEMORY, "addr:pointer len:size flags:mlock2"),
    Row("munlock", _MEMORY, "addr:pointer len:size"),
    Row("mlockall", _MEMORY, "flags:mlockall"),
    Row("munlockall", _MEMORY),
    Row("mincore", _MEMORY, "addr:pointer length:size vec:pointer"),
    Row("remap_file_pages", _MEMORY, "addr:pointer size:size prot:prot pgoff:size flags:map"),
    Row("mbind", _MEMORY, "addr:pointer len:size mode:int nodemask:pointer maxnode:size flags:hex"),
    Row("set_mempolicy", _MEMORY, "mode:int nodemask:pointer maxnode:size"),
    Row("get_mempolicy", _MEMORY, "mode:pointer nodemask:pointer maxnode:size addr:pointer flags:hex"),
    newer(450, "set_mempolicy_home_node", _MEMORY, "start:pointer len:size home_node:size flags:hex"),
    Row("migrate_pages", _MEMORY, "pid:int maxnode:size old_nodes:pointer new_nodes:pointer"),
    Row("move_pages", _MEMORY, "pid:int count:size pages:pointer nodes:pointer status:pointer flags:hex"),
    Row("memfd_create", Family.DESC, "name:path flags:memfd", result="newfd"),
    newer(447, "memfd_secret", Family.DESC, "flags:fdflags", "newfd"),
    newer(453, "map_shadow_stack", _MEMORY, "addr:pointer size:size flags:hex", "pointer"),
    newer(462, "mseal", _MEMORY, "addr:pointer len:size flags:hex"),
    newer(448, "process_mrelease", Family.DESC, "pidfd:fd flags:hex"),
    Row("process_vm_readv", Family.NONE,
        "pid:int local_iov:pointer liovcnt:size remote_iov:pointer riovcnt:size flags:hex"),
    Row("process_vm_writev", Family.NONE,
        "pid:int local_iov:pointer liovcnt:size remote_iov:pointer riovcnt:size flags:hex"),
)  # fmt: skip

IPC = (
    Row("shmget", _IPC, "key:hex size:size shmflg:hex"),
    Row("shmat", _IPC | _MEMORY, "shmid:int shmaddr:pointer shmflg:hex", result="pointer"),
    Row("shmdt", _IPC | _MEMORY, "shmaddr:pointer"),
    Row("shmctl", _IPC, "shmid:int cmd:int buf:pointer"),
    Row("semget", _IPC, "key:hex nsems:int semflg:hex"),
    Row("semop", _IPC, "semid:int sops:pointer nsops:size"),
    Row("semtimedop", _IPC, "semid:int sops:pointer nsops:size timeout:pointer"),
    Row("semctl", _IPC, "semid:int semnum:int cmd:int arg:pointer"),
    Row("msgget", _IPC, "key:hex msgflg:hex"),
    Row("msgsnd", _IPC, "msqid:int msgp:pointer msgsz:size msgflg:hex"),
    Row("msgrcv", _IPC, "msqid:int msgp:pointer msgsz:size msgtyp:long msgflg:hex"),
    Row("msgctl", _IPC, "msqid:int cmd:int buf:pointer"),
    Row("mq_open", Family.DESC, "name:path oflag:open mode:mode attr:pointer", result="newfd"),
    Row("mq_unlink", Family.NONE, "name:path"),
    Row("mq_timedsend", Family.DESC, "mqdes:fd msg_ptr:pointer msg_len:size msg_prio:uint abs_timeout:pointer"),
    Row("mq_timedreceive", Family.DESC,
        "mqdes:fd msg_ptr:pointer msg_len:size msg_prio:pointer abs_timeout:pointer"),
    Row("mq_notify", Family.DESC, "mqdes:fd sevp:pointer"),
    Row("mq_getsetattr", Family.DESC, "mqdes:fd newattr:pointer oldattr:pointer"),
)  # fmt: skip
