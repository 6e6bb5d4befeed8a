#!/usr/bin/env bash
# gcc's static analyzer (-fanalyzer) over our own C; what it finds is printed, and the status is 1.
set -u
cd "$(dirname "$0")/../llamactl/native"
status=0
for file in */*.c; do
    case $file in engine/*) continue ;; esac # They need llama.cpp's headers, and hold no memory of their own.
    off=()
    # It takes a block that a structure keeps for one that is lost.
    [ "$file" = breakpoint/buffers.c ] && off=(-Wno-analyzer-malloc-leak)
    case $file in agent/*) off+=(-D_GNU_SOURCE -ffreestanding) ;; esac
    gcc -std=gnu11 -O1 -fanalyzer -Wall -Wextra -Wshadow -Werror "${off[@]}" -I. -c "$file" -o /dev/null || status=1
done
exit $status
