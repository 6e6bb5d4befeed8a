/* Prints the user that it acts as. Setuid, that is the file's owner, unless it is traced. */
#include <stdio.h>
#include <unistd.h>

int main(void) {
    printf("%d\n", (int)geteuid());
    return 0;
}
