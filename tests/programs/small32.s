# A program of 32 bits without a C library: writes "told" and ends with 9. write is 4 there and exit 1 (unistd_32.h).
.globl _start
_start:
    mov $4, %eax
    mov $1, %ebx
    mov $message, %ecx
    mov $5, %edx
    int $0x80
    mov $1, %eax
    mov $9, %ebx
    int $0x80
.data
message: .ascii "told\n"
.section .note.GNU-stack,"",@progbits
