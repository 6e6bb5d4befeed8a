/* Execute a function's first instruction elsewhere: how long it is, and what it says about its
 * place.
 *
 * Only instructions that compilers begin functions with are known; whatever isn't, isn't touched.
 * Formats: Intel SDM, volume 2, chapter 2 and appendix A. */
#include "breakpoint/breakpoint.h"

#include <string.h>

struct instruction {
    unsigned length;
    unsigned relative; /* where its four bytes relative to the next instruction are; 0: none */
    bool jump;         /* jmp rel8 or rel32: it never goes on behind itself */
    int64_t distance;
};

/* Length of ModRM, SIB and displacement; notes a displacement relative to the instruction pointer.
 */
static unsigned modrm_length(const uint8_t * code, unsigned at, struct instruction * found) {
    uint8_t mod = code[at] >> 6, rm = code[at] & 7;
    unsigned length = 1;
    if (mod == 3) {
        return length;
    }
    if (rm == 4) {
        length++;
        if (mod == 0 && (code[at + 1] & 7) == 5) {
            length += 4;
        }
    }
    if (mod == 0 && rm == 5) {
        found->relative = at + 1;
        length += 4;
    }
    return length + (mod == 1 ? 1 : mod == 2 ? 4 : 0);
}

static bool in(const char * set, uint8_t byte) {
    return memchr(set, byte, strlen(set)) != NULL;
}

/* Instructions of one byte of opcode with ModRM: how many bytes of constant follow, -1 when
 * unknown. */
static int constant_after(uint8_t opcode, uint8_t modrm, bool short_words) {
    int word = short_words ? 2 : 4;
    if ((opcode < 0x40 && (opcode & 7) < 4) ||
        in("\x63\x84\x85\x86\x87\x88\x89\x8a\x8b\x8d\xd1\xd3", opcode)) {
        return 0;
    }
    switch (opcode) {
    case 0x6b:
    case 0x80:
    case 0x83:
    case 0xc0:
    case 0xc1:
    case 0xc6:
        return 1;
    case 0x69:
    case 0x81:
    case 0xc7:
        return word;
    case 0xf6:
        return (modrm >> 3 & 7) < 2 ? 1 : 0;
    case 0xf7:
        return (modrm >> 3 & 7) < 2 ? word : 0;
    case 0xfe:
        return 0;
    case 0xff:
        return (modrm >> 3 & 7) == 2 || (modrm >> 3 & 7) == 3 ? -1
                                                              : 0; /* A call pushes its place. */
    default:
        return -1;
    }
}

static int constant_after_0f(uint8_t opcode) {
    if (in("\x10\x11\x12\x13\x14\x15\x16\x17\x1e\x1f\x28\x29\x2a\x2c\x2d\x2e\x2f", opcode) ||
        (opcode >= 0x40 && opcode < 0x70) || (opcode >= 0x74 && opcode < 0x78) ||
        (opcode >= 0x90 && opcode < 0xa0) || in("\x7e\x7f\xa3\xab\xaf\xb6\xb7\xbe\xbf", opcode) ||
        opcode >= 0xd0) {
        return 0;
    }
    return in("\x70\x71\x72\x73\xa4\xac\xba\xc2\xc6", opcode) ? 1 : -1;
}

/* No ModRM; length of opcode and constant, 0 when it isn't one of these. */
static unsigned plain_length(const uint8_t * code, bool wide, bool short_words) {
    uint8_t opcode = code[0];
    unsigned word = short_words ? 2 : 4;
    if ((opcode >= 0x50 && opcode < 0x60) || opcode == 0x90 || opcode == 0xc3 || opcode == 0x98 ||
        opcode == 0x99) {
        return 1;
    }
    if (opcode >= 0xb8 && opcode < 0xc0) {
        return 1 + (wide ? 8 : word);
    }
    if ((opcode < 0x40 && (opcode & 7) == 4) || opcode == 0xa8 || opcode == 0x6a ||
        (opcode & 0xf8) == 0xb0) {
        return 2;
    }
    return (opcode < 0x40 && (opcode & 7) == 5) || opcode == 0xa9 || opcode == 0x68 ? 1 + word : 0;
}

static bool decode_jump(const uint8_t * code, struct instruction * found) {
    int32_t far;
    if (code[0] == 0xeb) {
        *found = (struct instruction) {2, 0, true, (int8_t) code[1]};
    } else if (code[0] == 0xe9) {
        memcpy(&far, code + 1, 4);
        *found = (struct instruction) {5, 0, true, far};
    } else {
        return false;
    }
    return true;
}

static bool decode_vex(const uint8_t * code, struct instruction * found) {
    unsigned opcode = code[0] == 0xc5 ? 2 : 3;
    unsigned map = code[0] == 0xc5 ? 1 : code[1] & 31;
    int constant = map == 1 ? constant_after_0f(code[opcode]) : map == 2 ? 0 : map == 3 ? 1 : -1;
    if (map == 1 && code[opcode] == 0x77) { /* vzeroupper has no ModRM. */
        found->length = opcode + 1;
        return true;
    }
    if (constant < 0) {
        return false;
    }
    found->length = opcode + 1 + modrm_length(code, opcode + 1, found) + (unsigned) constant;
    return true;
}

static bool decode(const uint8_t * code, struct instruction * found) {
    unsigned at = 0;
    bool short_words = false, wide = false;
    memset(found, 0, sizeof *found);
    if (memcmp(code, "\xf3\x0f\x1e\xfa", 4) == 0) { /* endbr64 */
        found->length = 4;
        return true;
    }
    if (decode_jump(code, found)) {
        return true;
    }
    for (; code[at] == 0x66 || code[at] == 0xf2 || code[at] == 0xf3; at++) {
        short_words |= code[at] == 0x66;
    }
    if (at > 2) {
        return false;
    }
    if (code[at] == 0xc5 || code[at] == 0xc4) {
        return at == 0 && decode_vex(code, found);
    }
    if ((code[at] & 0xf0) == 0x40) {
        wide = code[at++] & 8;
    }
    unsigned plain = plain_length(code + at, wide, short_words);
    if (plain) {
        found->length = at + plain;
        return true;
    }
    bool two = code[at] == 0x0f;
    int constant =
        two ? constant_after_0f(code[at + 1]) : constant_after(code[at], code[at + 1], short_words);
    at += two ? 2 : 1;
    if (constant < 0) {
        return false;
    }
    found->length = at + modrm_length(code, at, found) + (unsigned) constant;
    return true;
}

static void jump_to(uint8_t * slot, uint64_t target) {
    static const uint8_t through_memory[6] = {0xff, 0x25}; /* jmp *0(%rip), the address behind it */
    memcpy(slot, through_memory, sizeof through_memory);
    memcpy(slot + sizeof through_memory, &target, 8);
}

unsigned slot_build(const uint8_t * code, uint64_t from, uint64_t to, uint8_t * slot) {
    struct instruction found;
    if (!decode(code, &found) || found.length + JUMP_BYTES > SLOT_BYTES) {
        return 0;
    }
    memset(slot, INT3, SLOT_BYTES);
    if (found.jump) {
        jump_to(slot, from + found.length + (uint64_t) found.distance);
        return JUMP_BYTES;
    }
    memcpy(slot, code, found.length);
    if (found.relative) {
        int32_t distance;
        memcpy(&distance, code + found.relative, 4);
        int64_t moved = (int64_t) (from - to) + distance;
        if (moved != (int32_t) moved) {
            return 0;
        }
        distance = (int32_t) moved;
        memcpy(slot + found.relative, &distance, 4);
    }
    jump_to(slot + found.length, from + found.length);
    return found.length + JUMP_BYTES;
}
