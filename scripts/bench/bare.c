/* The least a program can do to print a stored token: open, check the mode, read, find the field, print.
 * It knows no escapes and no JSON: a yardstick, not a reader. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
    static char text[65536];
    static const char field[] = "\"access_token\":\"";
    struct stat st;
    int fd = argc == 2 ? open(argv[1], O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0 || fstat(fd, &st) != 0 || (st.st_mode & 077) != 0) return 5;
    if (read(fd, text, sizeof text - 1) <= 0) return 5;
    char *token = strstr(text, field);
    if (!token) return 5;
    token += sizeof field - 1;
    token[strcspn(token, "\"")] = '\0';
    return puts(token) < 0;
}
