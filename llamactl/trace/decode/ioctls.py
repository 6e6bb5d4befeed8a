"""Names of ioctl requests: terminals, files and GPU devices.

Sources: asm-generic/ioctls.h, linux/fs.h, linux/kfd_ioctl.h, drm/drm.h, drm/amdgpu_drm.h; NVIDIA's open
kernel modules (nv-ioctl-numbers.h, nv_escape.h, uvm_ioctl.h, uvm_linux_ioctl.h).
"""

from __future__ import annotations

from llamactl.trace.decode.bits import numbered, symbol
from llamactl.trace.decode.values import Symbol

_PLAIN = {
    0x5401: "TCGETS", 0x5402: "TCSETS", 0x5403: "TCSETSW", 0x5404: "TCSETSF", 0x540B: "TCFLSH",
    0x540F: "TIOCGPGRP", 0x5410: "TIOCSPGRP", 0x5411: "TIOCOUTQ", 0x5413: "TIOCGWINSZ", 0x5414: "TIOCSWINSZ",
    0x541B: "FIONREAD", 0x5421: "FIONBIO", 0x5450: "FIONCLEX", 0x5451: "FIOCLEX", 0x5452: "FIOASYNC",
    0x802C542A: "TCGETS2", 0x80045430: "TIOCGPTN", 0x40045431: "TIOCSPTLCK", 0x5441: "TIOCGPTPEER",
    0x40049409: "FICLONE", 0x4020940D: "FICLONERANGE", 0xC020660B: "FS_IOC_FIEMAP", 0x80086601: "FS_IOC_GETFLAGS",
    0x1260: "BLKGETSIZE", 0x1268: "BLKSSZGET", 0x80081272: "BLKGETSIZE64", 0x8912: "SIOCGIFCONF",
}  # fmt: skip

_KFD = numbered(
    "GET_VERSION CREATE_QUEUE DESTROY_QUEUE SET_MEMORY_POLICY GET_CLOCK_COUNTERS GET_PROCESS_APERTURES"
    " UPDATE_QUEUE CREATE_EVENT DESTROY_EVENT SET_EVENT RESET_EVENT WAIT_EVENTS DBG_REGISTER_DEPRECATED"
    " DBG_UNREGISTER_DEPRECATED DBG_ADDRESS_WATCH_DEPRECATED DBG_WAVE_CONTROL_DEPRECATED"
    " SET_SCRATCH_BACKING_VA GET_TILE_CONFIG SET_TRAP_HANDLER GET_PROCESS_APERTURES_NEW ACQUIRE_VM"
    " ALLOC_MEMORY_OF_GPU FREE_MEMORY_OF_GPU MAP_MEMORY_TO_GPU UNMAP_MEMORY_FROM_GPU SET_CU_MASK"
    " GET_QUEUE_WAVE_STATE GET_DMABUF_INFO IMPORT_DMABUF ALLOC_QUEUE_GWS SMI_EVENTS SVM SET_XNACK_MODE CRIU_OP"
    " AVAILABLE_MEMORY EXPORT_DMABUF RUNTIME_ENABLE DBG_TRAP",
    1,
)
_DRM = {
    0x00: "VERSION", 0x01: "GET_UNIQUE", 0x02: "GET_MAGIC", 0x09: "GEM_CLOSE", 0x0A: "GEM_FLINK",
    0x0B: "GEM_OPEN", 0x0C: "GET_CAP", 0x0D: "SET_CLIENT_CAP", 0x1E: "SET_MASTER", 0x1F: "DROP_MASTER",
    0x2D: "PRIME_HANDLE_TO_FD", 0x2E: "PRIME_FD_TO_HANDLE", 0xBF: "SYNCOBJ_CREATE", 0xC0: "SYNCOBJ_DESTROY",
    0xC1: "SYNCOBJ_HANDLE_TO_FD", 0xC2: "SYNCOBJ_FD_TO_HANDLE", 0xC3: "SYNCOBJ_WAIT", 0xC4: "SYNCOBJ_RESET",
    0xC5: "SYNCOBJ_SIGNAL",
}  # fmt: skip
_DRM_DRIVER = range(0x40, 0xA0)
"""Numbers that each DRM driver gives its own meaning; the request alone doesn't tell which driver."""

_NV_ESCAPE = {
    **numbered("CARD_INFO REGISTER_FD - - - - ALLOC_OS_EVENT FREE_OS_EVENT - STATUS_CODE CHECK_VERSION_STR"
               " IOCTL_XFER_CMD ATTACH_GPUS_TO_FD QUERY_DEVICE_INTR SYS_PARAMS - - EXPORT_TO_DMABUF_FD"
               " WAIT_OPEN_COMPLETE", 200),
    0x27: "RM_ALLOC_MEMORY", 0x28: "RM_ALLOC_OBJECT", 0x29: "RM_FREE", 0x2A: "RM_CONTROL", 0x2B: "RM_ALLOC",
    0x32: "RM_CONFIG_GET", 0x33: "RM_CONFIG_SET", 0x34: "RM_DUP_OBJECT", 0x35: "RM_SHARE",
    0x41: "RM_IDLE_CHANNELS", 0x4A: "RM_VID_HEAP_CONTROL", 0x4D: "RM_ACCESS_REGISTRY", 0x4E: "RM_MAP_MEMORY",
    0x4F: "RM_UNMAP_MEMORY", 0x52: "RM_GET_EVENT_DATA", 0x54: "RM_ALLOC_CONTEXT_DMA2",
    0x57: "RM_MAP_MEMORY_DMA", 0x58: "RM_UNMAP_MEMORY_DMA", 0x5C: "RM_EXPORT_OBJECT_TO_FD",
    0x5D: "RM_IMPORT_OBJECT_FROM_FD", 0x5E: "RM_UPDATE_DEVICE_MAPPING_INFO",
}  # fmt: skip
_UVM = {
    0x30000001: "INITIALIZE", 0x30000002: "DEINITIALIZE",
    **numbered("CREATE_RANGE_GROUP DESTROY_RANGE_GROUP REGISTER_GPU_VASPACE UNREGISTER_GPU_VASPACE"
               " REGISTER_CHANNEL UNREGISTER_CHANNEL ENABLE_PEER_ACCESS DISABLE_PEER_ACCESS SET_RANGE_GROUP"
               " - MAP_EXTERNAL_ALLOCATION FREE MEM_MAP - REGISTER_GPU UNREGISTER_GPU PAGEABLE_MEM_ACCESS"
               " PREVENT_MIGRATION_RANGE_GROUPS ALLOW_MIGRATION_RANGE_GROUPS SET_PREFERRED_LOCATION"
               " UNSET_PREFERRED_LOCATION ENABLE_READ_DUPLICATION DISABLE_READ_DUPLICATION SET_ACCESSED_BY"
               " UNSET_ACCESSED_BY - - - MIGRATE - MIGRATE_RANGE_GROUP", 23),
    68: "ALLOC_SEMAPHORE_POOL", 70: "PAGEABLE_MEM_ACCESS_ON_GPU", 71: "POPULATE_PAGEABLE",
    72: "VALIDATE_VA_RANGE", 73: "CREATE_EXTERNAL_RANGE", 75: "MM_INITIALIZE",
}  # fmt: skip


def request_name(request: int, device: bytes | None) -> Symbol | int:
    """Name an ioctl's request.

    Args:
        request: The second argument, 32 bits.
        device: The path behind the descriptor where it is known; some drivers' numbers mean something only
            on their own device.
    """
    kind, number = (request >> 8) & 0xFF, request & 0xFF
    if device and device.startswith(b"/dev/nvidia-uvm"):
        return _named("UVM_", _UVM.get(request), request)
    if device and device.startswith(b"/dev/nvidia"):
        return _named("NV_ESC_", _NV_ESCAPE.get(number), request)
    if device == b"/dev/kfd":
        return _named("AMDKFD_IOC_", _KFD.get(number), request)
    if kind == ord("d") and device and device.startswith(b"/dev/dri/"):
        if number in _DRM_DRIVER:
            return Symbol(f"DRM_DRIVER_{number - _DRM_DRIVER.start:#04x}", request)
        return _named("DRM_IOCTL_", _DRM.get(number), request)
    return symbol(_PLAIN, request)


def _named(prefix: str, name: str | None, request: int) -> Symbol | int:
    return Symbol(prefix + name, request) if name else request
